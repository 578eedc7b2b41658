#include "store/api_key.h"

#include <openssl/crypto.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "base/sha256.h"
#include "base/utf8.h"

namespace foretoken {
namespace {

// Letters and digits alone: a double click selects the whole key.
constexpr std::string_view kAlphabet =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr size_t kRandomDigits = 43;  // 43 * log2(62) = 256.03 bits
constexpr size_t kCheckDigits = 6;
constexpr size_t kLabelBytes = 128;

static_assert(kApiKeyBytes == kApiKeyPrefix.size() + kRandomDigits + kCheckDigits);

// Of everything before them. Not secret: they find typing errors, one in 5e10 of which escapes.
std::string CheckDigits(std::string_view text) {
  const std::string hash = ApiKeyHash(text);
  uint64_t value = std::stoull(hash.substr(0, 15), nullptr, 16);
  std::string digits;
  for (size_t i = 0; i < kCheckDigits; ++i) {
    digits += kAlphabet[value % kAlphabet.size()];
    value /= kAlphabet.size();
  }
  return digits;
}

}  // namespace

Result<std::string> NewApiKey() {
  std::string key(kApiKeyPrefix);
  const size_t wanted = kApiKeyPrefix.size() + kRandomDigits;
  std::array<unsigned char, 64> bytes;
  while (key.size() < wanted) {
    // At most 256 bytes come whole or not at all.
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      if (errno == EINTR) continue;
      return InternalError("the operating system gave no random bytes: " +
                           std::generic_category().message(errno));
    }
    for (const unsigned char byte : bytes) {
      // 248 = 4 * 62: the bytes above it would make some characters more likely than others.
      if (byte < 248 && key.size() < wanted) key += kAlphabet[byte % kAlphabet.size()];
    }
  }
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key + CheckDigits(key);
}

Result<std::string> ApiKeyId(std::string_view key) {
  if (!key.starts_with(kApiKeyPrefix)) {
    return InvalidArgumentError(fmt::format("a key begins with {}", kApiKeyPrefix));
  }
  if (key.size() != kApiKeyBytes) {
    return InvalidArgumentError(
        fmt::format("a key has {} characters, this has {}", kApiKeyBytes, key.size()));
  }
  const std::string_view body = key.substr(0, kApiKeyBytes - kCheckDigits);
  if (CheckDigits(body) != key.substr(body.size())) {
    return InvalidArgumentError("this is no key as it was given out: a character is wrong");
  }
  return std::string(key.substr(0, kApiKeyIdBytes));
}

std::string ApiKeyHash(std::string_view key) {
  Sha256 hash;
  hash.Update(key.data(), key.size());
  return hash.HexDigest();
}

bool SameSecret(std::string_view left, std::string_view right) {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

Status ValidateKeyLabel(std::string_view label) {
  const bool control = std::any_of(label.begin(), label.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
  if (label.size() <= kLabelBytes && !control && IsValidUtf8(label)) return OkStatus();
  return InvalidArgumentError(
      fmt::format("a key's label is one line of at most {} bytes of UTF-8", kLabelBytes));
}

}  // namespace foretoken
