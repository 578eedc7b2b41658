#include "base/random_seed.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>

namespace foretoken {
namespace {

TEST(RandomSeedTest, SeedsDifferAndAreExactAsDoubles) {
  std::set<uint64_t> seeds;
  for (int i = 0; i < 100; ++i) {
    const uint64_t seed = RandomSeed();
    EXPECT_LT(seed, uint64_t{1} << 53);
    EXPECT_EQ(static_cast<uint64_t>(static_cast<double>(seed)), seed);
    seeds.insert(seed);
  }
  EXPECT_EQ(seeds.size(), 100u);
}

}  // namespace
}  // namespace foretoken
