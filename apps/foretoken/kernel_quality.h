#ifndef FORETOKEN_FORETOKEN_KERNEL_QUALITY_H_
#define FORETOKEN_FORETOKEN_KERNEL_QUALITY_H_

#include <cstdint>
#include <string>

#include "foretoken/status.h"
#include "model/loaded_model.h"

namespace foretoken {

// How near two sets of kernels are, over the tokens of a text.
struct KernelQuality {
  int32_t tokens = 0;  // that were predicted
  double ours_perplexity = 0;
  double stock_perplexity = 0;
  // Mean over the tokens of the Kullback-Leibler divergence from the stock kernels' law, in nats.
  double ours_divergence = 0;
  // The same of the stock kernels without flash attention: what is taken for equal anyway.
  double stock_divergence = 0;
};

// Runs the first `tokens` tokens of the text on the same model loaded for both.
Result<KernelQuality> CompareKernelQuality(LoadedModel& ours, LoadedModel& stock, int32_t threads,
                                           const std::string& text, int32_t tokens);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_KERNEL_QUALITY_H_
