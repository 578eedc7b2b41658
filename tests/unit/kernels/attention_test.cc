#include "kernels/attention.h"

#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "unit/kernels/attention_cases.h"

namespace foretoken {
namespace {

void ExpectNear(const std::vector<float>& got, const std::vector<float>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 2e-5f) << i;
}

TEST(AttentionTest, SmallOnesAreTheReference) {
  for (const int32_t length : {1, 2, 15, 16, 17, 63, 64, 65, 200, 511, 512, 513, 1100}) {
    const AttentionCase problem(AttentionShape(), CachedSequence(length),
                                LastRows(length, std::min(length, 9)));
    const auto reference = problem.Reference();
    for (const InstructionSet set : SupportedInstructionSets()) {
      SCOPED_TRACE(InstructionSetName(set));
      for (int32_t threads = 1; threads <= 2; ++threads) {
        ASSERT_NO_FATAL_FAILURE(ExpectNear(problem.Compute(threads, set), reference)) << length;
      }
    }
  }
}

}  // namespace
}  // namespace foretoken
