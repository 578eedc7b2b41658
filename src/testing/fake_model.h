#ifndef FORETOKEN_TESTING_FAKE_MODEL_H_
#define FORETOKEN_TESTING_FAKE_MODEL_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/loaded_model.h"

namespace foretoken {

// The calls of a back end, besides Decode, that a test can make fail.
enum class FakeCall { kFork, kSaveSequence, kRestoreSequence, kUseAdapter };

// What a test sees of a FakeModel's back ends and how it makes them fail. Shared by the test and
// the back ends; the counters may be read on any thread, the functions are set before use.
struct FakeControl {
  std::atomic<int64_t> decodes{0};  // Decode calls that ran
  std::atomic<int64_t> rows{0};     // rows of those
  std::atomic<int64_t> forks{0};    // calls that succeeded, as the next three
  std::atomic<int64_t> saves{0};
  std::atomic<int64_t> restores{0};
  std::atomic<int64_t> adapter_switches{0};  // those that changed what is in use
  std::atomic<int32_t> cells_in_use{0};      // KV cells held at this moment; shared ones once
  std::atomic<int32_t> live_backends{0};
  // Called before each Decode with its 0-based number; a failure is returned instead of running.
  std::function<Status(int64_t decode, std::span<const BatchRow> rows)> before_decode;
  // Called before every other call that may fail; a failure is returned instead of running.
  std::function<Status(FakeCall call)> before_call;
  // A failed Decode leaves its rows in the cache, as a real back end may.
  bool failed_decode_leaves_rows = true;
};

struct FakeModelOptions {
  int32_t vocabulary_size = 16;  // 3 or more; token 0 is the end of text
  uint64_t seed = 1;             // of the model's distributions
  // 0 to 1: how much this model's logits follow `imitated_seed`'s: 1 is the same model, 0 another.
  double quality = 1.0;
  std::optional<uint64_t> imitated_seed;
  int32_t context_tokens = 64;  // what the model was trained for
  int32_t max_batch_rows = 16;
  int32_t max_logits_rows = 16;
  bool can_truncate = true;
  bool has_chat_template = true;
  float end_of_text_logit = 0;  // added to the end-of-text token's logit
  // 0: distributions depend on the whole prefix; n > 0: on the last n tokens, so text repeats.
  int32_t context_order = 0;
  std::string control_text;    // what Tokenize may make the end of text of; empty: nothing
  std::string cost_identity;   // as BackendDescription has it
  std::string vocabulary_tag;  // changes every token's text: another tokenizer
  // The adapters that LoadAdapter finds, by path, with the seed of each one's change.
  std::map<std::string, uint64_t> adapters;
  // How long a Decode of so many rows takes, slept; empty: no time. An abort ends the sleep. It is
  // a turn on the device if BackendOptions::device says whose.
  std::function<std::chrono::microseconds(int32_t rows)> decode_time;
};

// A model whose logits are a pure function of (seed, cached tokens, adapter of each): deterministic
// to the bit, and wrong as soon as the cache holds anything but the true prefix or a token that was
// run with another adapter, which makes it the oracle for roll-back and reuse. Its tokens are
// letters, syllables and pieces of UTF-8 characters.
// Its back ends keep the ModelBackend contract strictly and refuse what breaks it.
std::shared_ptr<LoadedModel> NewFakeModel(const FakeModelOptions& options,
                                          std::shared_ptr<FakeControl> control = nullptr);

// Serves models by path from a table of factories; NOT_FOUND for others. Counts the loads.
class FakeLoader : public ModelLoader {
 public:
  using Factory = std::function<Result<std::shared_ptr<LoadedModel>>()>;
  explicit FakeLoader(std::map<std::string, Factory> models) : models_(std::move(models)) {}
  Result<std::shared_ptr<LoadedModel>> Load(const ModelConfig& config) override;
  int loads() const { return loads_; }

 private:
  std::map<std::string, Factory> models_;
  std::atomic<int> loads_{0};
};

}  // namespace foretoken

#endif  // FORETOKEN_TESTING_FAKE_MODEL_H_
