#include "sampling/candidates.h"

#include <algorithm>
#include <array>
#include <functional>

namespace foretoken {
namespace {

// Appends the tokens whose logit is at least `low`.
void Gather(std::span<const float> logits, float low, Candidates& out) {
  for (size_t begin = 0; begin < logits.size(); begin += kBlockTokens) {
    const size_t count = std::min(kBlockTokens, logits.size() - begin);
    const float* block = logits.data() + begin;
    uint32_t any = 0;
    for (size_t i = 0; i < count; ++i) any |= static_cast<uint32_t>(block[i] >= low);
    if (any == 0) continue;
    for (size_t i = 0; i < count; ++i) {
      if (block[i] >= low) out.Append(block[i], static_cast<TokenId>(begin + i));
    }
  }
}

// A lower bound of the k-th largest logit, or -kMaxLogit.
float LowerBoundOfKth(std::span<const float> logits, size_t k, std::vector<float>& maxima) {
  constexpr size_t kLanes = 64;
  constexpr size_t kSmallestGroup = 8;
  size_t group = 128;
  while (group >= kSmallestGroup && logits.size() / group < 2 * k) group /= 2;
  if (group < kSmallestGroup) return -kMaxLogit;

  // Lane i of a block of kLanes * group tokens is one group: any division will do, and this one
  // vectorises.
  const size_t block_tokens = kLanes * group;
  const size_t blocks = (logits.size() + block_tokens - 1) / block_tokens;
  maxima.assign(blocks * kLanes, kNoLogit);
  for (size_t block = 0; block < blocks; ++block) {
    float* const lane = maxima.data() + block * kLanes;
    const size_t end = std::min(logits.size(), (block + 1) * block_tokens);
    size_t row = block * block_tokens;
    for (; row + kLanes <= end; row += kLanes) {
      const float* const values = logits.data() + row;
      for (size_t i = 0; i < kLanes; ++i) lane[i] = values[i] > lane[i] ? values[i] : lane[i];
    }
    for (size_t i = 0; row + i < end; ++i) lane[i] = std::max(lane[i], logits[row + i]);
  }
  std::nth_element(maxima.begin(), maxima.begin() + (k - 1), maxima.end(), std::greater<float>());
  return std::max(maxima[k - 1], -kMaxLogit);
}

}  // namespace

void Candidates::Clear() {
  keys.clear();
  ids.clear();
}

void Candidates::Append(float logit, TokenId id) {
  keys.push_back(KeyOf(logit));
  ids.push_back(id);
}

void Candidates::Keep(const Cut& cut) {
  size_t kept = 0;
  for (size_t i = 0; i < size(); ++i) {
    if (!cut.Keeps(LogitOf(keys[i]), ids[i])) continue;
    keys[kept] = keys[i];
    ids[kept] = ids[i];
    ++kept;
  }
  keys.resize(kept);
  ids.resize(kept);
}

Cut GatherTopK(std::span<const float> logits, size_t k, std::vector<float>& scratch,
               Candidates& out) {
  out.Clear();
  Gather(logits, LowerBoundOfKth(logits, k, scratch), out);
  const Cut cut = CutAtWeight(out, {}, k);
  out.Keep(cut);
  return cut;
}

Cut CutAtWeight(const Candidates& candidates, std::span<const uint64_t> weights, uint64_t target) {
  constexpr int kDigitBits = 8;
  constexpr uint32_t kDigits = 1u << kDigitBits;
  const auto weight = [&](size_t i) { return weights.empty() ? uint64_t{1} : weights[i]; };
  uint32_t prefix = 0;
  uint32_t mask = 0;
  uint64_t remaining = target;
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    std::array<uint64_t, kDigits> mass{};
    for (size_t i = 0; i < candidates.size(); ++i) {
      const uint32_t key = candidates.keys[i];
      if ((key & mask) == prefix) mass[(key >> shift) % kDigits] += weight(i);
    }
    uint32_t digit = kDigits - 1;
    while (digit > 0 && mass[digit] < remaining) remaining -= mass[digit--];
    if (mass[digit] < remaining) return Cut();
    prefix |= digit << shift;
    mask |= (kDigits - 1) << shift;
  }
  // `prefix` is the key at which the sum is reached: its tokens are kept by ascending id.
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (candidates.keys[i] != prefix) continue;
    if (weight(i) >= remaining) return {LogitOf(prefix), candidates.ids[i]};
    remaining -= weight(i);
  }
  return Cut();
}

}  // namespace foretoken
