#include <algorithm>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "unit/kernels/attention_cases.h"

namespace foretoken {
namespace {

class AttentionGenericTest : public ::testing::TestWithParam<size_t> {};

TEST_P(AttentionGenericTest, IsTheTextbooks) {
  const AttentionShape shape = VariedShapes()[GetParam()];
  for (const int32_t length : {1, 17, 64, 65, 515, 600}) {
    const AttentionCase problem(shape, CachedSequence(length),
                                LastRows(length, std::min(length, 3)));
    const std::vector<float> got = problem.Compute(1, InstructionSet::kGeneric);
    const std::vector<float> wanted = problem.Reference();
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 2e-5f) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionGenericTest, ::testing::Range(size_t{0}, size_t{11}));

}  // namespace
}  // namespace foretoken
