#ifndef FORETOKEN_TENANCY_QUOTA_WINDOW_H_
#define FORETOKEN_TENANCY_QUOTA_WINDOW_H_

#include <cstdint>
#include <deque>

namespace foretoken {

// What was used in the last 60 s, in buckets of 100 ms. A bucket counts until its last instant is
// 60 s old, so a sum is never too small: where each sum is kept within a limit, no 60 s have more
// than that, whenever they begin. What rounding costs: use counts for up to 100 ms longer.
// One thread at a time; times never go back.
class QuotaWindow {
 public:
  static constexpr int64_t kSpanMs = 60'000;
  static constexpr int64_t kBucketMs = 100;

  void Add(int64_t amount, int64_t now_ms);
  int64_t Used(int64_t now_ms);
  // When at most `amount` will count, if nothing is added: `now_ms` or later.
  int64_t TimeOfAtMost(int64_t amount, int64_t now_ms);

 private:
  struct Bucket {
    int64_t leaves_ms;  // does not count from then on
    int64_t amount;
  };

  std::deque<Bucket> buckets_;  // in order of time
  int64_t used_ = 0;            // their sum
};

}  // namespace foretoken

#endif  // FORETOKEN_TENANCY_QUOTA_WINDOW_H_
