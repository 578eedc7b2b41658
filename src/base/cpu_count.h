#ifndef FORETOKEN_BASE_CPU_COUNT_H_
#define FORETOKEN_BASE_CPU_COUNT_H_

#include <cstdint>
#include <optional>
#include <string>

namespace foretoken {

// The physical cores this process may run on (affinity and hyper-threads taken into account),
// at least 1.
int32_t PhysicalCoreCount();

// What the machine calls its processors; empty where it does not say.
std::string CpuModelName();

// The processors' worth of time that control groups leave this process, the smallest quota from its
// group up to the root; nothing without a quota. `root` is where /proc and /sys are found: "" is
// the machine's.
std::optional<double> CpuQuota(const std::string& root = "");

// How many threads compute where nobody said: the physical cores, fewer under a smaller quota,
// since threads that are stopped for having used it up keep the others waiting. At least 1. The
// reason says what decided, for a log.
struct ThreadCount {
  int32_t threads = 1;
  std::string reason;
};
ThreadCount DefaultThreadCount();

}  // namespace foretoken

#endif  // FORETOKEN_BASE_CPU_COUNT_H_
