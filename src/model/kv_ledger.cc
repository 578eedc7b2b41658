#include "model/kv_ledger.h"

#include <functional>
#include <map>

#include <fmt/format.h>

namespace foretoken {

KvLease KvLedger::NewLease() {
  return KvLease(this, kNone);
}

int32_t KvLedger::ExclusiveTo(std::span<const KvLease* const> leases) const {
  // The holds that would be given up, deepest segments first: a child starts behind its parent.
  std::map<std::pair<int32_t, Index>, int32_t, std::greater<>> dropped_holds;
  for (const KvLease* lease : leases) {
    if (lease->last_ != kNone) ++dropped_holds[{At(lease->last_).start, lease->last_}];
  }
  int32_t cells = 0;
  while (!dropped_holds.empty()) {
    const auto [place, holds] = *dropped_holds.begin();
    dropped_holds.erase(dropped_holds.begin());
    const Segment& segment = At(place.second);
    if (holds < segment.holders) continue;
    cells += segment.end - segment.start;
    if (segment.parent != kNone) ++dropped_holds[{At(segment.parent).start, segment.parent}];
  }
  return cells;
}

KvLedger::Index KvLedger::New(int32_t start, int32_t end, Index parent) {
  const Segment segment{.start = start, .end = end, .parent = parent, .holders = 1};
  if (unused_.empty()) {
    segments_.push_back(segment);
    return static_cast<Index>(segments_.size()) - 1;
  }
  const Index index = unused_.back();
  unused_.pop_back();
  At(index) = segment;
  return index;
}

void KvLedger::Free(Index index) {
  unused_.push_back(index);
}

void KvLedger::Release(Index index) {
  while (index != kNone && --At(index).holders == 0) {
    used_ -= At(index).end - At(index).start;
    const Index parent = At(index).parent;
    Free(index);
    index = parent;
  }
}

KvLedger::Index KvLedger::SplitHead(Index index, int32_t position) {
  const Index head = New(At(index).start, position, At(index).parent);
  At(index).start = position;
  At(index).parent = head;
  return head;
}

void KvLedger::AbsorbParents(Index index) {
  Segment& segment = At(index);
  while (segment.parent != kNone && At(segment.parent).holders == 1) {
    const Index absorbed = segment.parent;
    segment.start = At(absorbed).start;
    segment.parent = At(absorbed).parent;
    Free(absorbed);
  }
}

KvLease& KvLease::operator=(KvLease&& other) noexcept {
  if (this != &other) {
    Reset();
    ledger_ = std::exchange(other.ledger_, nullptr);
    last_ = std::exchange(other.last_, KvLedger::kNone);
  }
  return *this;
}

void KvLease::Reset() {
  if (last_ != KvLedger::kNone) ledger_->Release(std::exchange(last_, KvLedger::kNone));
}

int32_t KvLease::exclusive() const {
  if (last_ == KvLedger::kNone || ledger_->At(last_).holders > 1) return 0;
  ledger_->AbsorbParents(last_);
  return ledger_->At(last_).end - ledger_->At(last_).start;
}

Status KvLease::Grow(int32_t tokens) {
  if (ledger_ == nullptr) return FailedPreconditionError("a lease of no ledger cannot grow");
  KvLedger& ledger = *ledger_;
  if (tokens < 0) {
    return InvalidArgumentError(
        fmt::format("{}: a lease cannot grow by {} cells", ledger.name_, tokens));
  }
  if (tokens > ledger.free()) {
    return ResourceExhaustedError(fmt::format("{}: {} wanted, {} of {} free", ledger.name_, tokens,
                                              ledger.free(), ledger.capacity_));
  }
  if (tokens == 0) return OkStatus();
  ledger.used_ += tokens;
  if (last_ != KvLedger::kNone && ledger.At(last_).holders == 1) {
    ledger.At(last_).end += tokens;
  } else {
    // This lease's hold on the segment becomes the new child's.
    last_ = ledger.New(length(), length() + tokens, last_);
  }
  return OkStatus();
}

void KvLease::Truncate(int32_t length) {
  while (last_ != KvLedger::kNone && ledger_->At(last_).start >= length) {
    const KvLedger::Index parent = ledger_->At(last_).parent;
    if (parent != KvLedger::kNone) ++ledger_->At(parent).holders;
    ledger_->Release(std::exchange(last_, parent));
  }
  if (last_ == KvLedger::kNone || length >= this->length()) return;
  KvLedger& ledger = *ledger_;
  if (ledger.At(last_).holders == 1) {
    ledger.used_ -= ledger.At(last_).end - length;
    ledger.At(last_).end = length;
  } else {
    const KvLedger::Index head = ledger.SplitHead(last_, length);
    ++ledger.At(head).holders;
    ledger.Release(std::exchange(last_, head));
  }
}

KvLease KvLease::Fork(int32_t length) const {
  KvLedger::Index index = last_;
  while (index != KvLedger::kNone) {
    ledger_->AbsorbParents(index);
    if (ledger_->At(index).start < length) break;
    index = ledger_->At(index).parent;
  }
  if (index != KvLedger::kNone) {
    if (length < ledger_->At(index).end) index = ledger_->SplitHead(index, length);
    ++ledger_->At(index).holders;
  }
  return KvLease(ledger_, index);
}

}  // namespace foretoken
