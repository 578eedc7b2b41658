#ifndef FORETOKEN_KERNELS_ATTENTION_LANES_H_
#define FORETOKEN_KERNELS_ATTENTION_LANES_H_

// What attention computes with sixteen float lanes, whatever type S provides them. This header and
// those that refer to it here are included by one source per instruction set and by nothing else.
// Everything in them is in an unnamed namespace and nothing of the standard library with code is
// used: a function that two of these sources share by name could be taken from either by the
// linker, and run on a machine that cannot. Every operation on floats is written out (Fma where it
// is one), so that all instruction sets round alike.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"

#define FORETOKEN_INLINE inline __attribute__((always_inline))

namespace foretoken {
namespace {

inline constexpr int32_t kLanes = 16;
inline constexpr int32_t kBlockVectors = kAttentionBlock / kLanes;
inline constexpr int32_t kTilePairs =
    6;  // (row, head) pairs that share the loads of a key or value
inline constexpr float kInfinity = __builtin_inff();

// What a lane without a cell reads: zeros in every type.
alignas(64) inline constexpr unsigned char kNoCell[kMaxHeadSize * sizeof(float)] = {};

using Pair = AttentionPair;

FORETOKEN_INLINE constexpr int32_t RoundUpToLanes(int32_t n) {
  return (n + kLanes - 1) / kLanes * kLanes;
}

// exp(x) within 2 ulp; 0 below the smallest normal number, NaN of NaN; x is at most 88.3.
template <typename S>
FORETOKEN_INLINE typename S::Vec Exp(typename S::Vec x) {
  using Vec = typename S::Vec;
  const Vec lowest = S::Broadcast(-87.3365448f);
  const Vec magic = S::Broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec bounded = S::Max(lowest, x);
  const Vec shifted = S::Fma(bounded, S::Broadcast(1.44269504f), magic);
  const Vec n = S::Sub(shifted, magic);
  Vec r = S::Fma(n, S::Broadcast(-0.693145752f), bounded);
  r = S::Fma(n, S::Broadcast(-1.42860677e-6f), r);
  Vec q = S::Broadcast(0.0013814569683745503f);
  q = S::Fma(q, r, S::Broadcast(0.008368744514882565f));
  q = S::Fma(q, r, S::Broadcast(0.04166838899254799f));
  q = S::Fma(q, r, S::Broadcast(0.1666652113199234f));
  q = S::Fma(q, r, S::Broadcast(0.4999999403953552f));
  q = S::Fma(q, r, S::Broadcast(1.0f));
  q = S::Fma(q, r, S::Broadcast(1.0f));
  const Vec result = S::Mul(q, S::PowerOfTwo(shifted));
  return S::Select(S::Less(x, lowest), S::Zero(), result);
}

template <typename S>
FORETOKEN_INLINE float ExpOne(float x) {
  return S::First(Exp<S>(S::Broadcast(x)));
}

template <typename S>
FORETOKEN_INLINE typename S::Vec Tanh(typename S::Vec x) {
  using Vec = typename S::Vec;
  const Vec one = S::Broadcast(1.0f);
  const Vec two = S::Broadcast(2.0f);
  const Vec size = S::Max(S::Sub(S::Zero(), x), x);
  const Vec e = Exp<S>(S::Mul(two, S::Min(S::Broadcast(44.0f), size)));
  const Vec t = S::Sub(one, S::Div(two, S::Add(e, one)));
  return S::Select(S::Less(x, S::Zero()), S::Sub(S::Zero(), t), t);
}

// What exp subtracts: -inf would make NaN of a row whose logits are all -inf.
FORETOKEN_INLINE float ExpBase(float largest) {
  return largest == -kInfinity ? 0.0f : largest;
}

FORETOKEN_INLINE float Larger(float a, float b) {
  return a > b ? a : b;
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_LANES_H_
