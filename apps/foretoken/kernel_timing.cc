#include "kernel_timing.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "base/cpu_count.h"
#include "base/macros.h"
#include "kernels/matmul.h"
#include "kernels/thread_team.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int32_t kChunkRows = 512;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// One sequence on one back end, of a length that can be set.
class TimedSequence {
 public:
  static Result<TimedSequence> Open(LoadedModel& model, int32_t threads, int32_t context_tokens,
                                    int32_t max_rows, std::shared_ptr<KernelReport> report) {
    BackendOptions options;
    options.context_tokens = context_tokens;
    options.max_batch_rows = std::max(max_rows, kChunkRows);
    options.max_logits_rows = std::max(max_rows, 1);
    options.threads = threads;
    options.kernel_report = std::move(report);
    TimedSequence sequence;
    FORETOKEN_ASSIGN_OR_RETURN(sequence.backend_, model.NewBackend(options));
    return sequence;
  }

  // Appends tokens up to `length`.
  Status GrowTo(int32_t length) {
    while (length_ < length) {
      const int32_t rows = std::min(kChunkRows, length - length_);
      FORETOKEN_RETURN_IF_ERROR(Decode(rows, /*all_logits=*/false).status());
      length_ += rows;
    }
    return OkStatus();
  }

  // Milliseconds of a forward of `rows` more tokens, which are then taken back.
  Result<double> Time(int32_t rows, bool all_logits) {
    FORETOKEN_ASSIGN_OR_RETURN(const double ms, Decode(rows, all_logits));
    FORETOKEN_RETURN_IF_ERROR(backend_->Truncate(SequenceId{0}, length_));
    return ms;
  }

 private:
  Result<double> Decode(int32_t rows, bool all_logits) {
    batch_.clear();
    for (int32_t i = 0; i < rows; ++i) {
      const int32_t position = length_ + i;
      // Any tokens do: the arithmetic does not depend on them.
      batch_.push_back({.token = (position * 7919 + 13) % backend_->description().vocabulary_size,
                        .position = position,
                        .sequences = {SequenceId{0}},
                        .wants_logits = all_logits || i == rows - 1});
    }
    const auto start = Clock::now();
    FORETOKEN_RETURN_IF_ERROR(backend_->Decode(batch_).status());
    return MillisecondsSince(start);
  }

  std::unique_ptr<ModelBackend> backend_;
  int32_t length_ = 0;
  std::vector<BatchRow> batch_;
};

Status TimePairs(TimedSequence& ours, TimedSequence& stock, int32_t pairs, TimedForwards& times) {
  const bool all_logits = !times.is_prefill;
  // The first of each lays its graph out.
  FORETOKEN_RETURN_IF_ERROR(ours.Time(times.rows, all_logits).status());
  FORETOKEN_RETURN_IF_ERROR(stock.Time(times.rows, all_logits).status());
  for (int32_t pair = 0; pair < pairs; ++pair) {
    for (const bool is_ours : {pair % 2 == 0, pair % 2 != 0}) {
      FORETOKEN_ASSIGN_OR_RETURN(const double ms,
                                 (is_ours ? ours : stock).Time(times.rows, all_logits));
      (is_ours ? times.ours_ms : times.stock_ms).push_back(ms);
    }
  }
  return OkStatus();
}

}  // namespace

