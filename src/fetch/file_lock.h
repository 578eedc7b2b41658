#ifndef FORETOKEN_FETCH_FILE_LOCK_H_
#define FORETOKEN_FETCH_FILE_LOCK_H_

#include <string>

#include "fetch/fetch_observer.h"
#include "foretoken/status.h"

namespace foretoken {

// The only holder of a lock file, among all processes of this machine; the file is gone when the
// lock is. A process that dies lets go of it. Move-only; one thread at a time.
class FileLock {
 public:
  // Waits for another holder, after the notice `waiting`. CANCELLED when the observer says so;
  // otherwise fails when the file cannot be made.
  static Result<FileLock> Acquire(const std::string& path, const std::string& waiting,
                                  const FetchObserver& observer);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) = delete;
  ~FileLock();

 private:
  FileLock(std::string path, int descriptor);

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_FILE_LOCK_H_
