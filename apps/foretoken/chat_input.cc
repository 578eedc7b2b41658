#include "chat_input.h"

#include <algorithm>
#include <utility>

namespace foretoken {
namespace {

constexpr std::string_view kQuotes = "\"\"\"";
constexpr const char* kPrompt = "> ";
constexpr const char* kContinuation = ". ";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

ChatInput Interrupted(bool empty) {
  return {ChatInput::Kind::kInterrupted, empty ? "" : "typed"};
}

// The rest of a message whose first line is `text`; an interruption takes all of it back.
ChatInput ReadRest(LineReader& reader, std::string text) {
  const bool quoted = text.starts_with(kQuotes);
  if (quoted) text.erase(0, kQuotes.size());
  while (true) {
    if (quoted && text.ends_with(kQuotes)) {
      text.erase(text.size() - kQuotes.size());
      break;
    }
    if (!quoted && !text.ends_with('\\')) break;
    if (!quoted) text.pop_back();
    const InputLine line = reader.Read(kContinuation);
    if (line.kind == InputLine::Kind::kInterrupted) return Interrupted(false);
    if (line.kind == InputLine::Kind::kEnd) break;
    text += "\n" + line.text;
  }
  // Quotes on lines of their own leave no empty lines behind.
  if (quoted && text.starts_with('\n')) text.erase(0, 1);
  if (quoted && text.ends_with('\n')) text.pop_back();
  return {ChatInput::Kind::kMessage, std::move(text)};
}

}  // namespace

ChatInput ParseChatLine(std::string_view line) {
  line = Trim(line);
  if (!line.starts_with('/')) return {ChatInput::Kind::kMessage, std::string(line)};
  const size_t end = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view name = line.substr(0, end);
  if (name == "/help") return {ChatInput::Kind::kHelp, ""};
  if (name == "/reset") return {ChatInput::Kind::kReset, ""};
  if (name == "/show") return {ChatInput::Kind::kShow, ""};
  if (name == "/exit" || name == "/quit") return {ChatInput::Kind::kExit, ""};
  if (name == "/system") {
    return {ChatInput::Kind::kSystem, std::string(Trim(line.substr(end)))};
  }
  return {ChatInput::Kind::kUnknown, std::string(name)};
}

ChatInput ReadChatInput(LineReader& reader) {
  while (true) {
    InputLine line = reader.Read(kPrompt);
    if (line.kind == InputLine::Kind::kEnd) return {ChatInput::Kind::kExit, ""};
    if (line.kind == InputLine::Kind::kInterrupted) return Interrupted(line.empty_before);
    if (Trim(line.text).empty()) continue;
    ChatInput input = ParseChatLine(line.text);
    if (input.kind == ChatInput::Kind::kMessage) input = ReadRest(reader, std::move(line.text));
    if (input.kind == ChatInput::Kind::kMessage) {
      if (Trim(input.text).empty()) continue;
      reader.Remember(input.text);
    } else if (input.kind == ChatInput::Kind::kSystem) {
      reader.Remember(line.text);
    }
    return input;
  }
}

}  // namespace foretoken
