#include "base/random_seed.h"

#include <random>

namespace foretoken {

uint64_t RandomSeed() {
  std::random_device device;
  return ((uint64_t{device()} << 32) | device()) >> 11;
}

}  // namespace foretoken
