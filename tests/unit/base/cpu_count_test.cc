#include "base/cpu_count.h"

#include <gtest/gtest.h>

#include <thread>

namespace foretoken {
namespace {

TEST(CpuCountTest, IsAtLeastOneAndAtMostTheLogicalProcessors) {
  EXPECT_GE(PhysicalCoreCount(), 1);
  EXPECT_LE(PhysicalCoreCount(), static_cast<int32_t>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace foretoken
