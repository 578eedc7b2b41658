#include "base/cpu_count.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include <fmt/format.h>

namespace foretoken {
namespace {

// "100000 200000" is half a processor, "max ..." no quota: cgroup v2's cpu.max.
std::optional<double> QuotaOfVersion2(const std::string& group) {
  std::ifstream file(group + "/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

// A quota of -1 is none.
std::optional<double> QuotaOfVersion1(const std::string& group) {
  std::ifstream quota_file(group + "/cpu.cfs_quota_us");
  std::ifstream period_file(group + "/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) {
    return std::nullopt;
  }
  return quota / period;
}

// The smallest from `path` up to the root of the hierarchy.
template <typename QuotaOf>
std::optional<double> SmallestQuota(const std::string& hierarchy, std::string path,
                                    const QuotaOf& quota_of) {
  std::optional<double> smallest;
  for (;;) {
    if (const auto quota = quota_of(hierarchy + path)) {
      smallest = std::min(smallest.value_or(*quota), *quota);
    }
    const size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos) return smallest;
    path.resize(slash);
  }
}

}  // namespace

int32_t PhysicalCoreCount() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
    return static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
  }
  // Hyper-threads of one core list the same siblings.
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                       "/topology/thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = std::to_string(cpu);
    cores.insert(siblings);
  }
  return std::max(1, static_cast<int32_t>(cores.size()));
}

std::string CpuModelName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != line.npos) return line.substr(colon + 2);
  }
  return "";
}

std::optional<double> CpuQuota(const std::string& root) {
  std::ifstream groups(root + "/proc/self/cgroup");
  std::optional<double> smallest;
  // Lines of hierarchy:controllers:path; version 2 has the one without controllers.
  for (std::string line; std::getline(groups, line);) {
    std::istringstream fields(line);
    std::string hierarchy;
    std::string controllers;
    std::string path;
    std::getline(fields, hierarchy, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, path);
    if (path == "/") path.clear();
    std::optional<double> quota;
    if (controllers.empty()) {
      quota = SmallestQuota(root + "/sys/fs/cgroup", path, QuotaOfVersion2);
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      quota = SmallestQuota(root + "/sys/fs/cgroup/cpu", path, QuotaOfVersion1);
    }
    if (quota) smallest = std::min(smallest.value_or(*quota), *quota);
  }
  return smallest;
}

ThreadCount DefaultThreadCount() {
  const int32_t cores = PhysicalCoreCount();
  const std::optional<double> quota = CpuQuota();
  // A part of a processor beyond whole ones would stop all threads together.
  const int32_t allowed = quota ? std::max(1, static_cast<int32_t>(*quota + 0.01)) : cores;
  if (allowed >= cores) return {cores, fmt::format("{} physical cores", cores)};
  return {allowed, fmt::format("a CPU quota of {:.2f} on {} physical cores", *quota, cores)};
}

}  // namespace foretoken
