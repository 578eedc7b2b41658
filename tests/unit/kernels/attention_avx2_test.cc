#include <algorithm>
#include <cstdint>

#include <gtest/gtest.h>

#include "unit/kernels/attention_cases.h"

namespace foretoken {
namespace {

TEST(AttentionAvx2Test, HasTheBitsOfTheGenericOne) {
  if (!Supports(InstructionSet::kAvx2)) GTEST_SKIP() << "not on this machine";
  for (const AttentionShape& shape : VariedShapes()) {
    for (const int32_t length : {1, 17, 64, 65, 515, 600}) {
      const AttentionCase problem(shape, CachedSequence(length),
                                  LastRows(length, std::min(length, 5)));
      ExpectSameBits(problem.Compute(1, InstructionSet::kAvx2),
                     problem.Compute(1, InstructionSet::kGeneric));
    }
  }
}

}  // namespace
}  // namespace foretoken
