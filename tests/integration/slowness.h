#ifndef FORETOKEN_INTEGRATION_SLOWNESS_H_
#define FORETOKEN_INTEGRATION_SLOWNESS_H_

#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define FORETOKEN_THREAD_SANITIZER
#elif defined(__SANITIZE_ADDRESS__)
#define FORETOKEN_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FORETOKEN_THREAD_SANITIZER
#elif __has_feature(address_sanitizer)
#define FORETOKEN_ADDRESS_SANITIZER
#endif
#endif

namespace foretoken {

// How many times slower than without it a sanitizer makes this build.
#if defined(FORETOKEN_THREAD_SANITIZER)
inline constexpr int32_t kSlowness = 8;
#elif defined(FORETOKEN_ADDRESS_SANITIZER)
inline constexpr int32_t kSlowness = 3;
#else
inline constexpr int32_t kSlowness = 1;
#endif

}  // namespace foretoken

#endif  // FORETOKEN_INTEGRATION_SLOWNESS_H_
