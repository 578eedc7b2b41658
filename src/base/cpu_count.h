#ifndef FORETOKEN_BASE_CPU_COUNT_H_
#define FORETOKEN_BASE_CPU_COUNT_H_

#include <cstdint>

namespace foretoken {

// The physical cores this process may run on (affinity and hyper-threads taken into account),
// at least 1.
int32_t PhysicalCoreCount();

}  // namespace foretoken

#endif  // FORETOKEN_BASE_CPU_COUNT_H_
