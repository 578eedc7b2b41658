#ifndef FORETOKEN_UNIT_TENANCY_QUOTA_FIXTURE_H_
#define FORETOKEN_UNIT_TENANCY_QUOTA_FIXTURE_H_

#include <atomic>
#include <cstdint>

#include "tenancy/tenant_quota.h"

namespace foretoken {

// A clock that a test sets. Any thread may read it.
struct FakeQuotaClock {
  QuotaClock Get() {
    return {[this] { return steady_ms.load(); }, [this] { return utc_ms.load(); }};
  }
  void Advance(int64_t ms) {
    steady_ms += ms;
    utc_ms += ms;
  }

  std::atomic<int64_t> steady_ms = 1'000'000;
  std::atomic<int64_t> utc_ms = 20'000LL * 86'400'000 + 3'600'000;  // one hour after midnight
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_TENANCY_QUOTA_FIXTURE_H_
