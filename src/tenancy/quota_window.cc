#include "tenancy/quota_window.h"

namespace foretoken {

void QuotaWindow::Add(int64_t amount, int64_t now_ms) {
  if (amount == 0) return;
  // A time in whole milliseconds is up to one too early: the end of its bucket is not.
  const int64_t leaves_ms = (now_ms / kBucketMs + 1) * kBucketMs + kSpanMs;
  if (buckets_.empty() || buckets_.back().leaves_ms < leaves_ms) buckets_.push_back({leaves_ms, 0});
  buckets_.back().amount += amount;
  used_ += amount;
}

int64_t QuotaWindow::Used(int64_t now_ms) {
  while (!buckets_.empty() && buckets_.front().leaves_ms <= now_ms) {
    used_ -= buckets_.front().amount;
    buckets_.pop_front();
  }
  return used_;
}

int64_t QuotaWindow::TimeOfAtMost(int64_t amount, int64_t now_ms) {
  int64_t left = Used(now_ms);
  int64_t time_ms = now_ms;
  for (const Bucket& bucket : buckets_) {
    if (left <= amount) break;
    left -= bucket.amount;
    time_ms = bucket.leaves_ms;
  }
  return time_ms;
}

}  // namespace foretoken
