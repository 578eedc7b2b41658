#include "kernels/instruction_set.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace foretoken {
namespace {

#if defined(__x86_64__)
// clang-14 does not know these two by name.
bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
bool HasAvxVnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0;
}
#endif

}  // namespace

std::string_view InstructionSetName(InstructionSet set) {
  switch (set) {
    case InstructionSet::kGeneric:
      return "generic";
    case InstructionSet::kAvx2:
      return "avx2";
    case InstructionSet::kAvxVnni:
      return "avx-vnni";
    case InstructionSet::kAvx512Vnni:
      return "avx512-vnni";
  }
  return "unknown";
}

std::vector<InstructionSet> SupportedInstructionSets() {
  std::vector<InstructionSet> sets = {InstructionSet::kGeneric};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c()) {
    sets.push_back(InstructionSet::kAvx2);
    if (HasAvxVnni()) sets.push_back(InstructionSet::kAvxVnni);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni")) {
      sets.push_back(InstructionSet::kAvx512Vnni);
    }
  }
#endif
  return sets;
}

InstructionSet BestInstructionSet() {
  static const InstructionSet best = [] {
    const std::vector<InstructionSet> sets = SupportedInstructionSets();
    const char* wanted = std::getenv("FORETOKEN_INSTRUCTION_SET");
    for (const InstructionSet set : sets) {
      if (wanted != nullptr && InstructionSetName(set) == wanted) return set;
    }
    return sets.back();
  }();
  return best;
}

}  // namespace foretoken
