#ifndef FORETOKEN_FETCH_FETCH_OBSERVER_H_
#define FORETOKEN_FETCH_FETCH_OBSERVER_H_

#include <cstdint>
#include <functional>
#include <string>

namespace foretoken {

struct FetchProgress {
  uint64_t done_bytes = 0;   // of the model, those from an earlier attempt included
  uint64_t total_bytes = 0;  // 0: not known yet
};

// How a fetch tells its caller what it does. Called on the fetching thread; each may be empty.
struct FetchObserver {
  std::function<void(const FetchProgress&)> progress;
  // One line of text without a line end: a source that is skipped and why, a retry, a resume.
  std::function<void(const std::string&)> notice;
  // True ends the fetch with CANCELLED within a tenth of a second; what was fetched is kept.
  std::function<bool()> cancelled;

  void Progress(uint64_t done_bytes, uint64_t total_bytes) const {
    if (progress) progress({done_bytes, total_bytes});
  }
  void Notice(const std::string& line) const {
    if (notice) notice(line);
  }
  bool Cancelled() const { return cancelled && cancelled(); }
};

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_FETCH_OBSERVER_H_
