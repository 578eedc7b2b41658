#ifndef FORETOKEN_KERNELS_MATMUL_CODES_H_
#define FORETOKEN_KERNELS_MATMUL_CODES_H_

#include "kernels/matmul_formats.h"

// Codes of packed weights: unpacked, and multiplied with a group of columns, for a Simd as in
// matmul_products.h. For the sources of one instruction set only.

namespace foretoken {

// Where to prefetch next, and how far on that goes with every 64 bytes of weights.
struct Ahead {
  const uint8_t* address;
  int64_t step;
};

// For the next kBytes bytes of weights. Spread over the work like this: a burst of prefetches would
// fill the queue of outstanding loads and stall.
template <typename Simd, int kBytes>
FORETOKEN_INLINE void PrefetchAhead(Ahead& ahead) {
  FORETOKEN_UNROLL
  for (int i = 0; i < kBytes; i += 64) {
    Simd::Prefetch(ahead.address);
    ahead.address += ahead.step;
  }
}

// The vectors kIndex and kIndex + 4 of 32 inputs.
template <typename Simd, Code kCode, int kIndex>
FORETOKEN_INLINE void UnpackPair(const uint8_t* codes, typename Simd::Ints* first,
                                 typename Simd::Ints* second) {
  using Ints = typename Simd::Ints;
  const Ints stored = Simd::Load(codes + 64 * kIndex);
  if constexpr (kCode == Code::kBytes) {
    *first = stored;
    *second = Simd::Load(codes + 64 * (kIndex + 4));
  } else {
    const Ints nibble = Simd::SetBytes(15);
    const Ints upper = Simd::template ShiftRight16<4>(stored);
    if constexpr (kCode == Code::kFiveBits) {
      const Ints five_bits = Simd::SetBytes(31);
      const Ints high_bits = Simd::Load(codes + 256);
      *first =
          Simd::And(Simd::Select(nibble, stored, Simd::template ShiftLeft16<4 - kIndex>(high_bits)),
                    five_bits);
      *second = Simd::And(
          Simd::Select(nibble, upper, Simd::template ShiftRight16<kIndex>(high_bits)), five_bits);
    } else {
      *first = Simd::And(stored, nibble);
      *second = Simd::And(upper, nibble);
      if constexpr (kCode == Code::kIq4Nl) {
        const Ints table = Simd::LoadTable(kIq4NlCodes);
        *first = Simd::LookUp(table, *first);
        *second = Simd::LookUp(table, *second);
      }
    }
  }
}

template <Code kCode>
inline constexpr int kCodeBits = kCode == Code::kNibbles    ? 4
                                 : kCode == Code::kFiveBits ? 5
                                                            : 8;

// sums[c] += the products of two vectors of codes with column c's inputs at first_inputs[c] and
// second_inputs[c]; the second ones may go to sums of their own.
template <typename Simd, int kBits, int kColumns>
FORETOKEN_INLINE void AddPair(typename Simd::Ints first, const int32_t* first_inputs,
                              typename Simd::Ints second, const int32_t* second_inputs,
                              typename Simd::Ints* sums, typename Simd::Ints* second_sums) {
  if constexpr (Simd::kAddsInPairs) {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      sums[c] = Simd::template AddTwoDots<kBits>(sums[c], first, first_inputs + c, second,
                                                 second_inputs + c);
    }
  } else {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) sums[c] = Simd::AddDots(sums[c], first, first_inputs + c);
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      second_sums[c] = Simd::AddDots(second_sums[c], second, second_inputs + c);
    }
  }
}

// sums[c] += the products of 32 inputs of column c.
template <typename Simd, Code kCode, int kColumns>
FORETOKEN_INLINE void AddProducts32(const uint8_t* codes, const int32_t* quants,
                                    typename Simd::Ints (&sums)[kColumns]) {
  using Ints = typename Simd::Ints;
  // With few columns, two sums for each: one would wait for its own last result.
  constexpr bool kTwoSums = kColumns <= 4 && !Simd::kAddsInPairs;
  [[maybe_unused]] Ints more[kColumns];
  if constexpr (kTwoSums) {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) more[c] = Simd::Zero();
  }
  Unrolled<4>([&](auto index) FORETOKEN_INLINE_LAMBDA {
    const int i = decltype(index)::kIndex;
    Ints first, second;
    UnpackPair<Simd, kCode, i>(codes, &first, &second);
    AddPair<Simd, kCodeBits<kCode>, kColumns>(first, quants + i * kColumns, second,
                                              quants + (i + 4) * kColumns, sums,
                                              kTwoSums ? more : sums);
  });
  if constexpr (kTwoSums) {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) sums[c] = Simd::Add(sums[c], more[c]);
  }
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_CODES_H_
