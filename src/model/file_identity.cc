#include "model/file_identity.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/log.h"
#include "base/macros.h"
#include "base/sha256.h"
#include "model/cache_files.h"

namespace foretoken {
namespace {

constexpr int64_t kNanoseconds = 1'000'000'000;
// A file written within this time may be written again without a new modification time, because
// file systems stamp by a coarse clock: its digest is not kept.
constexpr int64_t kSettledNs = 2 * kNanoseconds;

struct Identity {
  std::string key;
  int64_t modified_ns = 0;
};

Result<Identity> IdentityOf(const std::string& path) {
  struct stat facts {};
  std::error_code error;
  const std::string canonical = std::filesystem::canonical(path, error).string();
  if (error || stat(path.c_str(), &facts) != 0) {
    const int code = error ? error.value() : errno;
    const std::string message = path + ": " + std::strerror(code);
    if (code == ENOENT || code == ENOTDIR) return NotFoundError(message);
    if (code == EACCES) return PermissionDeniedError(message);
    return InternalError(message);
  }
  Identity identity;
  identity.modified_ns = facts.st_mtim.tv_sec * kNanoseconds + facts.st_mtim.tv_nsec;
  identity.key = fmt::format("{} bytes, modified {}, inode {}, {}", facts.st_size,
                             identity.modified_ns, facts.st_ino, canonical);
  return identity;
}

bool IsDigest(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

Result<std::string> CachedSha256OfFile(const std::string& path,
                                       const std::function<void(uint64_t bytes)>& progress) {
  FORETOKEN_ASSIGN_OR_RETURN(const Identity before, IdentityOf(path));
  const auto cache = CacheDirectory();
  const std::string directory = cache.ok() ? *cache + "/identity" : "";
  if (cache.ok()) {
    const std::optional<std::string> digest = ReadCacheEntry(directory, before.key);
    if (digest && IsDigest(*digest)) return *digest;
  }
  struct timespec now {};
  clock_gettime(CLOCK_REALTIME, &now);
  FORETOKEN_ASSIGN_OR_RETURN(std::string digest, Sha256OfFile(path, progress));
  FORETOKEN_ASSIGN_OR_RETURN(const Identity after, IdentityOf(path));
  if (after.key != before.key) {
    return FailedPreconditionError(path +
                                   ": changed while it was read; try again when it is whole");
  }
  const int64_t age_ns = now.tv_sec * kNanoseconds + now.tv_nsec - before.modified_ns;
  if (cache.ok() && age_ns > kSettledNs) {
    const Status written = WriteCacheEntry(directory, before.key, digest);
    if (!written.ok()) Log(LogLevel::kWarning, "the next start hashes again: " + written.message());
  }
  return digest;
}

}  // namespace foretoken
