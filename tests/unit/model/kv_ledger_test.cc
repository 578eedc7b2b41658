#include "model/kv_ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

// A lease beside the numbers of the cells it ought to hold.
struct Model {
  KvLease lease;
  std::vector<int64_t> cells;
};

// How many of the sequences hold each cell.
std::map<int64_t, int32_t> Holders(const std::vector<Model>& models) {
  std::map<int64_t, int32_t> holders;
  for (const Model& model : models) {
    for (const int64_t cell : model.cells) ++holders[cell];
  }
  return holders;
}

// Cells that nobody outside `group` holds.
int32_t OnlyIn(const std::vector<const Model*>& group,
               const std::map<int64_t, int32_t>& all_holders) {
  std::map<int64_t, int32_t> holders;
  for (const Model* model : group) {
    for (const int64_t cell : model->cells) ++holders[cell];
  }
  return static_cast<int32_t>(
      std::count_if(holders.begin(), holders.end(), [&](const auto& cell_and_count) {
        return cell_and_count.second == all_holders.at(cell_and_count.first);
      }));
}

class KvLedgerModelTest : public testing::TestWithParam<uint64_t> {
 protected:
  int32_t Random(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  size_t RandomModel() { return static_cast<size_t>(Random(0, Count() - 1)); }
  int32_t Count() const { return static_cast<int32_t>(models_.size()); }

  void Grow(Model& model, int32_t tokens) {
    const int32_t free = ledger_.free();
    EXPECT_EQ(model.lease.Grow(tokens).ok(), tokens <= free);
    for (int32_t i = 0; i < tokens && tokens <= free; ++i) model.cells.push_back(next_cell_++);
  }

  void Step() {
    const int32_t action = Random(0, 9);
    if (models_.empty() || action == 0) {
      models_.push_back({ledger_.NewLease(), {}});
      return;
    }
    Model& model = models_[RandomModel()];
    const int32_t length = Random(0, static_cast<int32_t>(model.cells.size()));
    if (action <= 3) {
      Grow(model, Random(0, 12));
    } else if (action == 4) {
      // Mostly the end, as a rejected draft does.
      const int32_t keep = std::max(length, model.lease.length() - 4);
      model.lease.Truncate(keep);
      model.cells.resize(static_cast<size_t>(keep));
    } else if (action == 5) {
      model.lease.Truncate(length);
      model.cells.resize(static_cast<size_t>(length));
    } else if (action <= 7 && Count() < 12) {
      models_.push_back(
          {model.lease.Fork(length), {model.cells.begin(), model.cells.begin() + length}});
    } else {
      // The last one moves over the dropped one.
      std::swap(model, models_.back());
      models_.pop_back();
    }
  }

  void Check() {
    const std::map<int64_t, int32_t> holders = Holders(models_);
    ASSERT_EQ(ledger_.used(), static_cast<int32_t>(holders.size()));
    std::vector<const Model*> group;
    std::vector<const KvLease*> leases;
    for (const Model& model : models_) {
      ASSERT_EQ(model.lease.length(), static_cast<int32_t>(model.cells.size()));
      ASSERT_EQ(model.lease.exclusive(), OnlyIn({&model}, holders));
      if (Random(0, 1) == 0) continue;
      group.push_back(&model);
      leases.push_back(&model.lease);
    }
    ASSERT_EQ(ledger_.ExclusiveTo(leases), OnlyIn(group, holders));
  }

  std::mt19937_64 random_{GetParam()};
  KvLedger ledger_{"KV cells", 150};
  std::vector<Model> models_;
  int64_t next_cell_ = 0;
};

TEST_P(KvLedgerModelTest, AgreesWithSetsOfCells) {
  for (int step = 0; step < 10000; ++step) {
    Step();
    Check();
    if (HasFatalFailure()) FAIL() << "seed " << GetParam() << ", step " << step;
  }
  models_.clear();
  EXPECT_EQ(ledger_.used(), 0);
  EXPECT_EQ(ledger_.segments(), 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, KvLedgerModelTest, testing::Range(uint64_t{0}, uint64_t{8}));

TEST(KvLedgerTest, ARefusalNamesTheNumbersAndChangesNothing) {
  KvLedger ledger("KV cells", 10);
  KvLease lease = ledger.NewLease();
  ASSERT_TRUE(lease.Grow(6).ok());
  const Status refused = lease.Grow(5);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(), "KV cells: 5 wanted, 4 of 10 free");
  EXPECT_EQ(lease.Grow(-1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(lease.length(), 6);
  EXPECT_EQ(ledger.used(), 6);
  EXPECT_TRUE(lease.Grow(4).ok());
  EXPECT_EQ(ledger.free(), 0);
}

TEST(KvLedgerTest, AForkCostsNothingAndOutlivesItsSource) {
  KvLedger ledger("KV cells", 10);
  KvLease source = ledger.NewLease();
  ASSERT_TRUE(source.Grow(10).ok());
  KvLease fork = source.Fork(7);
  EXPECT_EQ(ledger.used(), 10);
  EXPECT_EQ(source.exclusive(), 3);
  EXPECT_EQ(fork.exclusive(), 0);
  EXPECT_EQ(ledger.ExclusiveTo(std::vector<const KvLease*>{&source, &fork}), 10);
  source = KvLease();
  EXPECT_EQ(ledger.used(), 7);
  EXPECT_EQ(fork.exclusive(), 7);
  EXPECT_TRUE(fork.Grow(3).ok());
  EXPECT_EQ(fork.length(), 10);
}

TEST(KvLedgerTest, LengthsOutOfRangeAreCut) {
  KvLedger ledger("KV cells", 10);
  KvLease lease = ledger.NewLease();
  ASSERT_TRUE(lease.Grow(4).ok());
  EXPECT_EQ(lease.Fork(9).length(), 4);
  EXPECT_EQ(lease.Fork(-1).length(), 0);
  lease.Truncate(9);
  EXPECT_EQ(lease.length(), 4);
  lease.Truncate(-1);
  lease.Truncate(-1);
  EXPECT_EQ(lease.length(), 0);
  EXPECT_EQ(ledger.used(), 0);
}

TEST(KvLedgerTest, MovingKeepsOneOwnerAndALeaseOfNoLedgerCannotGrow) {
  KvLedger ledger("KV cells", 10);
  KvLease kept = ledger.NewLease();
  ASSERT_TRUE(kept.Grow(2).ok());
  KvLease moved = std::move(kept);
  EXPECT_EQ(kept.length(), 0);  // NOLINT(bugprone-use-after-move): the moved-from state is defined
  EXPECT_EQ(kept.exclusive(), 0);
  EXPECT_EQ(kept.Fork(1).length(), 0);
  EXPECT_EQ(kept.Grow(1).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(moved.length(), 2);
  EXPECT_EQ(ledger.used(), 2);
}

TEST(KvLedgerTest, ForksThatAreGoneLeaveNoPieces) {
  KvLedger ledger("KV cells", 1000);
  KvLease source = ledger.NewLease();
  ASSERT_TRUE(source.Grow(1000).ok());
  for (int32_t length = 1; length < 1000; ++length) {
    EXPECT_EQ(source.Fork(length).length(), length);
    EXPECT_LE(ledger.segments(), 3);
  }
  EXPECT_EQ(source.exclusive(), 1000);
  EXPECT_EQ(ledger.segments(), 1);
}

TEST(KvLedgerTest, DeepChainsAreGivenBackWithoutRecursion) {
  constexpr int32_t kDepth = 500000;
  KvLedger ledger("KV cells", kDepth);
  std::vector<KvLease> prefixes;
  prefixes.push_back(ledger.NewLease());
  for (int32_t depth = 1; depth <= kDepth; ++depth) {
    KvLease longer = prefixes.back().Fork(depth);
    ASSERT_TRUE(longer.Grow(1).ok());
    prefixes.push_back(std::move(longer));
  }
  prefixes.erase(prefixes.begin(), prefixes.end() - 1);
  EXPECT_EQ(ledger.used(), kDepth);
  prefixes.clear();
  EXPECT_EQ(ledger.used(), 0);
  EXPECT_EQ(ledger.segments(), 0);
}

}  // namespace
}  // namespace foretoken
