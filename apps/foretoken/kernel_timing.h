#ifndef FORETOKEN_FORETOKEN_KERNEL_TIMING_H_
#define FORETOKEN_FORETOKEN_KERNEL_TIMING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "kernels/kernel_report.h"
#include "model/loaded_model.h"

namespace foretoken {

// What `bench kernels` measures, and how often.
struct KernelTimingPlan {
  std::vector<int32_t> cached_tokens;
  std::vector<int32_t> rows;   // of a forward, the logits of all of them wanted
  int32_t prefill_rows = 512;  // of a forward whose last row's logits are wanted; 0: none
  int32_t pairs = 20;
};

// Forwards of one size on our kernels and on the stock ones, taken in turn.
struct TimedForwards {
  int32_t cached_tokens = 0;
  int32_t rows = 0;
  bool is_prefill = false;
  std::vector<double> ours_ms;
  std::vector<double> stock_ms;
};

struct KernelTimes {
  std::vector<TimedForwards> forwards;
  // Where the time of our forwards without cached tokens went, by rows; the rest is ggml's own.
  std::map<int32_t, KernelReport> operations;
};

// Times the same model loaded for our kernels and for the stock ones, on `threads` threads
// (0: the physical cores).
Result<KernelTimes> TimeKernels(LoadedModel& ours, LoadedModel& stock, int32_t threads,
                                const KernelTimingPlan& plan);

// What the machine gives with so many threads.
struct MachinePeaks {
  double read_gb_per_s = 0;  // reading memory, 10^9 bytes
  double gmac_per_s = 0;     // our Q4_K kernel on 12 columns with everything in cache
};
MachinePeaks MeasureMachinePeaks(int32_t threads);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_KERNEL_TIMING_H_
