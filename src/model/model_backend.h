#ifndef FORETOKEN_MODEL_MODEL_BACKEND_H_
#define FORETOKEN_MODEL_MODEL_BACKEND_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"

namespace foretoken {

// A sequence's slot in a back end's KV cache, 0 to BackendDescription::max_sequences - 1.
enum class SequenceId : int32_t {};

// One row of a forward: a token at a position of one sequence, or of several that share it (the
// shared part of a tree).
struct BatchRow {
  TokenId token = 0;
  int32_t position = 0;  // 0-based; continues the sequence's cached length
  std::vector<SequenceId> sequences;
  bool wants_logits = false;
};

// The logits a Decode was asked for: one row per BatchRow that wanted them, in their order.
// A view: valid until the next call on the back end.
class LogitsRows {
 public:
  LogitsRows() = default;
  LogitsRows(const float* data, int32_t rows, int32_t vocabulary_size,
             std::optional<int64_t> device_us = std::nullopt)
      : data_(data), rows_(rows), vocabulary_size_(vocabulary_size), device_us_(device_us) {}

  int32_t size() const { return rows_; }
  // Rows first .. first + count - 1. Precondition: they are there.
  LogitsRows Slice(int32_t first, int32_t count) const {
    return {count > 0 ? (*this)[first].data() : nullptr, count, vocabulary_size_};
  }
  // What the forward took without the wait for the device; absent: the back end does not know.
  std::optional<int64_t> device_us() const { return device_us_; }
  // [vocabulary_size] unprocessed logits. Precondition: 0 <= row < size().
  std::span<const float> operator[](int32_t row) const {
    return {data_ + static_cast<size_t>(row) * static_cast<size_t>(vocabulary_size_),
            static_cast<size_t>(vocabulary_size_)};
  }

 private:
  const float* data_ = nullptr;
  int32_t rows_ = 0;
  int32_t vocabulary_size_ = 0;
  std::optional<int64_t> device_us_;
};

struct BackendDescription {
  int32_t vocabulary_size = 0;
  int32_t context_tokens = 0;  // the longest that one sequence may be
  // Cells of the KV cache, at least context_tokens: one for every cached token of every sequence;
  // tokens that forks share count once.
  int32_t cache_tokens = 0;
  int32_t max_batch_rows = 0;   // the most rows of one Decode
  int32_t max_logits_rows = 0;  // the most rows of one Decode that may want logits
  int32_t max_sequences = 0;
  // Whether Truncate can cut committed tokens; probed at load. False for recurrent models, which
  // can only be decoded plainly.
  bool can_truncate = false;
  // Whether a row's logits are the same bits whatever else is in the batch.
  bool batch_invariant = false;
  // Equal for back ends whose forwards take as long: the model's shape, the kernels, the machine.
  // Empty: not known.
  std::string cost_identity;
};

// A change to a model's weights, in memory once for all back ends that run with it; made by
// LoadedModel::LoadAdapter. Immutable; any thread may hold it.
class LoadedAdapter {
 public:
  virtual ~LoadedAdapter() = default;
};

// A model with a KV cache: the seam between everything above and the arithmetic.
// One thread at a time. A failed call leaves the sequences it touched in an unknown state past
// the length they had before it: cut them back with Truncate before they are used again.
class ModelBackend {
 public:
  virtual ~ModelBackend() = default;

  virtual const BackendDescription& description() const = 0;

  // One forward over `rows`. A sequence's rows are in rising positions that continue its cache;
  // those of several sequences may be mixed in any order.
  // RESOURCE_EXHAUSTED: no room in the KV cache (nothing was decoded; free some and retry);
  // CANCELLED: the abort callback said so; INVALID_ARGUMENT: the rows break a rule above or a
  // limit of description(); INTERNAL: the back end failed and cannot be trusted with these rows.
  virtual Result<LogitsRows> Decode(std::span<const BatchRow> rows) = 0;

  // Cuts a sequence's cache to its first `length` tokens; a no-op where it is not longer.
  // UNIMPLEMENTED where the memory cannot do it; cutting to 0 works on every memory.
  virtual Status Truncate(SequenceId sequence, int32_t length) = 0;

  // Makes the empty `target` share the first `length` cached tokens of `source`. UNIMPLEMENTED
  // where the memory cannot share a part; all of a sequence it can.
  virtual Status Fork(SequenceId source, SequenceId target, int32_t length) = 0;

  // What is cached of a sequence, in host memory; the sequence itself stays as it is. Means
  // something to back ends of the same model only. FAILED_PRECONDITION: nothing is cached;
  // UNIMPLEMENTED: this memory cannot be saved, its tokens have to be run again.
  virtual Result<std::vector<uint8_t>> SaveSequence(SequenceId sequence) = 0;

  // Makes the empty `target` what SaveSequence saw, in cells of its own: nothing is shared.
  // RESOURCE_EXHAUSTED: no room in the KV cache; DATA_LOSS: not a state that fits this context.
  // After a failure `target` is empty.
  virtual Status RestoreSequence(SequenceId target, std::span<const uint8_t> state) = 0;

  // What the Decodes from now on run with: null is the model itself, as is a scale of 0. What was
  // cached under one adapter and scale must not be continued under another: nobody checks that.
  // The adapter must be of this model and outlive its use here.
  virtual Status UseAdapter(const LoadedAdapter* adapter, float scale) = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_MODEL_BACKEND_H_
