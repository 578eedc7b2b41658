#ifndef FORETOKEN_MODEL_LOADED_MODEL_H_
#define FORETOKEN_MODEL_LOADED_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "foretoken/generation.h"
#include "foretoken/options.h"
#include "foretoken/reply_parser.h"
#include "foretoken/status.h"
#include "model/backend_options.h"
#include "model/model_backend.h"
#include "model/vocabulary.h"

namespace foretoken {

// Changes a text of a chat before the template sees it; null: none does.
using ChatTextFilter = std::function<std::string(std::string_view)>;

// The weights and the vocabulary of one model file, in memory once for everyone who names it.
// Immutable; any thread may call it. It must outlive its back ends.
class LoadedModel {
 public:
  virtual ~LoadedModel() = default;

  virtual const Vocabulary& vocabulary() const = 0;
  // Lays messages and tools out by the model's chat template, up to where the assistant speaks;
  // every text in them goes through `filter` first. FAILED_PRECONDITION when the model has none;
  // INVALID_ARGUMENT for tools where it has no place for them.
  virtual Result<std::string> RenderChat(const ChatPrompt& prompt,
                                         const ChatTextFilter& filter) const = 0;
  // Reads what the model answers to such a prompt. Besides those errors, UNIMPLEMENTED for a
  // template whose form of a call of a tool cannot be read.
  virtual Result<std::unique_ptr<ReplyParser>> NewReplyParser(const ChatPrompt& prompt) const = 0;
  // A KV cache and compute buffers of its own over the shared weights.
  virtual Result<std::unique_ptr<ModelBackend>> NewBackend(const BackendOptions& options) = 0;
  // Reads a LoRA adapter made for this model; its back ends run with it after UseAdapter. The
  // adapter keeps the weights in memory that it changes. Besides the errors of a file,
  // INVALID_ARGUMENT when it was made for another model.
  virtual Result<std::shared_ptr<LoadedAdapter>> LoadAdapter(const std::string& path) = 0;
  // The longest context the model was trained for; 0: unknown.
  virtual int32_t trained_context_tokens() const = 0;
  // The sampling settings the file recommends, over the defaults of `base`.
  virtual SamplingOptions RecommendedSampling(SamplingOptions base) const = 0;
};

// Turns a ModelConfig into a LoadedModel; the seam for back ends and for tests.
// Any thread may call it.
class ModelLoader {
 public:
  virtual ~ModelLoader() = default;
  virtual Result<std::shared_ptr<LoadedModel>> Load(const ModelConfig& config) = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LOADED_MODEL_H_
