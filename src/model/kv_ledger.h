#ifndef FORETOKEN_MODEL_KV_LEDGER_H_
#define FORETOKEN_MODEL_KV_LEDGER_H_

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "foretoken/status.h"

namespace foretoken {

class KvLease;

// The exact count of cells in a unified KV cache whose sequences share forked prefixes: a cell
// counts once, however many sequences hold it.
// One thread at a time. It must outlive its leases.
class KvLedger {
 public:
  // `name` appears in messages: "KV cells of qwen2.5".
  KvLedger(std::string name, int32_t capacity) : name_(std::move(name)), capacity_(capacity) {}
  KvLedger(const KvLedger&) = delete;
  KvLedger& operator=(const KvLedger&) = delete;

  KvLease NewLease();

  int32_t capacity() const { return capacity_; }
  int32_t used() const { return used_; }
  int32_t free() const { return capacity_ - used_; }

  // Cells that would come free if all of `leases` (different ones, of this ledger) were dropped:
  // more than the sum of their exclusive() where they share cells with each other only.
  int32_t ExclusiveTo(std::span<const KvLease* const> leases) const;

  // Pieces of memory that the count takes; for tests.
  int32_t segments() const { return static_cast<int32_t>(segments_.size() - unused_.size()); }

 private:
  friend class KvLease;

  // A place in segments_.
  using Index = int32_t;
  static constexpr Index kNone = -1;

  // A run of cells, at positions [start, end) of every sequence that holds it. The runs form a
  // forest: what a sequence holds is the path from its last run up to a root. A run is held by its
  // children and by the leases that end with it, and lives as long as one of them does.
  struct Segment {
    int32_t start = 0;
    int32_t end = 0;
    Index parent = kNone;
    int32_t holders = 0;
  };

  Segment& At(Index index) { return segments_[static_cast<size_t>(index)]; }
  const Segment& At(Index index) const { return segments_[static_cast<size_t>(index)]; }

  // A segment with one holder: the caller.
  Index New(int32_t start, int32_t end, Index parent);
  void Free(Index index);
  // Gives up one hold, and with the last one the segment and its own hold on its parent.
  void Release(Index index);
  // Cuts a segment in two at a position inside it. `index` stays the tail, so that its holders
  // need not be told. Returns the head, which the tail alone holds.
  Index SplitHead(Index index, int32_t position);
  // Makes one segment of this and those above it that nobody else holds: what splitting left
  // behind when the fork that it was for is gone.
  void AbsorbParents(Index index);

  const std::string name_;
  const int32_t capacity_;
  int32_t used_ = 0;
  std::vector<Segment> segments_;
  std::vector<Index> unused_;  // places in segments_
};

// The cells of one sequence, returned when dropped. Move-only; its ledger must outlive it.
class KvLease {
 public:
  // Holds nothing and cannot grow: only KvLedger::NewLease and Fork make leases of a ledger.
  KvLease() = default;
  KvLease(KvLease&& other) noexcept { *this = std::move(other); }
  KvLease& operator=(KvLease&& other) noexcept;
  ~KvLease() { Reset(); }

  int32_t length() const { return last_ == KvLedger::kNone ? 0 : ledger_->At(last_).end; }
  // Cells that would come free if this lease were dropped.
  int32_t exclusive() const;

  // Takes `tokens` more cells. RESOURCE_EXHAUSTED, with nothing changed, when fewer are free.
  Status Grow(int32_t tokens);
  // Gives all of them back.
  void Reset();
  // Keeps the first `length` cells; a no-op where there are no more.
  void Truncate(int32_t length);
  // A lease on the first `length` cells (on all where there are fewer), shared with this one. Takes
  // no cell.
  KvLease Fork(int32_t length) const;

 private:
  friend class KvLedger;
  KvLease(KvLedger* ledger, KvLedger::Index last) : ledger_(ledger), last_(last) {}

  KvLedger* ledger_ = nullptr;
  KvLedger::Index last_ = KvLedger::kNone;  // the segment that ends where this lease ends
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_KV_LEDGER_H_
