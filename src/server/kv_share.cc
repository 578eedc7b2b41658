#include "server/kv_share.h"

namespace foretoken {

KvShareLease KvShares::TryTake(const std::string& tenant, const std::string& model, int64_t tokens,
                               int64_t limit) {
  KvShareLease lease;
  MutexLock lock(mutex_);
  int64_t& used = used_[{tenant, model}];
  if (used + tokens > limit) {
    if (used == 0) used_.erase({tenant, model});
    return lease;
  }
  used += tokens;
  lease.shares_ = this;
  lease.key_ = {tenant, model};
  lease.tokens_ = tokens;
  return lease;
}

int64_t KvShares::used_tokens() const {
  MutexLock lock(mutex_);
  int64_t sum = 0;
  for (const auto& [key, used] : used_) sum += used;
  return sum;
}

void KvShares::Release(const Key& key, int64_t tokens) {
  MutexLock lock(mutex_);
  const auto found = used_.find(key);
  found->second -= tokens;
  // Tenants come and go: what holds nothing is not remembered.
  if (found->second == 0) used_.erase(found);
}

KvShareLease& KvShareLease::operator=(KvShareLease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  shares_ = std::exchange(other.shares_, nullptr);
  key_ = std::move(other.key_);
  tokens_ = other.tokens_;
  return *this;
}

void KvShareLease::Release() {
  if (shares_ != nullptr) std::exchange(shares_, nullptr)->Release(key_, tokens_);
}

}  // namespace foretoken
