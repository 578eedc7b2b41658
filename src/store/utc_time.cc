#include "store/utc_time.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

namespace foretoken {
namespace {

using std::chrono::sys_days;
using std::chrono::year_month_day;

// Of digits that were found to be some.
int Number(std::string_view text, size_t begin, size_t digits) {
  int value = 0;
  for (const char c : text.substr(begin, digits)) value = value * 10 + (c - '0');
  return value;
}

}  // namespace

int64_t UtcNowMs() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             system_clock::now().time_since_epoch())
      .count();
}

int64_t UtcDayBeginMs(int64_t utc_ms) {
  const int64_t in_day = utc_ms % kDayMs;
  return utc_ms - (in_day < 0 ? in_day + kDayMs : in_day);
}

std::string FormatUtc(int64_t utc_ms) {
  const int64_t begin_ms = UtcDayBeginMs(utc_ms);
  const year_month_day date(sys_days(std::chrono::days(begin_ms / kDayMs)));
  const int64_t seconds = (utc_ms - begin_ms) / 1000;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     seconds / 3600, seconds / 60 % 60, seconds % 60);
}

Result<int64_t> ParseUtc(std::string_view text) {
  constexpr std::string_view kDate = "dddd-dd-dd";
  constexpr std::string_view kTime = "dddd-dd-ddTdd:dd:ddZ";
  const std::string_view shape = text.size() == kDate.size() ? kDate : kTime;
  const bool shaped = text.size() == shape.size() &&
                      std::equal(text.begin(), text.end(), shape.begin(), [](char c, char s) {
                        return s == 'd' ? c >= '0' && c <= '9' : c == s;
                      });
  if (shaped) {
    const year_month_day date(std::chrono::year(Number(text, 0, 4)),
                              std::chrono::month(static_cast<unsigned>(Number(text, 5, 2))),
                              std::chrono::day(static_cast<unsigned>(Number(text, 8, 2))));
    const bool timed = shape == kTime;
    const int hour = timed ? Number(text, 11, 2) : 0;
    const int minute = timed ? Number(text, 14, 2) : 0;
    const int second = timed ? Number(text, 17, 2) : 0;
    if (date.ok() && hour < 24 && minute < 60 && second < 60) {
      const int64_t days = sys_days(date).time_since_epoch().count();
      return days * kDayMs + (hour * 3600 + minute * 60 + second) * int64_t{1000};
    }
  }
  return InvalidArgumentError(fmt::format(
      "'{}' is no time; write a day as 2026-11-24 or a moment of UTC as 2026-11-24T13:05:09Z",
      text));
}

}  // namespace foretoken
