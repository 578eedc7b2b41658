#include "base/cpu_count.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace foretoken {
namespace {

TEST(CpuCountTest, IsAtLeastOneAndAtMostTheLogicalProcessors) {
  EXPECT_GE(PhysicalCoreCount(), 1);
  EXPECT_LE(PhysicalCoreCount(), static_cast<int32_t>(std::thread::hardware_concurrency()));
}

TEST(CpuCountTest, TheDefaultIsNeverMoreThanTheCores) {
  const ThreadCount count = DefaultThreadCount();
  EXPECT_GE(count.threads, 1);
  EXPECT_LE(count.threads, PhysicalCoreCount());
  EXPECT_FALSE(count.reason.empty());
}

// A folder that stands for the machine's root.
class CpuQuotaTest : public ::testing::Test {
 protected:
  CpuQuotaTest() { std::filesystem::remove_all(root_); }
  ~CpuQuotaTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  const std::string root_ = ::testing::TempDir() + "cpu_quota_" + std::to_string(getpid());
};

TEST_F(CpuQuotaTest, WithoutControlGroupsThereIsNone) {
  EXPECT_FALSE(CpuQuota(root_));
  Write("/proc/self/cgroup", "nonsense\n\n0::\n");
  EXPECT_FALSE(CpuQuota(root_));
}

TEST_F(CpuQuotaTest, TheSmallestOnTheWayToTheRootCounts) {
  Write("/proc/self/cgroup", "0::/service/worker\n");
  Write("/sys/fs/cgroup/service/worker/cpu.max", "max 100000\n");
  EXPECT_FALSE(CpuQuota(root_));
  Write("/sys/fs/cgroup/service/cpu.max", "150000 100000\n");
  EXPECT_DOUBLE_EQ(CpuQuota(root_).value(), 1.5);
  Write("/sys/fs/cgroup/service/worker/cpu.max", "400000 100000\n");
  EXPECT_DOUBLE_EQ(CpuQuota(root_).value(), 1.5);
  Write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_DOUBLE_EQ(CpuQuota(root_).value(), 0.5);
}

TEST_F(CpuQuotaTest, TheOldHierarchyCountsToo) {
  Write("/proc/self/cgroup", "5:cpuset:/a\n4:cpuacct,cpu:/a\n0::/\n");
  Write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(CpuQuota(root_));
  Write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n");
  EXPECT_DOUBLE_EQ(CpuQuota(root_).value(), 3.0);
}

}  // namespace
}  // namespace foretoken
