#ifndef FORETOKEN_KERNELS_INSTRUCTION_SET_H_
#define FORETOKEN_KERNELS_INSTRUCTION_SET_H_

#include <cstdint>
#include <string_view>
#include <vector>

namespace foretoken {

// What a build of the kernels is written for. Every one gives the same bits.
enum class InstructionSet : uint8_t {
  kGeneric,     // portable C++, the reference
  kAvx2,        // AVX2, FMA, F16C
  kAvxVnni,     // AVX2 with AVX-VNNI
  kAvx512Vnni,  // AVX-512 F, BW, VL, DQ, VNNI
};

// generic, avx2, avx-vnni, avx512-vnni.
std::string_view InstructionSetName(InstructionSet set);

// Those of this build that this machine can run, slowest first; kGeneric is always one.
std::vector<InstructionSet> SupportedInstructionSets();

// The fastest that this machine can run. FORETOKEN_INSTRUCTION_SET=<name> in the environment picks
// a slower one; a name that is not known or not supported here is ignored. Read once.
InstructionSet BestInstructionSet();

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_INSTRUCTION_SET_H_
