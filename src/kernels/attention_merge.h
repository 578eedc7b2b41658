#ifndef FORETOKEN_KERNELS_ATTENTION_MERGE_H_
#define FORETOKEN_KERNELS_ATTENTION_MERGE_H_

// From the states of spans to a result; see attention_lanes.h.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"
#include "kernels/attention_lanes.h"

namespace foretoken {
namespace {

template <typename S>
void MergeSpan(const AttentionJob& job, const float* span, float* state) {
  // A span of which the row sees nothing.
  if (span[0] == -kInfinity && span[1] == 0.0f) return;
  const float largest = Larger(span[0], state[0]);
  const float base = ExpBase(largest);
  const float old_factor = ExpOne<S>(state[0] - base);
  const float new_factor = ExpOne<S>(span[0] - base);
  state[0] = largest;
  state[1] = __builtin_fmaf(state[1], old_factor, span[1] * new_factor);
  for (int32_t i = kStateHeader; i < kStateHeader + job.head_size_v; i += kLanes) {
    S::Store(state + i, S::Fma(S::Load(state + i), S::Broadcast(old_factor),
                               S::Mul(S::Load(span + i), S::Broadcast(new_factor))));
  }
}

template <typename S>
void FinishRow(const AttentionJob& job, int32_t head, const float* state, float* output) {
  float sum = state[1];
  float factor = 1.0f;
  if (job.sinks != nullptr) {
    const float sink = job.sinks[head];
    const float base = ExpBase(Larger(sink, state[0]));
    factor = ExpOne<S>(state[0] - base);
    sum = __builtin_fmaf(sum, factor, ExpOne<S>(sink - base));
  }
  const float weight = sum == 0.0f ? 0.0f : factor / sum;
  for (int32_t first = 0; first < job.head_size_v; first += kLanes) {
    typename S::Vec x = S::Mul(S::Load(state + kStateHeader + first), S::Broadcast(weight));
    // One NaN and one zero: their signs and payloads are the machine's business.
    x = S::Add(x, S::Zero());
    x = S::Select(S::IsNan(x), S::Broadcast(__builtin_nanf("")), x);
    if (first + kLanes <= job.head_size_v) {
      S::Store(output + first, x);
    } else {
      alignas(64) float rest[kLanes];
      S::Store(rest, x);
      memcpy(output + first, rest, static_cast<size_t>(job.head_size_v - first) * sizeof(float));
    }
  }
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_MERGE_H_