Result<KernelTimes> TimeKernels(LoadedModel& ours, LoadedModel& stock, int32_t threads,
                                const KernelTimingPlan& plan) {
  const int32_t max_rows = *std::max_element(plan.rows.begin(), plan.rows.end());
  const int32_t longest = *std::max_element(plan.cached_tokens.begin(), plan.cached_tokens.end());
  const int32_t context = longest + std::max(max_rows, plan.prefill_rows);
  const auto report = std::make_shared<KernelReport>();
  FORETOKEN_ASSIGN_OR_RETURN(TimedSequence our_sequence,
                             TimedSequence::Open(ours, threads, context, max_rows, report));
  FORETOKEN_ASSIGN_OR_RETURN(TimedSequence stock_sequence,
                             TimedSequence::Open(stock, threads, context, max_rows, nullptr));
  KernelTimes result;
  std::vector<int32_t> lengths = plan.cached_tokens;
  std::sort(lengths.begin(), lengths.end());
  for (const int32_t length : lengths) {
    FORETOKEN_RETURN_IF_ERROR(our_sequence.GrowTo(length));
    FORETOKEN_RETURN_IF_ERROR(stock_sequence.GrowTo(length));
    for (const int32_t rows : plan.rows) {
      TimedForwards times = {.cached_tokens = length, .rows = rows, .ours_ms = {}, .stock_ms = {}};
      *report = {};
      FORETOKEN_RETURN_IF_ERROR(TimePairs(our_sequence, stock_sequence, plan.pairs, times));
      if (length == 0) result.operations[rows] = *report;
      result.forwards.push_back(std::move(times));
    }
    if (length == 0 && plan.prefill_rows > 0) {
      TimedForwards times = {
          .rows = plan.prefill_rows, .is_prefill = true, .ours_ms = {}, .stock_ms = {}};
      FORETOKEN_RETURN_IF_ERROR(
          TimePairs(our_sequence, stock_sequence, std::max(3, plan.pairs / 4), times));
      result.forwards.push_back(std::move(times));
    }
  }
  return result;
}

MachinePeaks MeasureMachinePeaks(int32_t threads) {
  constexpr int kRuns = 5;  // the best of them: what disturbs only slows down
  ThreadTeam team(threads > 0 ? threads : DefaultThreadCount().threads);
  MachinePeaks peaks;

  constexpr int64_t kBlock = 1 << 16;
  constexpr int64_t kBlocks = 2048;  // 1 GiB of uint64_t, far more than any cache
  const std::vector<uint64_t> memory(static_cast<size_t>(kBlock * kBlocks), 1);
  std::vector<uint64_t> sums(static_cast<size_t>(team.size()) * 8);
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    team.Run([&](TeamMember& member) {
      uint64_t sum = 0;
      for (int64_t block = member.Take(); block < kBlocks; block = member.Take()) {
        for (int64_t i = block * kBlock; i < (block + 1) * kBlock; ++i) {
          sum += memory[static_cast<size_t>(i)];
        }
      }
      sums[static_cast<size_t>(member.index()) * 8] += sum;  // so that the loop is not removed
    });
    const double gb = static_cast<double>(memory.size() * sizeof(uint64_t)) / 1e9;
    peaks.read_gb_per_s = std::max(peaks.read_gb_per_s, gb / MillisecondsSince(start) * 1e3);
  }

  constexpr int64_t kRows = 512;
  constexpr int64_t kColumns = 1024;
  constexpr size_t kVectors = 12;
  constexpr int kProducts = 200;
  // Zero bits are valid weights: how fast they are multiplied does not depend on them.
  const std::vector<std::byte> weights(PackedBytes(WeightType::kQ4K, kRows, kColumns));
  const std::vector<float> input(kColumns, 1.0f);
  std::vector<float> output(kRows * kVectors);
  const std::vector<const float*> inputs(kVectors, input.data());
  std::vector<float*> outputs;
  for (size_t i = 0; i < kVectors; ++i) outputs.push_back(output.data() + i * kRows);
  const MatMulJob job = {.type = WeightType::kQ4K,
                         .rows = kRows,
                         .columns = kColumns,
                         .weights = weights.data(),
                         .row_bytes = 0,
                         .packed = true,
                         .inputs = inputs,
                         .outputs = outputs};
  std::vector<std::byte> scratch(MatMulScratchBytes(job, team.size()) + 64);
  void* aligned = scratch.data();
  size_t space = scratch.size();
  std::align(64, 1, aligned, space);
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    team.Run([&](TeamMember& member) {
      for (int i = 0; i < kProducts; ++i) MatMul(job, aligned, member);
    });
    const double gmac = static_cast<double>(kRows * kColumns) * kVectors * kProducts / 1e9;
    peaks.gmac_per_s = std::max(peaks.gmac_per_s, gmac / MillisecondsSince(start) * 1e3);
  }
  return peaks;
}

}  // namespace foretoken
