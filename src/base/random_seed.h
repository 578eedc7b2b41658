#ifndef FORETOKEN_BASE_RANDOM_SEED_H_
#define FORETOKEN_BASE_RANDOM_SEED_H_

#include <cstdint>

namespace foretoken {

// A seed from the operating system's randomness, below 2^53: one that is returned survives clients
// whose numbers are doubles. Any thread may call it.
uint64_t RandomSeed();

}  // namespace foretoken

#endif  // FORETOKEN_BASE_RANDOM_SEED_H_
