// libFuzzer target: whatever bytes come, taking them as a saved suffix store gives texts of the
// vocabulary or an error, and what is taken is written as it was read.

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "speculative/suffix_store_file.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using foretoken::StoredText;
using foretoken::SuffixStoreIdentity;

const SuffixStoreIdentity kIdentity{"fuzz", 7, 100};
constexpr size_t kHeaderBytes = 32;
constexpr size_t kDigestBytes = 64;

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

void TakeUp(std::string_view bytes) {
  const auto texts = foretoken::DecodeSuffixStore(bytes, kIdentity);
  if (!texts.ok()) {
    Require(!texts.status().message().empty());
    return;
  }
  for (const StoredText& text : *texts) {
    Require(text.context_tokens <= text.tokens.size());
    for (foretoken::TokenId token : text.tokens) Require(token >= 0 && token < 100);
  }
  Require(foretoken::EncodeSuffixStore(kIdentity, *texts) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  TakeUp(bytes);
  // Also as one who can compute checksums would write it.
  if (bytes.size() < kHeaderBytes + kDigestBytes) return 0;
  bytes.resize(bytes.size() - kDigestBytes);
  foretoken::SealSuffixStore(bytes);
  TakeUp(bytes);
  return 0;
}

// Most random bytes end at the magic; half of the inputs are therefore mutations of a valid file.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  std::minstd_rand random(seed + 1);
  if (random() % 2 == 0) {
    const std::string valid =
        foretoken::EncodeSuffixStore(kIdentity, {{{1, 2, 3, 99}, 0}, {{5, 6, 7}, 2}, {{0}, 1}});
    if (valid.size() <= max_size) {
      valid.copy(reinterpret_cast<char*>(data), valid.size());
      size = valid.size();
    }
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
