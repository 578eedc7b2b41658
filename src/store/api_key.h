#ifndef FORETOKEN_STORE_API_KEY_H_
#define FORETOKEN_STORE_API_KEY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "foretoken/status.h"

namespace foretoken {

// A key is "ftk_", 43 random letters and digits (256 bits), and 6 that check the others. Its first
// 12 characters are its id, which is no secret: 209 bits remain.
inline constexpr std::string_view kApiKeyPrefix = "ftk_";
inline constexpr size_t kApiKeyIdBytes = 12;
inline constexpr size_t kApiKeyBytes = 53;

// What the store keeps of a key.
struct KeyRecord {
  std::string id;      // the key's first 12 characters
  std::string tenant;  // the one it speaks for
  std::string label;   // the operator's words; at most 128 bytes, one line
  int64_t created_ms = 0;
  std::optional<int64_t> expires_ms;    // it is refused from then on
  std::optional<int64_t> revoked_ms;    // since when it is refused
  std::optional<int64_t> last_used_ms;  // to the minute
};

// A new key from the operating system's randomness. INTERNAL when that cannot be had.
Result<std::string> NewApiKey();

// The id of what looks like a key, or INVALID_ARGUMENT that says what does not: the message never
// repeats the key. A wrong character is noticed here, without the store.
Result<std::string> ApiKeyId(std::string_view key);

// What is stored of a key: its SHA-256 in hexadecimal. A plain hash is right for a secret of 200
// random bits, which nobody can guess; slow hashes are for passwords.
std::string ApiKeyHash(std::string_view key);

// Whether both are the same, in a time that depends on their lengths only.
bool SameSecret(std::string_view left, std::string_view right);

// OK, or INVALID_ARGUMENT: a label is at most 128 bytes of UTF-8 without control characters.
Status ValidateKeyLabel(std::string_view label);

}  // namespace foretoken

#endif  // FORETOKEN_STORE_API_KEY_H_
