#ifndef FORETOKEN_BASE_UTF8_H_
#define FORETOKEN_BASE_UTF8_H_

#include <string_view>

namespace foretoken {

// Whether `text` is UTF-8 as RFC 3629 has it: no overlong forms, surrogates or values past
// U+10FFFF.
bool IsValidUtf8(std::string_view text);

}  // namespace foretoken

#endif  // FORETOKEN_BASE_UTF8_H_
