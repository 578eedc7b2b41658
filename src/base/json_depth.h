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

// The deepest JSON, or Python value, that begins anywhere in a text: a bound for parsers that call
// themselves and of which it is not known where they take up. Text comes in pieces; one thread.
class NestingBound {
 public:
  void Add(std::string_view text);
  int deepest() const { return deepest_; }

 private:
  // Of all places where reading may have begun: the largest depth by now of those that are outside
  // a string, in one, or after a backslash in one. Negative: there is none.
  struct Quoted {
    char quote;
    int inside = -1;
    int escaped = -1;
  };
  void AddToString(Quoted& string, char c, int outside_before, int& outside) const;

  int outside_ = 0;
  Quoted double_ = {'"'};
  Quoted single_ = {'\''};
  int deepest_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_BASE_JSON_DEPTH_H_
