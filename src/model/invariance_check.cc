#include "model/invariance_check.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "kernels/kernel_report.h"
#include "model/backend_options.h"

namespace foretoken {
namespace {

constexpr int32_t kTokens = 48;
constexpr int32_t kTensorRows = 16;  // whose tensors are compared, besides the logits
constexpr SequenceId kSequence{0};
constexpr SequenceId kNeighbour{1};
constexpr SequenceId kFork{2};

using Row = std::vector<float>;

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// A tensor of a forward.
struct TensorRecord {
  std::string name;
  Row values;
};

// Whether a tensor of a forward of one row is a part of that of a forward of `rows`.
bool IsPart(const TensorRecord& all, const TensorRecord& one, size_t rows) {
  return all.name == one.name && all.values.size() == one.values.size() * rows;
}

class InvarianceCheck {
 public:
  static Result<InvarianceReport> Run(LoadedModel& model, int32_t threads) {
    InvarianceCheck check;
    BackendOptions options;
    options.context_tokens = 4 * kTokens;
    options.kv_cache_tokens = 16 * kTokens;
    options.max_sequences = 3;
    options.max_batch_rows = 2 * kTokens;
    options.max_logits_rows = 2 * kTokens;
    options.threads = threads;
    options.kernel_report = std::make_shared<KernelReport>();
    options.tensor_observer = check.observer_;
    check.observer_->see = [&check](const TensorView& tensor) { check.Record(tensor); };
    FORETOKEN_ASSIGN_OR_RETURN(check.backend_, model.NewBackend(options));
    if (!check.backend_->description().can_truncate) {
      return UnimplementedError(
          "this model's memory cannot be cut back, so that it decodes plainly");
    }
    FORETOKEN_RETURN_IF_ERROR(check.RunOneByOne());
    for (const int32_t chunk : {2, 3, 5, 7, 16, kTokens - 1, kTokens}) {
      FORETOKEN_RETURN_IF_ERROR(check.CompareChunks(chunk));
    }
    FORETOKEN_RETURN_IF_ERROR(check.CompareBesideNeighbour());
    FORETOKEN_RETURN_IF_ERROR(check.CompareAfterFork());
    check.report_.stock_operations = options.kernel_report->stock_operations;
    return check.report_;
  }

 private:
  InvarianceCheck() = default;

  TokenId TokenAt(SequenceId sequence, int32_t position) const {
    const int32_t vocabulary = backend_->description().vocabulary_size;
    return (position * 7919 + 101 + 53 * static_cast<int32_t>(sequence)) % vocabulary;
  }

  BatchRow RowAt(SequenceId sequence, int32_t position) const {
    return {.token = TokenAt(sequence == kFork ? kSequence : sequence, position),
            .position = position,
            .sequences = {sequence},
            .wants_logits = true};
  }

  // Null: nothing is recorded.
  void RecordInto(std::vector<TensorRecord>* record) {
    recording_ = record;
    observer_->wanted = record != nullptr;
  }

  void Record(const TensorView& tensor) {
    recording_->push_back({std::string(tensor.operation) + " " + std::string(tensor.name),
                           Row(tensor.values.begin(), tensor.values.end())});
  }

  // The logits and tensors that all others are compared with.
  Status RunOneByOne() {
    for (int32_t position = 0; position < kTokens; ++position) {
      if (position < kTensorRows) RecordInto(&alone_.emplace_back());
      FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows rows,
                                 backend_->Decode({{RowAt(kSequence, position)}}));
      RecordInto(nullptr);
      expected_.emplace_back(rows[0].begin(), rows[0].end());
    }
    return backend_->Truncate(kSequence, 0);
  }

  Status CompareChunks(int32_t chunk) {
    for (int32_t first = 0; first < kTokens; first += chunk) {
      FORETOKEN_RETURN_IF_ERROR(RunChunk(kSequence, first, std::min(first + chunk, kTokens),
                                         "forwards of " + std::to_string(chunk) + " rows"));
    }
    return backend_->Truncate(kSequence, 0);
  }

