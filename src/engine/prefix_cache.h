#ifndef FORETOKEN_ENGINE_PREFIX_CACHE_H_
#define FORETOKEN_ENGINE_PREFIX_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tenant_key.h"
#include "foretoken/options.h"
#include "model/sequence_pool.h"

namespace foretoken {

// A sequence that nobody runs, and what its cells hold.
struct CachedPrefix {
  Sequence sequence;
  std::vector<TokenId> tokens;  // committed ones; exactly what is cached
  TenantKey tenant{};
  // What the cells were computed with: an adapter, by its tenant's name for it. Empty: the model
  // alone, as for all that is public.
  std::string adapter;
  bool is_public = false;  // the operator's: every tenant may share it
};

// Never used again for another entry.
enum class CachedPrefixId : uint64_t {};

struct PrefixMatch {
  CachedPrefixId id{};
  int32_t length = 0;  // tokens that agree, above 0
};

// Sequences kept for prompts that begin like them. A tenant is shown its own and public ones only.
// It bounds nothing itself: who runs out of cells or sequence ids evicts.
// The engine's thread only. The sequences' pool must outlive it.
class PrefixCache {
 public:
  explicit PrefixCache(const SequencePool& pool) : pool_(pool) {}
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Keeps an entry as the most recently used, and drops those that it makes needless: whoever
  // could match them matches as much of it. When it is needless itself, it is dropped and the
  // entry that makes it so becomes the most recently used. Returns the id of the one that stays.
  CachedPrefixId Insert(CachedPrefix prefix);

  // The entry that begins with the most of `tokens`, the most recently used of equal ones; nothing
  // when none begins with the first token. Does not count as use: a request may ask at every step.
  std::optional<PrefixMatch> Match(TenantKey tenant, std::string_view adapter,
                                   std::span<const TokenId> tokens) const;
  // Makes an entry the most recently used.
  void Touch(CachedPrefixId id);
  // Null when it is gone. Valid until the entry is.
  const CachedPrefix* Find(CachedPrefixId id) const;
  // Hands an entry out; nothing when it is gone.
  std::optional<CachedPrefix> Take(CachedPrefixId id);

  // Drops the least recently used entry that is not in `kept`, public ones only when there is no
  // other. False when there is nothing to drop.
  bool EvictLeastRecentlyUsed(std::span<const CachedPrefixId> kept = {});
  // Drops all that are a tenant's, public or not.
  void EvictTenant(TenantKey tenant);

  size_t size() const { return slots_.size(); }
  // Cells that would come free if all entries were dropped.
  int32_t ExclusiveCells() const;

 private:
  struct Slot {
    CachedPrefixId id{};
    CachedPrefix prefix;
  };

  std::list<Slot>::iterator At(CachedPrefixId id);

  const SequencePool& pool_;
  std::list<Slot> slots_;  // the most recently used first
  uint64_t last_id_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_PREFIX_CACHE_H_
