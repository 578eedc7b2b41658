#ifndef FORETOKEN_FORETOKEN_CHAT_INPUT_H_
#define FORETOKEN_FORETOKEN_CHAT_INPUT_H_

#include <string>
#include <string_view>

#include "line_reader.h"

namespace foretoken {

// What a user of `foretoken chat` asks for.
struct ChatInput {
  enum class Kind {
    kMessage,  // text
    kHelp,
    kReset,
    kSystem,  // text; may be empty
    kShow,
    kExit,         // also the end of the input
    kUnknown,      // text: the command's name
    kInterrupted,  // Ctrl-C; text is empty when nothing had been typed
  };
  Kind kind = Kind::kMessage;
  std::string text;
};

// Reads one entry: a line; several joined by a backslash at their ends; or a block between """ and
// """. A line that starts with / is a command. Empty lines are passed over.
ChatInput ReadChatInput(LineReader& reader);

// What `line` asks for when it is a command, kMessage otherwise.
ChatInput ParseChatLine(std::string_view line);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_CHAT_INPUT_H_
