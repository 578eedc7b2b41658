#include "engine/fair_counters.h"

#include <algorithm>

namespace foretoken {

void FairCounters::Join(TenantKey key, double weight) {
  Record& record = records_[key];
  record.weight = weight;
  idle_.erase({record.counter, key});
  record.counter = record.wait_offset ? CounterOf(record) : std::max(record.counter, floor_);
  record.wait_offset.reset();
  record.has_work = true;
  working_.emplace(record.counter, key);
  UpdateFloor();
}

void FairCounters::Wait(TenantKey key) {
  const auto found = records_.find(key);
  if (found == records_.end() || !found->second.has_work) return;
  Record& record = found->second;
  record.has_work = false;
  const auto place = working_.extract({record.counter, key});
  UpdateFloor();
  if (record.counter > floor_) {
    idle_.insert(place.value());  // the others may catch up meanwhile
  } else {
    record.wait_offset = record.counter - served_;
  }
}

void FairCounters::Leave(TenantKey key) {
  const auto found = records_.find(key);
  if (found == records_.end()) return;
  Record& record = found->second;
  working_.erase({record.counter, key});
  record.has_work = false;
  record.counter = CounterOf(record);
  record.wait_offset.reset();
  idle_.emplace(record.counter, key);
  UpdateFloor();
}

void FairCounters::Forget(TenantKey key) {
  const auto found = records_.find(key);
  if (found == records_.end()) return;
  working_.erase({found->second.counter, key});
  idle_.erase({found->second.counter, key});
  records_.erase(found);
  UpdateFloor();
}

void FairCounters::Charge(TenantKey key, int64_t tokens) {
  const auto found = records_.find(key);
  if (found == records_.end()) return;
  Record& record = found->second;
  const double charge = static_cast<double>(tokens) / record.weight;
  if (record.wait_offset) {
    *record.wait_offset += charge;
    return;
  }
  Ordered& order = record.has_work ? working_ : idle_;
  auto place = order.extract({record.counter, key});
  record.counter += charge;
  place.value().first = record.counter;
  order.insert(std::move(place));
  const double floor_before = floor_;
  UpdateFloor();
  served_ += floor_ - floor_before;
}

double FairCounters::CounterOf(const Record& record) const {
  return record.wait_offset ? served_ + *record.wait_offset : record.counter;
}

double FairCounters::Counter(TenantKey key) const {
  const auto found = records_.find(key);
  return found == records_.end() ? floor_ : CounterOf(found->second);
}

TenantKey FairCounters::Least(std::span<const TenantKey> keys) {
  const auto rank = [this](TenantKey key) {
    const auto found = records_.find(key);
    return found == records_.end() ? std::pair(floor_, uint64_t{0})
                                   : std::pair(CounterOf(found->second), found->second.chosen_at);
  };
  const TenantKey least = *std::min_element(
      keys.begin(), keys.end(), [&](TenantKey a, TenantKey b) { return rank(a) < rank(b); });
  const auto found = records_.find(least);
  if (found != records_.end()) found->second.chosen_at = ++choices_;
  return least;
}

bool FairCounters::IsAhead(TenantKey key, int64_t slack_tokens) const {
  const auto found = records_.find(key);
  if (found == records_.end()) return false;
  const Record& record = found->second;
  return CounterOf(record) > floor_ + static_cast<double>(slack_tokens) / record.weight;
}

void FairCounters::UpdateFloor() {
  if (!working_.empty()) floor_ = working_.begin()->first;
  while (!idle_.empty() && idle_.begin()->first <= floor_) {
    records_.erase(idle_.begin()->second);
    idle_.erase(idle_.begin());
  }
}

}  // namespace foretoken
