#ifndef FORETOKEN_KERNELS_ATTENTION_SOFTMAX_H_
#define FORETOKEN_KERNELS_ATTENTION_SOFTMAX_H_

// A block's softmax; see attention_lanes.h.

#include <cstdint>

#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"
#include "kernels/attention_lanes.h"

namespace foretoken {
namespace {

// What a row's logits become before the softmax: scaled, capped, with the mask, hidden where the
// row does not see. Returns the largest by lane.
template <typename S>
FORETOKEN_INLINE typename S::Vec FinishLogits(const AttentionJob& job, const Pair& pair,
                                              float* logits) {
  using Vec = typename S::Vec;
  const bool capped = job.logit_softcap != 0;
  const Vec scale = S::Broadcast(capped ? job.scale / job.logit_softcap : job.scale);
  const Vec hidden = S::Broadcast(-kInfinity);
  Vec most = hidden;
  for (int v = 0; v < kBlockVectors; ++v) {
    Vec x = S::Mul(S::Load(logits + v * kLanes), scale);
    if (capped) x = S::Mul(S::Broadcast(job.logit_softcap), Tanh<S>(x));
    if (pair.mask != nullptr) {
      x = S::Fma(S::Broadcast(pair.slope), S::Load(pair.mask + v * kLanes), x);
    }
    const auto seen = static_cast<uint16_t>(pair.visible >> (v * kLanes));
    x = S::Select(S::MaskOf(seen), x, hidden);
    S::Store(logits + v * kLanes, x);
    most = S::Max(x, most);  // passes over NaN: the sum will be NaN by it
  }
  return most;
}

// Turns the logits of up to kLanes pairs into weights relative to the largest logit so far, brings
// largest and sum up to date, and sets what the values so far are to be multiplied by. The pairs go
// through it together: alone, each would wait for its own chain of operations.
template <typename S>
void Softmax(const AttentionJob& job, Pair* pairs, int32_t count, float* logits) {
  using Vec = typename S::Vec;
  Vec of_pair[kLanes];
  alignas(64) float before[kLanes] = {};
  alignas(64) float sums[kLanes] = {};
  for (int32_t p = 0; p < kLanes; ++p) {
    of_pair[p] = S::Broadcast(-kInfinity);
    if (p >= count) continue;
    of_pair[p] = FinishLogits<S>(job, pairs[p], logits + p * kAttentionBlock);
    before[p] = pairs[p].state[0];
    sums[p] = pairs[p].state[1];
  }
  S::Transpose(of_pair);  // now by lane, and the pairs are lanes
  Vec largest = S::Load(before);
  for (int32_t i = 0; i < kLanes; ++i) largest = S::Max(of_pair[i], largest);
  // What exp subtracts: -inf would make NaN of a row whose logits are all -inf.
  const Vec base = S::Select(S::Less(S::Broadcast(-kInfinity), largest), largest, S::Zero());
  const Vec factor = Exp<S>(S::Sub(S::Load(before), base));
  alignas(64) float bases[kLanes];
  S::Store(bases, base);

  for (int32_t p = 0; p < count; ++p) {
    const Vec base_of_pair = S::Broadcast(bases[p]);
    Vec w[kBlockVectors];
    for (int v = 0; v < kBlockVectors; ++v) {
      float* const at = logits + p * kAttentionBlock + v * kLanes;
      w[v] = Exp<S>(S::Sub(S::Load(at), base_of_pair));
      S::Store(at, w[v]);
    }
    static_assert(kBlockVectors == 4);
    of_pair[p] = S::Add(S::Add(w[0], w[1]), S::Add(w[2], w[3]));
  }
  S::Transpose(of_pair);
  for (int32_t half = kLanes / 2; half > 0; half /= 2) {
    for (int32_t i = 0; i < half; ++i) of_pair[i] = S::Add(of_pair[i], of_pair[i + half]);
  }
  alignas(64) float factors[kLanes];
  alignas(64) float most[kLanes];
  S::Store(factors, factor);
  S::Store(most, largest);
  S::Store(sums, S::Fma(S::Load(sums), factor, of_pair[0]));
  for (int32_t p = 0; p < count; ++p) {
    pairs[p].factor = factors[p];
    pairs[p].state[0] = most[p];
    pairs[p].state[1] = sums[p];
  }
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_SOFTMAX_H_