  // Another sequence takes every other cell, is cut back and goes on: the cells of the first lie
  // between others' and out of order.
  Status CompareBesideNeighbour() {
    int32_t neighbour = 0;
    for (int32_t first = 0; first < kTokens; first += 4) {
      std::vector<BatchRow> batch;
      std::vector<int32_t> positions;  // of the first sequence; -1: the neighbour's row
      for (int32_t i = 0; i < 4; ++i) {
        batch.push_back(RowAt(kNeighbour, neighbour + i));
        positions.push_back(-1);
        batch.push_back(RowAt(kSequence, first + i));
        positions.push_back(first + i);
      }
      FORETOKEN_RETURN_IF_ERROR(DecodeAndCompare(batch, positions, "beside a neighbour"));
      neighbour += 4;
      if (first % 12 == 8) {
        neighbour -= 9;
        FORETOKEN_RETURN_IF_ERROR(backend_->Truncate(kNeighbour, neighbour));
      }
    }
    FORETOKEN_RETURN_IF_ERROR(backend_->Truncate(kNeighbour, 0));
    return backend_->Truncate(kSequence, 0);
  }

  Status CompareAfterFork() {
    constexpr int32_t kShared = 21;
    FORETOKEN_RETURN_IF_ERROR(RunChunk(kSequence, 0, kShared, "before a fork"));
    FORETOKEN_RETURN_IF_ERROR(backend_->Fork(kSequence, kFork, kShared));
    for (int32_t position = kShared; position < kTokens; ++position) {
      FORETOKEN_RETURN_IF_ERROR(DecodeAndCompare(
          {RowAt(kSequence, position), RowAt(kFork, position)}, {position, position}, "a fork"));
    }
    FORETOKEN_RETURN_IF_ERROR(backend_->Truncate(kFork, 0));
    return backend_->Truncate(kSequence, 0);
  }

  Status RunChunk(SequenceId sequence, int32_t first, int32_t last, const std::string& where) {
    std::vector<BatchRow> batch;
    std::vector<int32_t> positions;
    for (int32_t position = first; position < last; ++position) {
      batch.push_back(RowAt(sequence, position));
      positions.push_back(position);
    }
    return DecodeAndCompare(batch, positions, where);
  }

  Status DecodeAndCompare(const std::vector<BatchRow>& batch, const std::vector<int32_t>& positions,
                          const std::string& where) {
    std::vector<TensorRecord> tensors;
    if (report_.first_difference.empty()) RecordInto(&tensors);
    const auto decoded = backend_->Decode(batch);
    RecordInto(nullptr);
    FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows rows, decoded);
    CompareTensors(tensors, positions);
    for (size_t i = 0; i < positions.size(); ++i) {
      if (positions[i] < 0) continue;
      ++report_.rows_compared;
      if (SameBits(rows[static_cast<int32_t>(i)], expected_[static_cast<size_t>(positions[i])])) {
        continue;
      }
      ++report_.rows_different;
      if (report_.first_case.empty()) {
        report_.first_case = where + ", position " + std::to_string(positions[i]);
      }
    }
    return OkStatus();
  }

  const std::shared_ptr<TensorObserver> observer_ = std::make_shared<TensorObserver>();
  // Of a forward whose row i is at positions[i].
  void CompareTensors(const std::vector<TensorRecord>& tensors,
                      const std::vector<int32_t>& positions) {
    for (size_t t = 0; t < tensors.size() && report_.first_difference.empty(); ++t) {
      for (size_t i = 0; i < positions.size(); ++i) {
        const auto position = static_cast<size_t>(positions[i]);
        if (positions[i] < 0 || position >= alone_.size() || t >= alone_[position].size()) continue;
        const TensorRecord& alone = alone_[position][t];
        if (!IsPart(tensors[t], alone, positions.size())) continue;
        const size_t size = alone.values.size();
        if (SameBits(std::span(tensors[t].values).subspan(i * size, size), alone.values)) continue;
        report_.first_difference = tensors[t].name;
        break;
      }
    }
  }

  std::unique_ptr<ModelBackend> backend_;
  std::vector<Row> expected_;                     // logits by position
  std::vector<std::vector<TensorRecord>> alone_;  // the tensors of each row's own forward
  std::vector<TensorRecord>* recording_ = nullptr;
  InvarianceReport report_;
};

}  // namespace

Result<InvarianceReport> CheckInvariance(LoadedModel& model, int32_t threads) {
  return InvarianceCheck::Run(model, threads);
}

}  // namespace foretoken
