#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

constexpr TenantKey kA{1};
constexpr TenantKey kB{2};
constexpr TenantKey kOperator{9};

using Tokens = std::vector<TokenId>;

// Tokens and owner of an entry; what holds them is made by the fixture.
struct Plan {
  Tokens tokens;
  TenantKey tenant = kA;
  std::string adapter;
  bool is_public = false;
};

// Real sequences of a fake back end, so that what the cache drops is seen there.
class PrefixCacheTest : public testing::Test {
 protected:
  static constexpr int32_t kCells = 400;

  PrefixCacheTest()
      : control_(std::make_shared<FakeControl>()),
        model_(NewFakeModel({.context_tokens = kCells}, control_)),
        backend_(model_->NewBackend({.max_sequences = 32}).value()),
        pool_(*backend_),
        cache_(pool_) {}

  CachedPrefix Run(const Plan& plan) {
    CachedPrefix prefix{.sequence = pool_.Acquire().value(),
                        .tokens = plan.tokens,
                        .tenant = plan.tenant,
                        .adapter = plan.adapter,
                        .is_public = plan.is_public};
    EXPECT_TRUE(prefix.sequence.Grow(static_cast<int32_t>(plan.tokens.size())).ok());
    std::vector<BatchRow> rows;
    for (const TokenId token : plan.tokens) {
      rows.push_back({.token = token,
                      .position = static_cast<int32_t>(rows.size()),
                      .sequences = {prefix.sequence.id()}});
    }
    EXPECT_TRUE(rows.empty() || backend_->Decode(rows).ok());
    return prefix;
  }
  CachedPrefixId Insert(const Plan& plan) { return cache_.Insert(Run(plan)); }
  bool Has(CachedPrefixId id) const { return cache_.Find(id) != nullptr; }
  int32_t MatchLength(TenantKey tenant, const std::string& adapter, const Tokens& tokens) const {
    const std::optional<PrefixMatch> match = cache_.Match(tenant, adapter, tokens);
    return match ? match->length : 0;
  }

  std::shared_ptr<FakeControl> control_;
  std::shared_ptr<LoadedModel> model_;
  std::unique_ptr<ModelBackend> backend_;
  SequencePool pool_;
  PrefixCache cache_;
};

TEST_F(PrefixCacheTest, MatchesTheLongestCommonPrefix) {
  const CachedPrefixId other = Insert({{1, 2, 9, 9, 9}});
  const CachedPrefixId best = Insert({{1, 2, 3, 4, 8}});
  const auto match = cache_.Match(kA, "", Tokens{1, 2, 3, 4, 5, 6});
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->id, best);
  EXPECT_EQ(match->length, 4);
  EXPECT_EQ(cache_.Find(best)->tokens, (Tokens{1, 2, 3, 4, 8}));
  EXPECT_EQ(MatchLength(kA, "", {1, 2}), 2);                // all of a shorter prompt
  EXPECT_EQ(cache_.Match(kA, "", Tokens{1, 2})->id, best);  // the more recently used
  cache_.Touch(other);
  EXPECT_EQ(cache_.Match(kA, "", Tokens{1, 2})->id, other);
  EXPECT_FALSE(cache_.Match(kA, "", Tokens{7, 1, 2, 3}).has_value());
  EXPECT_FALSE(cache_.Match(kA, "", Tokens{}).has_value());
}

TEST_F(PrefixCacheTest, NeverShowsAnotherTenantsOrAnotherAdapters) {
  Insert({{1, 2, 3, 4}, kA});
  Insert({{1, 2, 3}, kA, "formal"});
  Insert({{1, 2}, kOperator, "", true});
  EXPECT_EQ(MatchLength(kA, "", {1, 2, 3, 4}), 4);
  EXPECT_EQ(MatchLength(kA, "formal", {1, 2, 3, 4}), 3);
  EXPECT_EQ(MatchLength(kB, "", {1, 2, 3, 4}), 2);
  EXPECT_EQ(MatchLength(kB, "formal", {1, 2, 3, 4}), 0);
}

TEST_F(PrefixCacheTest, AnEntryThatContinuesAnotherReplacesIt) {
  const CachedPrefixId first = Insert({{1, 2}});
  const CachedPrefixId longer = Insert({{1, 2, 3}});
  EXPECT_FALSE(Has(first));
  EXPECT_TRUE(Has(longer));
  EXPECT_EQ(control_->cells_in_use, 3);
  EXPECT_EQ(Insert({{1, 2}}), longer);  // contained: not kept
  EXPECT_EQ(Insert({{1, 2, 3}}), longer);
  EXPECT_EQ(cache_.size(), 1U);
  EXPECT_EQ(control_->cells_in_use, 3);
  EXPECT_EQ(pool_.used(), 1);
}

