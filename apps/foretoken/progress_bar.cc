#include "progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cmath>

#include "fetch/part_file.h"

namespace foretoken {
namespace {

int Columns(std::FILE* out) {
  constexpr int kUsual = 80;
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsual;
  return size.ws_col;
}

}  // namespace

std::string FormatDuration(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

double ProgressBar::BytesPerSecond() const {
  if (samples_.size() < 2) return 0;
  const std::chrono::duration<double> time = samples_.back().time - samples_.front().time;
  if (time.count() < 0.2 || samples_.back().bytes <= samples_.front().bytes) return 0;
  return static_cast<double>(samples_.back().bytes - samples_.front().bytes) / time.count();
}

std::string ProgressBar::Text(uint64_t done_bytes, uint64_t total_bytes, int columns) const {
  const double rate = BytesPerSecond();
  std::string right = FormatBytes(done_bytes);
  if (total_bytes > 0) right += " of " + FormatBytes(total_bytes);
  if (rate > 0) {
    right += fmt::format("  {}/s", FormatBytes(static_cast<uint64_t>(rate)));
    if (total_bytes > done_bytes) {
      right += fmt::format("  {} left",
                           FormatDuration(static_cast<double>(total_bytes - done_bytes) / rate));
    }
  }
  if (total_bytes == 0) return fmt::format("{}  {}", label_, right);
  const double share =
      std::min(1.0, static_cast<double>(done_bytes) / static_cast<double>(total_bytes));
  const std::string left = fmt::format("{} {:3.0f} %", label_, std::floor(share * 100));
  constexpr int kMaxBar = 30;
  constexpr int kMinBar = 5;
  const int room = columns - static_cast<int>(left.size() + right.size()) - 6;
  const int width = std::min(kMaxBar, room);
  if (width < kMinBar) return fmt::format("{}  {}", left, right);
  const int filled = static_cast<int>(share * width);
  return fmt::format("{} [{:#<{}}{:.<{}}]  {}", left, "", filled, "", width - filled, right);
}

void ProgressBar::Update(uint64_t done_bytes, uint64_t total_bytes, Clock::time_point now) {
  constexpr auto kWindow = std::chrono::seconds(20);
  constexpr auto kRedraw = std::chrono::milliseconds(100);
  constexpr auto kLineInterval = std::chrono::seconds(5);
  // Starting again from nothing makes the old samples wrong.
  if (!samples_.empty() && done_bytes < samples_.back().bytes) samples_.clear();
  const bool first = last_drawn_ == Clock::time_point{};
  if (first && !terminal_) last_drawn_ = now;
  if (samples_.empty() || now - samples_.back().time >= kRedraw) {
    samples_.push_back({now, done_bytes});
    while (samples_.size() > 2 && now - samples_[1].time > kWindow) samples_.pop_front();
  }
  if (!first && now - last_drawn_ < (terminal_ ? kRedraw : kLineInterval)) return;
  if (first && !terminal_) return;
  last_drawn_ = now;
  if (terminal_) {
    const int columns = Columns(out_);
    std::string text = Text(done_bytes, total_bytes, columns);
    text.resize(std::min(text.size(), static_cast<size_t>(std::max(1, columns - 1))));
    fmt::print(out_, "\r\x1b[K{}", text);
    std::fflush(out_);
    drawn_ = true;
  } else {
    constexpr int kNoBar = 0;
    fmt::print(out_, "{}\n", Text(done_bytes, total_bytes, kNoBar));
    std::fflush(out_);
  }
}

void ProgressBar::Clear() {
  if (!drawn_) return;
  fmt::print(out_, "\r\x1b[K");
  std::fflush(out_);
  drawn_ = false;
}

void ProgressBar::Line(const std::string& text) {
  Clear();
  fmt::print(out_, "{}\n", text);
  std::fflush(out_);
}

}  // namespace foretoken
