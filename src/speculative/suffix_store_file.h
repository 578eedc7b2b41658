#ifndef FORETOKEN_SPECULATIVE_SUFFIX_STORE_FILE_H_
#define FORETOKEN_SPECULATIVE_SUFFIX_STORE_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"

namespace foretoken {

// Whose texts a store holds: a file is taken up only by the tenant and for the vocabulary it was
// saved with.
struct SuffixStoreIdentity {
  std::string tenant;
  uint64_t vocabulary_fingerprint = 0;
  int32_t vocabulary_size = 0;  // tokens are 0 to this, exclusive
};

struct StoredText {
  std::vector<TokenId> tokens;
  // How many of the first are there as context only: they are the end of the text
  // or prompt before.
  uint32_t context_tokens = 0;
};

// The most tokens of one stored text, context included.
inline constexpr uint32_t kMaxStoredTextTokens = 280;

// The file format, all numbers little-endian:
//   "FTSUFFIX", u32 version, u32 bytes of the tenant's name, u64 bytes of the file,
//   u64 vocabulary fingerprint, the tenant's name, u32 texts, and for each
//   u32 tokens, u32 of them context, i32 each token;
//   the SHA-256 of all that, in hexadecimal.
std::string EncodeSuffixStore(const SuffixStoreIdentity& identity,
                              const std::vector<StoredText>& texts);

// Believes no number before it is checked. DATA_LOSS names what is wrong and at which byte;
// FAILED_PRECONDITION for another tenant, vocabulary or version.
Result<std::vector<StoredText>> DecodeSuffixStore(std::string_view bytes,
                                                  const SuffixStoreIdentity& identity);

// The last step of encoding: sets the size in the header, which must be there, and appends the
// digest.
void SealSuffixStore(std::string& bytes);

// Makes `bytes` the content of `path`, readable by its owner only, or leaves what was there.
// NOT_FOUND (directory), PERMISSION_DENIED, RESOURCE_EXHAUSTED (disk full) or INTERNAL.
Status ReplaceFile(const std::string& path, std::string_view bytes);

// NOT_FOUND, PERMISSION_DENIED, INTERNAL; FAILED_PRECONDITION for what is no regular file or is
// larger than `max_bytes`.
Result<std::string> ReadWholeFile(const std::string& path, uint64_t max_bytes);

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SUFFIX_STORE_FILE_H_
