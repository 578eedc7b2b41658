#ifndef FORETOKEN_MODEL_LOADED_MODEL_H_
#define FORETOKEN_MODEL_LOADED_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "foretoken/generation.h"
#include "foretoken/options.h"
#include "foretoken/status.h"
#include "model/model_backend.h"
#include "model/vocabulary.h"

namespace foretoken {

struct BackendOptions {
  int32_t context_tokens = 0;  // 0: the model's own, at most 8,192
  int32_t max_sequences = 1;
  int32_t max_batch_rows = 512;
  int32_t max_logits_rows = 64;
  int32_t threads = 0;  // 0: the machine's physical cores
  // Asked between the operations of a forward; true ends it with CANCELLED. May be empty.
  std::function<bool()> should_abort = {};
};

// The weights and the vocabulary of one model file, in memory once for everyone who names it.
// Immutable; any thread may call it. It must outlive its back ends.
class LoadedModel {
 public:
  virtual ~LoadedModel() = default;

  virtual const Vocabulary& vocabulary() const = 0;
  // Lays messages out by the model's chat template, up to where the assistant speaks.
  // FAILED_PRECONDITION when the model has none.
  virtual Result<std::string> RenderChat(std::span<const ChatMessage> messages) const = 0;
  // A KV cache and compute buffers of its own over the shared weights.
  virtual Result<std::unique_ptr<ModelBackend>> NewBackend(const BackendOptions& options) = 0;
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