TEST_F(PrefixCacheTest, OnlyWhatItsReadersCanSeeReplacesAnEntry) {
  const CachedPrefixId mine = Insert({{1, 2}, kA});
  const CachedPrefixId neighbours = Insert({{1, 2, 3}, kB});
  const CachedPrefixId adapted = Insert({{1, 2, 3}, kA, "formal"});
  EXPECT_TRUE(Has(mine) && Has(neighbours) && Has(adapted));
  // A public entry serves everyone, so it replaces; a private one cannot replace a public one.
  const CachedPrefixId shared = Insert({{1, 2}, kOperator, "", true});
  EXPECT_FALSE(Has(mine));
  EXPECT_TRUE(Has(neighbours) && Has(adapted) && Has(shared));
  EXPECT_EQ(Insert({{1, 2}, kA}), shared);
  const CachedPrefixId operators = Insert({{1, 2, 3, 4}, kOperator});
  EXPECT_TRUE(Has(operators) && Has(shared));
}

TEST_F(PrefixCacheTest, EvictsTheLeastRecentlyUsedAndPublicOnesLast) {
  const CachedPrefixId shared = Insert({{4}, kOperator, "", true});
  const CachedPrefixId first = Insert({{1}});
  const CachedPrefixId second = Insert({{2}});
  const CachedPrefixId third = Insert({{3}});
  cache_.Touch(first);
  EXPECT_TRUE(cache_.EvictLeastRecentlyUsed());
  EXPECT_FALSE(Has(second));
  EXPECT_TRUE(cache_.EvictLeastRecentlyUsed(std::vector{third}));
  EXPECT_TRUE(Has(third) && Has(shared));
  EXPECT_FALSE(Has(first));
  EXPECT_FALSE(cache_.EvictLeastRecentlyUsed(std::vector{third, shared}));
  EXPECT_TRUE(cache_.EvictLeastRecentlyUsed());
  EXPECT_FALSE(Has(third));
  EXPECT_TRUE(cache_.EvictLeastRecentlyUsed());
  EXPECT_FALSE(cache_.EvictLeastRecentlyUsed());
  EXPECT_EQ(cache_.size(), 0U);
  EXPECT_EQ(control_->cells_in_use, 0);
  EXPECT_EQ(pool_.used_cells(), 0);
  EXPECT_EQ(pool_.used(), 0);
}

TEST_F(PrefixCacheTest, TakingHandsOutTheSequence) {
  const CachedPrefixId id = Insert({{1, 2, 3}});
  {
    std::optional<CachedPrefix> taken = cache_.Take(id);
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(taken->tokens, (Tokens{1, 2, 3}));
    EXPECT_EQ(taken->sequence.length(), 3);
    EXPECT_TRUE(taken->sequence.valid());
    EXPECT_EQ(cache_.size(), 0U);
    EXPECT_FALSE(cache_.Take(id).has_value());
    EXPECT_EQ(control_->cells_in_use, 3);
  }
  EXPECT_EQ(control_->cells_in_use, 0);
}

TEST_F(PrefixCacheTest, CountsTheCellsThatOnlyItHolds) {
  const CachedPrefixId id = Insert({{1, 2, 3, 4}});
  EXPECT_EQ(cache_.ExclusiveCells(), 4);
  Sequence running = cache_.Find(id)->sequence.Fork(3).value();
  EXPECT_EQ(cache_.ExclusiveCells(), 1);
  // A second entry that shares with the first only: together they hold all of it.
  CachedPrefix sibling{.sequence = cache_.Find(id)->sequence.Fork(3).value(),
                       .tokens = {1, 2, 3, 5},
                       .tenant = kA,
                       .adapter = "",
                       .is_public = false};
  ASSERT_TRUE(sibling.sequence.Grow(1).ok());
  cache_.Insert(std::move(sibling));
  EXPECT_EQ(cache_.ExclusiveCells(), 2);
  running.Reset();
  EXPECT_EQ(cache_.ExclusiveCells(), 5);
}

// The rules written plainly over a list without order.
class PrefixCacheModelTest : public PrefixCacheTest {
 protected:
  struct Entry {
    Plan plan;
    CachedPrefixId id{};
    int64_t last_used = 0;
  };

