#ifndef FORETOKEN_BASE_JSON_DEPTH_H_
#define FORETOKEN_BASE_JSON_DEPTH_H_

#include <string_view>

namespace foretoken {

// Objects and arrays inside each other that we read of what comes from outside: code that walks
// the values calls itself, and the stack has an end.
inline constexpr int kMaxJsonDepth = 64;

// Whether the JSON `text` is deeper than kMaxJsonDepth. Of text that is no JSON the answer says
// nothing, but it comes all the same.
bool IsJsonTooDeep(std::string_view text);

}  // namespace foretoken

#endif  // FORETOKEN_BASE_JSON_DEPTH_H_
