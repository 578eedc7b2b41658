#include "kernels/instruction_set.h"

#include <algorithm>
#include <set>
#include <string_view>

#include <gtest/gtest.h>

namespace foretoken {
namespace {

TEST(InstructionSetTest, TheGenericOneIsAlwaysThereAndFirst) {
  const auto sets = SupportedInstructionSets();
  ASSERT_FALSE(sets.empty());
  EXPECT_EQ(sets.front(), InstructionSet::kGeneric);
  EXPECT_TRUE(std::is_sorted(sets.begin(), sets.end()));
}

TEST(InstructionSetTest, TheBestIsASupportedOne) {
  const auto sets = SupportedInstructionSets();
  EXPECT_NE(std::find(sets.begin(), sets.end(), BestInstructionSet()), sets.end());
}

TEST(InstructionSetTest, EveryOneHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (const InstructionSet set : SupportedInstructionSets()) {
    EXPECT_TRUE(names.insert(InstructionSetName(set)).second);
  }
}

}  // namespace
}  // namespace foretoken
