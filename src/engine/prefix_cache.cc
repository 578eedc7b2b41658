#include "engine/prefix_cache.h"

#include <algorithm>
#include <utility>

namespace foretoken {

namespace {

int32_t CommonLength(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<int32_t>(differ.first - a.begin());
}

// Whether everyone who can match `b` matches as much of `a`.
bool Covers(const CachedPrefix& a, const CachedPrefix& b) {
  return a.adapter == b.adapter && (a.is_public || (!b.is_public && a.tenant == b.tenant)) &&
         CommonLength(a.tokens, b.tokens) == static_cast<int32_t>(b.tokens.size());
}

}  // namespace

CachedPrefixId PrefixCache::Insert(CachedPrefix prefix) {
  const auto covering = std::find_if(slots_.begin(), slots_.end(), [&prefix](const Slot& slot) {
    return Covers(slot.prefix, prefix);
  });
  if (covering != slots_.end()) {
    slots_.splice(slots_.begin(), slots_, covering);
  } else {
    slots_.remove_if([&prefix](const Slot& slot) { return Covers(prefix, slot.prefix); });
    slots_.push_front({CachedPrefixId{++last_id_}, std::move(prefix)});
  }
  return slots_.front().id;
}

std::optional<PrefixMatch> PrefixCache::Match(TenantKey tenant, std::string_view adapter,
                                              std::span<const TokenId> tokens) const {
  PrefixMatch best;
  for (const Slot& slot : slots_) {
    const CachedPrefix& prefix = slot.prefix;
    if (prefix.adapter != adapter || (!prefix.is_public && prefix.tenant != tenant)) continue;
    const int32_t length = CommonLength(prefix.tokens, tokens);
    if (length > best.length) best = {slot.id, length};
  }
  if (best.length == 0) return std::nullopt;
  return best;
}

void PrefixCache::Touch(CachedPrefixId id) {
  const auto slot = At(id);
  if (slot != slots_.end()) slots_.splice(slots_.begin(), slots_, slot);
}

const CachedPrefix* PrefixCache::Find(CachedPrefixId id) const {
  const auto slot = std::find_if(slots_.begin(), slots_.end(),
                                 [id](const Slot& candidate) { return candidate.id == id; });
  return slot == slots_.end() ? nullptr : &slot->prefix;
}

std::optional<CachedPrefix> PrefixCache::Take(CachedPrefixId id) {
  const auto slot = At(id);
  if (slot == slots_.end()) return std::nullopt;
  CachedPrefix taken = std::move(slot->prefix);
  slots_.erase(slot);
  return taken;
}

bool PrefixCache::EvictLeastRecentlyUsed(std::span<const CachedPrefixId> kept) {
  for (const bool is_public : {false, true}) {
    const auto victim =
        std::find_if(slots_.rbegin(), slots_.rend(), [kept, is_public](const Slot& slot) {
          return slot.prefix.is_public == is_public &&
                 std::find(kept.begin(), kept.end(), slot.id) == kept.end();
        });
    if (victim == slots_.rend()) continue;
    slots_.erase(std::next(victim).base());
    return true;
  }
  return false;
}

void PrefixCache::EvictTenant(TenantKey tenant) {
  slots_.remove_if([tenant](const Slot& slot) { return slot.prefix.tenant == tenant; });
}

int32_t PrefixCache::ExclusiveCells() const {
  std::vector<const Sequence*> sequences;
  sequences.reserve(slots_.size());
  for (const Slot& slot : slots_) sequences.push_back(&slot.prefix.sequence);
  return pool_.CellsExclusiveTo(sequences);
}

std::list<PrefixCache::Slot>::iterator PrefixCache::At(CachedPrefixId id) {
  return std::find_if(slots_.begin(), slots_.end(),
                      [id](const Slot& slot) { return slot.id == id; });
}

}  // namespace foretoken
