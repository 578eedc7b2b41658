#ifndef FORETOKEN_BASE_SHA256_H_
#define FORETOKEN_BASE_SHA256_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "foretoken/status.h"

namespace foretoken {

// SHA-256 over a stream of bytes. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(const void* data, size_t bytes);
  // 64 lower-case hexadecimal digits. Call once; nothing may follow.
  std::string HexDigest();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// The digest of a whole file. NOT_FOUND, PERMISSION_DENIED or INTERNAL (read error) name the path.
// `progress`, if set, is told the bytes read so far.
Result<std::string> Sha256OfFile(const std::string& path,
                                 const std::function<void(uint64_t bytes)>& progress = {});

}  // namespace foretoken

#endif  // FORETOKEN_BASE_SHA256_H_