  int Random(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  TenantKey RandomTenant() { return TenantKey{static_cast<uint64_t>(Random(1, 2))}; }
  std::string RandomAdapter() { return Random(0, 3) == 0 ? "formal" : ""; }
  Tokens RandomTokens() {
    Tokens tokens(static_cast<size_t>(Random(0, 8)));
    for (TokenId& token : tokens) token = Random(1, 3);
    return tokens;
  }

  static bool IsSeenBy(const Entry& entry, TenantKey tenant, const std::string& adapter) {
    return (entry.plan.is_public || entry.plan.tenant == tenant) && entry.plan.adapter == adapter;
  }
  static bool BeginsWith(const Tokens& tokens, const Tokens& beginning) {
    return tokens.size() >= beginning.size() &&
           Tokens(tokens.begin(), tokens.begin() + static_cast<int64_t>(beginning.size())) ==
               beginning;
  }
  // Whether `a` makes `b` needless, told by who could ask.
  static bool Replaces(const Entry& a, const Entry& b) {
    if (!BeginsWith(a.plan.tokens, b.plan.tokens)) return false;
    for (uint64_t tenant = 1; tenant <= 3; ++tenant) {
      for (const char* adapter : {"", "formal"}) {
        if (IsSeenBy(b, TenantKey{tenant}, adapter) && !IsSeenBy(a, TenantKey{tenant}, adapter)) {
          return false;
        }
      }
    }
    return true;
  }

  void InsertStep() {
    Entry entry{{RandomTokens(), RandomTenant(), RandomAdapter(), Random(0, 4) == 0}};
    entry.last_used = ++clock_;
    // More than one may contain it; which is touched is seen from the answer.
    std::vector<CachedPrefixId> containing;
    for (const Entry& other : entries_) {
      if (Replaces(other, entry)) containing.push_back(other.id);
    }
    entry.id = Insert(entry.plan);
    if (!containing.empty()) {
      ASSERT_TRUE(std::find(containing.begin(), containing.end(), entry.id) != containing.end());
      Touched(entry.id);
      return;
    }
    std::erase_if(entries_, [&](const Entry& other) { return Replaces(entry, other); });
    entries_.push_back(entry);
  }

  void MatchStep() {
    const TenantKey tenant = RandomTenant();
    const std::string adapter = RandomAdapter();
    const Tokens tokens = RandomTokens();
    size_t longest = 0;
    CachedPrefixId best{};
    int64_t best_used = 0;
    for (const Entry& entry : entries_) {
      if (!IsSeenBy(entry, tenant, adapter)) continue;
      size_t length = 0;
      while (length < tokens.size() && length < entry.plan.tokens.size() &&
             tokens[length] == entry.plan.tokens[length]) {
        ++length;
      }
      if (length > longest || (length == longest && length > 0 && entry.last_used > best_used)) {
        longest = length;
        best = entry.id;
        best_used = entry.last_used;
      }
    }
    const std::optional<PrefixMatch> match = cache_.Match(tenant, adapter, tokens);
    ASSERT_EQ(match.has_value(), longest > 0);
    if (!match) return;
    ASSERT_EQ(match->length, static_cast<int32_t>(longest));
    ASSERT_EQ(match->id, best);
    if (Random(0, 1) == 0) return;
    cache_.Touch(best);
    Touched(best);
  }

  void Touched(CachedPrefixId id) {
    for (Entry& entry : entries_) {
      if (entry.id == id) entry.last_used = ++clock_;
    }
  }

  void EvictStep() {
    std::vector<CachedPrefixId> kept;
    for (const Entry& entry : entries_) {
      if (Random(0, 3) == 0) kept.push_back(entry.id);
    }
    auto victim = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (std::find(kept.begin(), kept.end(), entry->id) != kept.end()) continue;
      if (victim == entries_.end() || std::pair(entry->plan.is_public, entry->last_used) <
                                          std::pair(victim->plan.is_public, victim->last_used)) {
        victim = entry;
      }
    }
    ASSERT_EQ(cache_.EvictLeastRecentlyUsed(kept), victim != entries_.end());
    if (victim != entries_.end()) entries_.erase(victim);
  }

  void Step() {
    const int action = entries_.size() > 25 ? 15 : Random(0, 17);
    if (action < 9) {
      InsertStep();
    } else if (action < 15) {
      MatchStep();
    } else if (action == 15) {
      EvictStep();
    } else if (action == 16 && Random(0, 20) == 0) {
      const TenantKey tenant = RandomTenant();
      cache_.EvictTenant(tenant);
      std::erase_if(entries_, [&](const Entry& entry) { return entry.plan.tenant == tenant; });
    } else if (!entries_.empty()) {
      const auto entry = entries_.begin() + Random(0, static_cast<int>(entries_.size()) - 1);
      const std::optional<CachedPrefix> taken = cache_.Take(entry->id);
      ASSERT_TRUE(taken.has_value());
      ASSERT_EQ(taken->tokens, entry->plan.tokens);
      entries_.erase(entry);
    }
  }

  void Check() {
    size_t cells = 0;
    for (const Entry& entry : entries_) {
      cells += entry.plan.tokens.size();
      ASSERT_TRUE(Has(entry.id));
      ASSERT_EQ(cache_.Find(entry.id)->tokens, entry.plan.tokens);
      ASSERT_EQ(cache_.Find(entry.id)->tenant, entry.plan.tenant);
    }
    ASSERT_EQ(cache_.size(), entries_.size());
    ASSERT_EQ(cache_.ExclusiveCells(), static_cast<int32_t>(cells));
    ASSERT_EQ(control_->cells_in_use, static_cast<int32_t>(cells));
    ASSERT_EQ(pool_.used_cells(), static_cast<int32_t>(cells));
    ASSERT_EQ(pool_.used(), static_cast<int32_t>(entries_.size()));
  }

  std::mt19937_64 random_{11};
  std::vector<Entry> entries_;
  int64_t clock_ = 0;
};

TEST_F(PrefixCacheModelTest, AgreesWithTheRulesWrittenPlainly) {
  for (int step = 0; step < 20000; ++step) {
    Step();
    Check();
    if (HasFatalFailure()) FAIL() << "step " << step;
  }
}

}  // namespace
}  // namespace foretoken
