#ifndef FORETOKEN_REPLY_PARSER_H_
#define FORETOKEN_REPLY_PARSER_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace foretoken {

// A piece of a call of a tool: id and name come whole and first, the arguments in any number of
// pieces.
struct ToolCallDelta {
  size_t index = 0;  // of the call in the reply
  std::string id;    // empty but for a call's first piece, as is the name
  std::string name;
  std::string arguments;  // what is added to them
};

// What a piece of generated text adds to a reply.
struct ReplyDelta {
  std::string content;
  std::vector<ToolCallDelta> tool_calls;

  bool empty() const { return content.empty() && tool_calls.empty(); }
};

// Reads what a model writes as the assistant's message: content and calls of tools, in the form its
// chat template gives them. One reply, one thread; nothing has to outlive it. Text that is not of
// that form comes back as content, as it is: no text is lost.
class ReplyParser {
 public:
  virtual ~ReplyParser() = default;
  // Takes the next piece of text and returns what has become certain.
  virtual ReplyDelta Push(std::string_view text) = 0;
  // The end of the text: returns what is left.
  virtual ReplyDelta Finish() = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_REPLY_PARSER_H_
