#include "fetch/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "fetch/file_error.h"

namespace foretoken {
namespace {

// A holder removes the file when it lets go, so a lock may be won on a file that has no name any
// more, beside a new file of that name that somebody else holds.
bool IsFileAt(int descriptor, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return fstat(descriptor, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

}  // namespace

FileLock::FileLock(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
  if (descriptor_ < 0) return;
  unlink(path_.c_str());
  close(descriptor_);
}

Result<FileLock> FileLock::Acquire(const std::string& path, const std::string& waiting,
                                   const FetchObserver& observer) {
  constexpr auto kPollInterval = std::chrono::milliseconds(50);
  bool told = false;
  while (true) {
    const int descriptor = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (descriptor < 0) return FileError(errno, path);
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
      if (IsFileAt(descriptor, path)) return FileLock(path, descriptor);
      close(descriptor);
      continue;
    }
    const int error = errno;
    close(descriptor);
    if (error != EWOULDBLOCK && error != EINTR) return FileError(error, path);
    if (observer.Cancelled()) return CancelledError("interrupted while waiting for " + path);
    if (!std::exchange(told, true)) observer.Notice(waiting);
    std::this_thread::sleep_for(kPollInterval);
  }
}

}  // namespace foretoken
