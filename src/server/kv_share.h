#ifndef FORETOKEN_SERVER_KV_SHARE_H_
#define FORETOKEN_SERVER_KV_SHARE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/mutex.h"

namespace foretoken {

class KvShareLease;

// How much of a model's KV cache each tenant's running requests may come to hold, prompts and
// longest answers counted. Any thread may call it. It must outlive its leases.
class KvShares {
 public:
  // Empty when the tenant's requests would come to hold more than `limit` tokens; a lease of
  // nothing always can be had.
  KvShareLease TryTake(const std::string& tenant, const std::string& model, int64_t tokens,
                       int64_t limit) FORETOKEN_EXCLUDES(mutex_);
  // Of all tenants; 0 when nothing runs.
  int64_t used_tokens() const FORETOKEN_EXCLUDES(mutex_);

 private:
  friend class KvShareLease;
  using Key = std::pair<std::string, std::string>;
  void Release(const Key& key, int64_t tokens) FORETOKEN_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  std::map<Key, int64_t> used_ FORETOKEN_GUARDED_BY(mutex_);
};

// What a request holds of its tenant's share; dropped, it gives it back. Move-only.
class KvShareLease {
 public:
  KvShareLease() = default;
  KvShareLease(KvShareLease&& other) noexcept { *this = std::move(other); }
  KvShareLease& operator=(KvShareLease&& other) noexcept;
  ~KvShareLease() { Release(); }

  bool ok() const { return shares_ != nullptr; }

 private:
  friend class KvShares;
  void Release();

  KvShares* shares_ = nullptr;
  KvShares::Key key_;
  int64_t tokens_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_KV_SHARE_H_
