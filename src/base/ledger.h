#ifndef FORETOKEN_BASE_LEDGER_H_
#define FORETOKEN_BASE_LEDGER_H_

#include <cstdint>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "foretoken/status.h"

namespace foretoken {

class Reservation;

// A bounded quantity (KV cells, rows, bytes) from which users take reservations.
// Any thread may call it. It must outlive its reservations.
class Ledger {
 public:
  // `name` appears in messages: "KV cells of qwen2.5".
  Ledger(std::string name, int64_t capacity) : name_(std::move(name)), capacity_(capacity) {}
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // RESOURCE_EXHAUSTED, naming what is asked, used and available, when less than `amount` is left.
  Result<Reservation> Reserve(int64_t amount);

  int64_t capacity() const { return capacity_; }
  int64_t used() const;

 private:
  friend class Reservation;
  void Release(int64_t amount);

  const std::string name_;
  const int64_t capacity_;
  mutable Mutex mutex_;
  int64_t used_ FORETOKEN_GUARDED_BY(mutex_) = 0;
};

// A share of a ledger, returned when dropped. Move-only; one thread at a time.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { Reset(); }

  int64_t amount() const { return amount_; }
  void Reset();

 private:
  friend class Ledger;
  Reservation(Ledger* ledger, int64_t amount) : ledger_(ledger), amount_(amount) {}

  Ledger* ledger_ = nullptr;
  int64_t amount_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_BASE_LEDGER_H_
