#ifndef FORETOKEN_SAMPLING_GUMBEL_NOISE_H_
#define FORETOKEN_SAMPLING_GUMBEL_NOISE_H_

#include <bit>
#include <cstdint>

#include "foretoken/options.h"

namespace foretoken {

// A 32-bit hash of a token under a 64-bit key: triple32 (github.com/skeeto/hash-prospector) with
// the second half of the key put in after its first multiplication. Loops over it vectorise.
inline uint32_t MixToken(uint32_t token, uint32_t key_a, uint32_t key_b) {
  uint32_t h = token + key_a;
  h ^= h >> 17;
  h *= 0xed5ad4bbu;
  h ^= key_b;
  h ^= h >> 11;
  h *= 0xac4c1b51u;
  h ^= h >> 15;
  h *= 0x31848babu;
  h ^= h >> 14;
  return h;
}

// No Gumbel variate whose high word is `high` exceeds this by more than 1e-4 (float rounding).
// g <= -ln(high * 2^-32), because -ln(1 - v) >= v; and log2 of a float is at least its bits read
// as a fixed-point number, because log2(1 + m) >= m for 0 <= m <= 1.
inline float GumbelUpperBound(uint32_t high) {
  constexpr float kLn2 = 0.69314718f;
  constexpr float kScale = kLn2 / 8388608.0f;  // 2^23 steps per power of two
  constexpr float kOffset = kLn2 * 158.0f;     // 127 + 32 - 1: the float is of high / 2
  const float half = static_cast<float>(static_cast<int32_t>(high >> 1));
  return kOffset - static_cast<float>(std::bit_cast<int32_t>(half)) * kScale;
}

// The noise of one position: a standard Gumbel variate for every token, a pure function of (seed,
// stream, position, token) with the same bits on every machine. A value; any thread.
class RowNoise {
 public:
  struct Key {
    uint32_t a;
    uint32_t b;
  };

  RowNoise(uint64_t seed, uint64_t stream, int64_t position);

  // Between -3.7 and 45.1.
  double Gumbel(TokenId token) const;

  // MixToken under this key gives the 32 leading bits of the token's uniform variate, for
  // GumbelUpperBound.
  Key high_key() const { return high_; }

 private:
  Key high_;
  Key low_;
};

// A uniform variate in (0, 1), for the rejection rules. Independent of every RowNoise and of the
// variates with another seed, stream or counter.
double UniformNoise(uint64_t seed, uint64_t stream, uint64_t counter);

// The stream of a child of `parent`: its `ordinal`-th one in program order, never anything that
// depends on time.
uint64_t DeriveNoiseStream(uint64_t parent, uint64_t ordinal);

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_GUMBEL_NOISE_H_
