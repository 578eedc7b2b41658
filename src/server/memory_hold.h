#ifndef FORETOKEN_SERVER_MEMORY_HOLD_H_
#define FORETOKEN_SERVER_MEMORY_HOLD_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/ledger.h"

namespace foretoken {

// A share of a ledger of bytes that grows with what it stands for: doubling, as a string does.
// Returned when dropped. Move-only; one thread at a time; the ledger outlives it.
class MemoryHold {
 public:
  MemoryHold() = default;
  MemoryHold(MemoryHold&& other) noexcept
      : parts_(std::move(other.parts_)), held_bytes_(std::exchange(other.held_bytes_, 0)) {}
  MemoryHold& operator=(MemoryHold&& other) noexcept {
    parts_ = std::move(other.parts_);
    held_bytes_ = std::exchange(other.held_bytes_, 0);
    return *this;
  }

  // False when the ledger has too little left; what is held stays so.
  bool GrowTo(Ledger& ledger, int64_t bytes) {
    while (held_bytes_ < bytes) {
      Result<Reservation> more = ledger.Reserve(std::max(kFirstBytes, held_bytes_));
      if (!more.ok()) return false;
      held_bytes_ += more->amount();
      parts_.push_back(std::move(*more));
    }
    return true;
  }

  void Reset() {
    parts_.clear();
    held_bytes_ = 0;
  }

 private:
  static constexpr int64_t kFirstBytes = 16 * 1024;

  std::vector<Reservation> parts_;
  int64_t held_bytes_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_MEMORY_HOLD_H_
