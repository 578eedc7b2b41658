#ifndef FORETOKEN_TESTS_HEADERS_UMBRELLA_OTHER_H_
#define FORETOKEN_TESTS_HEADERS_UMBRELLA_OTHER_H_

#include <cstddef>
#include <cstdint>

#include "foretoken/status.h"

namespace foretoken {

// What a second source sees of the umbrella header.
size_t OtherSourcesRequestBytes();
Status OtherSourcesOkStatus();
int32_t OtherSourcesMaxTokens();

}  // namespace foretoken

#endif  // FORETOKEN_TESTS_HEADERS_UMBRELLA_OTHER_H_
