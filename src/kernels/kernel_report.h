#ifndef FORETOKEN_KERNELS_KERNEL_REPORT_H_
#define FORETOKEN_KERNELS_KERNEL_REPORT_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace foretoken {

struct OperationTime {
  int64_t calls = 0;
  int64_t nanoseconds = 0;
};

// What the kernels did in the forwards of one back end. Written by the thread that runs them.
struct KernelReport {
  // By the operation's name and its weights' type.
  std::map<std::string, OperationTime> operations;
  // Operations whose bits may depend on the batch and that were left to the library underneath,
  // each as "NAME (reason)".
  std::set<std::string> stock_operations;
};

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_KERNEL_REPORT_H_
