#include "sampling/gumbel_noise.h"

#include "sampling/exact_math.h"

namespace foretoken {
namespace {

constexpr uint64_t kGumbelDomain = 0x466f7265746f6b31;   // "Foretok1"
constexpr uint64_t kUniformDomain = 0x466f7265746f6b32;  // "Foretok2"
constexpr uint64_t kStreamDomain = 0x466f7265746f6b33;   // "Foretok3"
constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

// David Stafford's variant 13 of the 64-bit finaliser, as in SplitMix64: a bijection.
uint64_t Mix64(uint64_t h) {
  h ^= h >> 30;
  h *= 0xbf58476d1ce4e5b9;
  h ^= h >> 27;
  h *= 0x94d049bb133111eb;
  h ^= h >> 31;
  return h;
}

// Every step mixes one word into all bits, so that no sum or difference of words can cancel.
uint64_t Hash(uint64_t domain, uint64_t seed, uint64_t stream, uint64_t counter) {
  uint64_t h = Mix64(domain + kGolden);
  h = Mix64((h ^ seed) + kGolden);
  h = Mix64((h ^ stream) + kGolden);
  h = Mix64((h ^ counter) + kGolden);
  return h;
}

RowNoise::Key Split(uint64_t h) {
  return {static_cast<uint32_t>(h >> 32), static_cast<uint32_t>(h)};
}

}  // namespace

RowNoise::RowNoise(uint64_t seed, uint64_t stream, int64_t position) {
  const uint64_t h = Hash(kGumbelDomain, seed, stream, static_cast<uint64_t>(position));
  high_ = Split(h);
  low_ = Split(Mix64(h + kGolden));
}

double RowNoise::Gumbel(TokenId token) const {
  const uint32_t id = static_cast<uint32_t>(token);
  const double high = MixToken(id, high_.a, high_.b);
  const double low = MixToken(id, low_.a, low_.b);
  // Both terms are exact; their sum is rounded once and can round to 1, never to 0.
  double v = high * 0x1p-32 + (low + 0.5) * 0x1p-64;
  if (v >= 1.0) v = 0x1.fffffffffffffp-1;
  return -ExactLog(ExactNegLog1m(v));
}

double UniformNoise(uint64_t seed, uint64_t stream, uint64_t counter) {
  const uint64_t h = Hash(kUniformDomain, seed, stream, counter);
  return (static_cast<double>(h >> 12) + 0.5) * 0x1p-52;
}

uint64_t DeriveNoiseStream(uint64_t parent, uint64_t ordinal) {
  return Hash(kStreamDomain, parent, ordinal, 0);
}

}  // namespace foretoken
