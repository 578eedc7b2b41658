#include "base/ledger.h"

namespace foretoken {

Result<Reservation> Ledger::Reserve(int64_t amount) {
  if (amount < 0) {
    return InvalidArgumentError("a reservation of " + name_ + " cannot be negative, got " +
                                std::to_string(amount));
  }
  MutexLock lock(mutex_);
  if (amount > capacity_ - used_) {
    return ResourceExhaustedError(name_ + ": " + std::to_string(amount) + " wanted, " +
                                  std::to_string(capacity_ - used_) + " of " +
                                  std::to_string(capacity_) + " free");
  }
  used_ += amount;
  return Reservation(this, amount);
}

int64_t Ledger::used() const {
  MutexLock lock(mutex_);
  return used_;
}

void Ledger::Release(int64_t amount) {
  MutexLock lock(mutex_);
  used_ -= amount;
}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    Reset();
    ledger_ = std::exchange(other.ledger_, nullptr);
    amount_ = std::exchange(other.amount_, 0);
  }
  return *this;
}

void Reservation::Reset() {
  if (ledger_ != nullptr) ledger_->Release(amount_);
  ledger_ = nullptr;
  amount_ = 0;
}

}  // namespace foretoken
