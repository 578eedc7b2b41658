#ifndef FORETOKEN_ENGINE_FAIR_COUNTERS_H_
#define FORETOKEN_ENGINE_FAIR_COUNTERS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include "engine/tenant_key.h"

namespace foretoken {

// Who is served next: virtual token counters with weights (arXiv 2401.00588). What a tenant is
// served raises its counter, by less the more it weighs, and the smallest counter goes first. A
// tenant without work banks no credit, and does not shed what it is ahead by leaving and coming
// back.
// One thread at a time. Remembers tenants that have work, wait, or left ahead of those that had.
class FairCounters {
 public:
  // The tenant has work, waiting or running. Its counter is lifted to the smallest of the tenants
  // that have work (to the last one of those when there is none). When it had work before, only
  // its weight changes. `weight` is above 0; between 1/1,000 and 1,000 a counter stays exact to a
  // token over years.
  void Join(TenantKey key, double weight);
  // The tenant has work that cannot go on for the moment. Nobody waits for it to catch up, and it
  // saves nothing up, but when it joins again it is as far behind the others as it is now: until
  // then its counter rises with the least of theirs.
  void Wait(TenantKey key);
  // The tenant has no work, or none that will soon go on.
  void Leave(TenantKey key);
  // The tenant is not coming back.
  void Forget(TenantKey key);

  // The tenant was served `tokens` >= 0: prefill, committed and rejected positions. For one that
  // has work or left ahead; nothing for others.
  void Charge(TenantKey key, int64_t tokens);

  // In tokens of a tenant of weight 1. The floor for tenants that are not remembered.
  double Counter(TenantKey key) const;
  // The one with the smallest counter; of equal ones that which this chose least recently.
  // Precondition: there are keys, of tenants that have work.
  TenantKey Least(std::span<const TenantKey> keys);
  // Whether the tenant was served more than `slack_tokens` of its own too early: it sits out while
  // the others catch up. Never true of all tenants that have work.
  bool IsAhead(TenantKey key, int64_t slack_tokens) const;

  // Tenants remembered.
  size_t size() const { return records_.size(); }

 private:
  struct Record {
    double counter = 0;
    double weight = 1;
    bool has_work = false;
    std::optional<double> wait_offset;  // while it waits, its counter is this much above served_
    uint64_t chosen_at = 0;             // 0: not yet
  };
  using Ordered = std::set<std::pair<double, TenantKey>>;  // by counter

  // Follows the smallest counter, and forgets who has no work and is not ahead of it: such a
  // tenant would be lifted to it.
  void UpdateFloor();
  double CounterOf(const Record& record) const;

  std::unordered_map<TenantKey, Record> records_;
  Ordered working_;
  Ordered idle_;
  double floor_ = 0;   // the smallest counter of those that have work, or of those that last had
  double served_ = 0;  // how far service has raised the floor, not who came and went
  uint64_t choices_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_FAIR_COUNTERS_H_
