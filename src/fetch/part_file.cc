#include "fetch/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "fetch/file_error.h"

namespace foretoken {
namespace {

std::string DirectoryOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

bool IsDiskFull(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

// A rename is durable only when its directory is.
Status SyncDirectory(const std::string& directory) {
  const int descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return FileError(errno, directory);
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  // Some network file systems refuse to sync a directory and need not.
  if (error != 0 && error != EINVAL) return FileError(error, directory);
  return OkStatus();
}

}  // namespace

Status FileError(int error, const std::string& path) {
  std::string message = fmt::format("{}: {}", path, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return NotFoundError(std::move(message));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return PermissionDeniedError(std::move(message));
  }
  if (IsDiskFull(error)) return ResourceExhaustedError(std::move(message));
  return InternalError(std::move(message));
}

DiskOperations SystemDisk() {
  return {[](const std::string& directory) -> Result<uint64_t> {
            struct statvfs facts {};
            if (statvfs(directory.c_str(), &facts) != 0) return FileError(errno, directory);
            return uint64_t{facts.f_bavail} * facts.f_frsize;
          },
          [](int descriptor, const void* data, size_t bytes) {
            return ::write(descriptor, data, bytes);
          }};
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  if (bytes < 1'000'000) return fmt::format("{:.1f} kB", static_cast<double>(bytes) / 1e3);
  if (bytes < 1'000'000'000) return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
  return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
}

PartFile::PartFile(std::string path, uint64_t expected_bytes, DiskOperations disk)
    : path_(std::move(path)), expected_bytes_(expected_bytes), disk_(std::move(disk)) {}

PartFile::PartFile(PartFile&& other) noexcept
    : path_(std::move(other.path_)),
      expected_bytes_(other.expected_bytes_),
      disk_(std::move(other.disk_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      bytes_(other.bytes_),
      hash_(std::move(other.hash_)) {}

PartFile& PartFile::operator=(PartFile&& other) noexcept {
  if (this == &other) return *this;
  Close();
  path_ = std::move(other.path_);
  expected_bytes_ = other.expected_bytes_;
  disk_ = std::move(other.disk_);
  descriptor_ = std::exchange(other.descriptor_, -1);
  bytes_ = other.bytes_;
  hash_ = std::move(other.hash_);
  return *this;
}

PartFile::~PartFile() {
  if (descriptor_ >= 0 && bytes_ == 0) unlink(path_.c_str());
  Close();
}

void PartFile::Close() {
  if (descriptor_ >= 0) close(std::exchange(descriptor_, -1));
}

Result<PartFile> PartFile::Open(std::string path, uint64_t expected_bytes, DiskOperations disk,
                                const FetchObserver& observer) {
  PartFile part(std::move(path), expected_bytes, std::move(disk));
  part.descriptor_ = open(part.path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (part.descriptor_ < 0) return FileError(errno, part.path_);
  std::vector<char> buffer(size_t{1} << 20);
  while (true) {
    const ssize_t got = read(part.descriptor_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, part.path_);
    if (got == 0) break;
    part.hash_.Update(buffer.data(), static_cast<size_t>(got));
    part.bytes_ += static_cast<uint64_t>(got);
    if (expected_bytes != 0 && part.bytes_ > expected_bytes) break;
    if (observer.Cancelled()) return CancelledError("interrupted");
  }
  if (expected_bytes != 0 && part.bytes_ > expected_bytes) {
    FORETOKEN_RETURN_IF_ERROR(part.Restart());
  }
  return part;
}

Status PartFile::DiskFull(uint64_t needed_bytes) const {
  const std::string directory = DirectoryOf(path_);
  auto free_bytes = disk_.free_bytes(directory);
  const std::string free = free_bytes.ok() ? FormatBytes(*free_bytes) : "an unknown amount";
  return ResourceExhaustedError(
      fmt::format("the disk is full: {} more is needed in {} and {} is free; make room, or set "
                  "FORETOKEN_MODELS_DIR to another disk, and run the same command again",
                  needed_bytes == 0 ? "space" : FormatBytes(needed_bytes), directory, free));
}

Status PartFile::CheckRoom(uint64_t scratch_bytes) const {
  const uint64_t rest_bytes = expected_bytes_ > bytes_ ? expected_bytes_ - bytes_ : 0;
  FORETOKEN_ASSIGN_OR_RETURN(const uint64_t free_bytes, disk_.free_bytes(DirectoryOf(path_)));
  if (free_bytes < rest_bytes + scratch_bytes) return DiskFull(rest_bytes + scratch_bytes);
  return OkStatus();
}

Status PartFile::Append(std::span<const char> data) {
  if (expected_bytes_ != 0 && data.size() > expected_bytes_ - bytes_) {
    return DataLossError(fmt::format("more than the expected {} bytes came", expected_bytes_));
  }
  while (!data.empty()) {
    const ssize_t put = disk_.write(descriptor_, data.data(), data.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && IsDiskFull(errno)) {
      return DiskFull(expected_bytes_ > bytes_ ? expected_bytes_ - bytes_ : 0);
    }
    if (put < 0) return FileError(errno, path_);
    hash_.Update(data.data(), static_cast<size_t>(put));
    bytes_ += static_cast<uint64_t>(put);
    data = data.subspan(static_cast<size_t>(put));
  }
  return OkStatus();
}

Status PartFile::Restart() {
  if (ftruncate(descriptor_, 0) != 0 || lseek(descriptor_, 0, SEEK_SET) != 0) {
    return FileError(errno, path_);
  }
  bytes_ = 0;
  hash_ = Sha256();
  return OkStatus();
}

Result<std::string> PartFile::Commit(const std::string& final_path, const std::string& sha256) && {
  if (expected_bytes_ != 0 && bytes_ < expected_bytes_) {
    return UnavailableError(fmt::format("only {} of {} bytes came", bytes_, expected_bytes_));
  }
  std::string digest = hash_.HexDigest();
  if (!sha256.empty() && digest != sha256) {
    unlink(path_.c_str());
    return DataLossError(
        fmt::format("the content is wrong: its SHA-256 is {}, not {}", digest, sha256));
  }
  if (fsync(descriptor_) != 0) return FileError(errno, path_);
  if (std::rename(path_.c_str(), final_path.c_str()) != 0) return FileError(errno, final_path);
  FORETOKEN_RETURN_IF_ERROR(SyncDirectory(DirectoryOf(final_path)));
  Close();
  return digest;
}

}  // namespace foretoken
