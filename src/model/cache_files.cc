#include "model/cache_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/sha256.h"

namespace foretoken {
namespace {

constexpr size_t kMaxEntryBytes = size_t{64} << 10;

std::string Digest(std::string_view text) {
  Sha256 hash;
  hash.Update(text.data(), text.size());
  return hash.HexDigest();
}

// An entry is the digest of what follows, the key, an empty line and the value: a damaged file, or
// one of another key whose name collides, is then no entry.
std::string Body(std::string_view key, std::string_view value) {
  return fmt::format("{}\n\n{}", key, value);
}

}  // namespace

Result<std::string> CacheDirectory() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] != '\0') return std::string(cache) + "/foretoken";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] != '\0') return std::string(home) + "/.cache/foretoken";
  return FailedPreconditionError("neither XDG_CACHE_HOME nor HOME is set: no place for a cache");
}

std::string CacheEntryPath(const std::string& directory, std::string_view key) {
  return directory + "/" + Digest(key).substr(0, 32);
}

std::optional<std::string> ReadCacheEntry(const std::string& directory, std::string_view key) {
  std::ifstream file(CacheEntryPath(directory, key), std::ios::binary);
  std::string text(kMaxEntryBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  constexpr size_t kDigestBytes = 64;
  const std::string head = Body(key, "");
  if (text.size() < kDigestBytes + 1) return std::nullopt;
  const std::string_view body = std::string_view(text).substr(kDigestBytes + 1);
  if (text.substr(0, kDigestBytes) != Digest(body) || !body.starts_with(head)) return std::nullopt;
  return std::string(body.substr(head.size()));
}

Status WriteCacheEntry(const std::string& directory, std::string_view key, std::string_view value) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return InternalError(fmt::format("{}: {}", directory, error.message()));
  const std::string path = CacheEntryPath(directory, key);
  std::string temporary = path + ".XXXXXX";
  const int file = mkostemp(temporary.data(), O_CLOEXEC);
  if (file < 0) return InternalError(fmt::format("{}: {}", temporary, std::strerror(errno)));
  const std::string body = Body(key, value);
  const std::string text = fmt::format("{}\n{}", Digest(body), body);
  const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const bool closed = close(file) == 0;
  if (!written || !closed || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    std::remove(temporary.c_str());
    return InternalError(fmt::format("{}: {}", path, reason));
  }
  return OkStatus();
}

}  // namespace foretoken
