#ifndef FORETOKEN_FETCH_PART_FILE_H_
#define FORETOKEN_FETCH_PART_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/sha256.h"
#include "fetch/fetch_observer.h"
#include "foretoken/status.h"

namespace foretoken {

// The calls of the operating system that fail when a disk is full; replaced by tests.
struct DiskOperations {
  // Bytes that this user may still write into the file system of `directory`.
  std::function<Result<uint64_t>(const std::string& directory)> free_bytes;
  // As write(2).
  std::function<ssize_t(int descriptor, const void* data, size_t bytes)> write;
};
DiskOperations SystemDisk();

// "98.4 MB": decimal units, as disks and networks are sold.
std::string FormatBytes(uint64_t bytes);

// The beginning of a file that is being fetched, under a name of its own, with its running hash.
// The final name appears only in Commit, after size and hash were found right. Dropping it keeps
// what it holds for a later attempt; two users of one path must exclude each other with a FileLock.
// One thread at a time.
class PartFile {
 public:
  // Opens `path`, or creates it; what it holds is hashed and resumed from. `expected_bytes` is 0
  // when the size is not known; a longer part file starts again from nothing.
  static Result<PartFile> Open(std::string path, uint64_t expected_bytes, DiskOperations disk,
                               const FetchObserver& observer);

  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&& other) noexcept;
  ~PartFile();

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t expected_bytes() const { return expected_bytes_; }
  void set_expected_bytes(uint64_t bytes) { expected_bytes_ = bytes; }

  // RESOURCE_EXHAUSTED, saying how much is needed and free, when the rest of the file and
  // `scratch_bytes` do not fit on the disk.
  Status CheckRoom(uint64_t scratch_bytes) const;
  // DATA_LOSS when more comes than expected; RESOURCE_EXHAUSTED when the disk is full.
  Status Append(std::span<const char> data);
  // Empties the file.
  Status Restart();
  // Makes it durable and gives it its name, replacing what has that name; returns the hash.
  // DATA_LOSS when size or hash (unless `sha256` is empty) is wrong: then the part file is removed.
  Result<std::string> Commit(const std::string& final_path, const std::string& sha256) &&;

 private:
  PartFile(std::string path, uint64_t expected_bytes, DiskOperations disk);
  void Close();
  Status DiskFull(uint64_t needed_bytes) const;

  std::string path_;
  uint64_t expected_bytes_ = 0;
  DiskOperations disk_;
  int descriptor_ = -1;
  uint64_t bytes_ = 0;
  Sha256 hash_;
};

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_PART_FILE_H_
