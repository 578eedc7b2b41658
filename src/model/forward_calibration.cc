#include "model/forward_calibration.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "base/log.h"
#include "base/macros.h"
#include "model/cache_files.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kBudget{500};
// Where a curve bends is between them; what lies in between is interpolated.
constexpr std::array<int32_t, 7> kRows = {1, 2, 4, 8, 3, 16, 6};
constexpr int kRounds = 2;

Result<double> TimeForward(ModelBackend& backend, int32_t rows) {
  std::vector<BatchRow> batch;
  for (int32_t i = 0; i < rows; ++i) {
    batch.push_back({.token = i % backend.description().vocabulary_size,
                     .position = i,
                     .sequences = {SequenceId{0}},
                     .wants_logits = true});
  }
  const auto start = Clock::now();
  FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows logits, backend.Decode(batch));
  const double us = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  FORETOKEN_RETURN_IF_ERROR(backend.Truncate(SequenceId{0}, 0));
  return logits.device_us() ? static_cast<double>(*logits.device_us()) : us;
}

std::string ToText(const std::vector<ForwardTime>& times) {
  std::string text;
  for (const ForwardTime& time : times) text += fmt::format("{} {:.1f}\n", time.rows, time.us);
  return text;
}

// Nothing for a text that ToText did not write.
std::vector<ForwardTime> FromText(const std::string& text) {
  std::vector<ForwardTime> times;
  std::istringstream lines(text);
  ForwardTime time;
  while (lines >> time.rows) {
    if (!(lines >> time.us) || time.rows < 1 || !(time.us > 0)) return {};
    times.push_back(time);
  }
  return lines.eof() ? times : std::vector<ForwardTime>();
}

}  // namespace

int64_t ProcessPreemptions() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

Result<std::vector<ForwardTime>> TimeForwards(ModelBackend& backend,
                                              std::chrono::milliseconds budget,
                                              const std::function<int64_t()>& preemptions) {
  const BackendDescription& description = backend.description();
  const int32_t most = std::min(
      {description.max_batch_rows, description.max_logits_rows, description.context_tokens});
  std::vector<ForwardTime> times;
  bool started = false;
  const auto deadline = Clock::now() + budget;
  for (int round = 0; round < kRounds; ++round) {
    for (const int32_t rows : kRows) {
      if (rows > most) continue;
      if (started && Clock::now() >= deadline) return times;
      started = true;
      const int64_t before = preemptions();
      FORETOKEN_ASSIGN_OR_RETURN(const double us, TimeForward(backend, rows));
      if (preemptions() == before) times.push_back({rows, us});
    }
  }
  return times;
}

Result<std::vector<ForwardTime>> CalibrateForwards(ModelBackend& backend,
                                                   const std::string& directory,
                                                   const std::function<int64_t()>& preemptions) {
  const std::string& identity = backend.description().cost_identity;
  if (identity.empty()) return std::vector<ForwardTime>();
  const std::string key = "forward times of " + identity;
  if (const std::optional<std::string> kept = ReadCacheEntry(directory, key)) {
    std::vector<ForwardTime> times = FromText(*kept);
    if (!times.empty()) return times;
  }
  FORETOKEN_ASSIGN_OR_RETURN(std::vector<ForwardTime> times,
                             TimeForwards(backend, kBudget, preemptions));
  // A curve of a few points would do for now, and not for good.
  if (times.size() < kRows.size()) return times;
  const Status written = WriteCacheEntry(directory, key, ToText(times));
  if (!written.ok()) Log(LogLevel::kDebug, "forward times are not kept: " + written.message());
  return times;
}

}  // namespace foretoken
