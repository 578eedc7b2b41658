#include "bench_load_ceiling.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "base/macros.h"
#include "bench_report.h"

namespace foretoken {
namespace {

constexpr int32_t kMostRows = 512;
constexpr int32_t kPrefixTokens = 128;
constexpr int32_t kTurns = 5;
constexpr SequenceId kSequence{0};

// Rows of any token: what is computed does not depend on which.
std::vector<BatchRow> Rows(int32_t count, int32_t position, bool wants_logits) {
  std::vector<BatchRow> rows;
  for (int32_t i = 0; i < count; ++i) {
    rows.push_back({.token = 1,
                    .position = position + i,
                    .sequences = {kSequence},
                    .wants_logits = wants_logits});
  }
  return rows;
}

}  // namespace

std::set<int32_t> CeilingRows(std::span<const int32_t> concurrencies, int32_t max_draft_tokens) {
  std::set<int32_t> rows;
  for (const int32_t concurrency : concurrencies) {
    for (int32_t k = 0; k <= max_draft_tokens && concurrency * (k + 1) <= kMostRows; ++k) {
      rows.insert(concurrency * (k + 1));
    }
  }
  return rows;
}

Result<ForwardTimes> MeasureForwards(LoadedModel& model, const std::set<int32_t>& rows,
                                     int32_t threads) {
  if (rows.empty()) return ForwardTimes();
  const int32_t most = std::max(*rows.rbegin(), kPrefixTokens);
  BackendOptions options;
  options.context_tokens = kPrefixTokens + most;
  options.max_batch_rows = most;
  options.max_logits_rows = most;
  options.threads = threads;
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<ModelBackend> backend,
                             model.NewBackend(options));
  if (!backend->description().can_truncate) {
    return FailedPreconditionError("the model's memory cannot be cut back");
  }
  FORETOKEN_RETURN_IF_ERROR(backend->Decode(Rows(kPrefixTokens, 0, false)).status());
  std::map<int32_t, std::vector<double>> samples;
  for (int32_t turn = 0; turn < kTurns; ++turn) {
    for (const int32_t count : rows) {
      const std::vector<BatchRow> batch = Rows(count, kPrefixTokens, true);
      const auto begin = std::chrono::steady_clock::now();
      FORETOKEN_RETURN_IF_ERROR(backend->Decode(batch).status());
      const std::chrono::duration<double, std::milli> time =
          std::chrono::steady_clock::now() - begin;
      samples[count].push_back(time.count());
      FORETOKEN_RETURN_IF_ERROR(backend->Truncate(kSequence, kPrefixTokens));
    }
  }
  ForwardTimes times;
  for (auto& [count, values] : samples) times[count] = Median(std::move(values));
  return times;
}

SpeculationCeiling CeilingAt(int32_t concurrency, const MeasuredForwards& costs,
                             const SpeculationStats& seen) {
  SpeculationCeiling best;
  const auto plain = costs.target_ms.find(concurrency);
  if (plain == costs.target_ms.end() || seen.drafted == 0) return best;
  const auto drafting = costs.draft_ms.find(concurrency);
  const auto by_model = seen.by_source.find(DraftSourceKind::kDraftModel);
  const double model_share =
      by_model == seen.by_source.end()
          ? 0
          : static_cast<double>(by_model->second.drafted) / static_cast<double>(seen.drafted);
  const double draft_ms = drafting == costs.draft_ms.end() ? 0 : model_share * drafting->second;
  double committed = 1;
  for (size_t i = 0; i < seen.by_position.size() && seen.by_position[i].drafted > 0; ++i) {
    const auto k = static_cast<int32_t>(i) + 1;
    const auto verifying = costs.target_ms.find(concurrency * (k + 1));
    if (verifying == costs.target_ms.end()) break;
    committed += static_cast<double>(seen.by_position[i].accepted) /
                 static_cast<double>(seen.by_position[i].drafted);
    const double ratio = committed * plain->second / (verifying->second + k * draft_ms);
    if (ratio > best.ratio) best = {.draft_tokens = k, .ratio = ratio};
  }
  return best;
}

}  // namespace foretoken
