#ifndef FORETOKEN_FORETOKEN_BENCH_KERNELS_REPORT_H_
#define FORETOKEN_FORETOKEN_BENCH_KERNELS_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "kernel_quality.h"
#include "kernel_timing.h"

namespace foretoken {

struct KernelBenchReport {
  std::string model;
  std::string instruction_set;
  int32_t threads = 0;
  int32_t pairs = 0;
  uint64_t parameters = 0;    // of the model: multiplications of one row
  uint64_t weight_bytes = 0;  // of the file: read for every forward
  MachinePeaks peaks;
  KernelTimes times;
  std::optional<KernelQuality> quality;  // absent: no text was given
};

// One object; docs/benchmarks.md lists its fields.
nlohmann::ordered_json KernelReportToJson(const KernelBenchReport& report);
std::string KernelReportToTable(const KernelBenchReport& report);

// The denominator of every ratio at so many cached tokens: the smaller of our and the stock
// kernels' median of one row, in ms; nothing if one row was not measured there.
std::optional<double> OneRowMs(const KernelTimes& times, int32_t cached_tokens);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_KERNELS_REPORT_H_
