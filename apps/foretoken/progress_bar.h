#ifndef FORETOKEN_FORETOKEN_PROGRESS_BAR_H_
#define FORETOKEN_FORETOKEN_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <utility>

namespace foretoken {

// "4 s", "3 min 20 s", "2 h 5 min".
std::string FormatDuration(double seconds);

// Draws how far a transfer is, with rate and time left: on a terminal one line that is redrawn,
// elsewhere a line every few seconds. The rate is that of the last twenty seconds, and only of
// bytes that came since the first update: those of an earlier attempt are no speed. One thread.
class ProgressBar {
 public:
  using Clock = std::chrono::steady_clock;

  ProgressBar(std::string label, std::FILE* out, bool terminal)
      : label_(std::move(label)), out_(out), terminal_(terminal) {}
  ~ProgressBar() { Clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // `total_bytes` 0: not known. Draws only when enough time has passed since the last drawing.
  void Update(uint64_t done_bytes, uint64_t total_bytes, Clock::time_point now = Clock::now());
  // Prints a line of its own, above the bar.
  void Line(const std::string& text);
  // Takes the bar off the terminal.
  void Clear();

  // What Update draws, for a line of `columns`.
  std::string Text(uint64_t done_bytes, uint64_t total_bytes, int columns) const;

 private:
  struct Sample {
    Clock::time_point time;
    uint64_t bytes;
  };
  double BytesPerSecond() const;

  const std::string label_;
  std::FILE* const out_;
  const bool terminal_;
  std::deque<Sample> samples_;
  Clock::time_point last_drawn_{};
  bool drawn_ = false;
};

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_PROGRESS_BAR_H_
