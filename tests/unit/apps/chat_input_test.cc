#include "chat_input.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

using Kind = ChatInput::Kind;

class ScriptedReader : public LineReader {
 public:
  explicit ScriptedReader(std::deque<InputLine> lines) : lines_(std::move(lines)) {}
  bool interactive() const override { return true; }
  InputLine Read(const std::string& prompt) override {
    prompts.push_back(prompt);
    if (lines_.empty()) return {};
    InputLine line = std::move(lines_.front());
    lines_.pop_front();
    return line;
  }
  void Remember(const std::string& entry) override { remembered.push_back(entry); }

  std::vector<std::string> prompts;
  std::vector<std::string> remembered;

 private:
  std::deque<InputLine> lines_;
};

InputLine Line(std::string text) {
  return {.kind = InputLine::Kind::kLine, .text = std::move(text)};
}
InputLine Interrupt(bool empty) {
  return {.kind = InputLine::Kind::kInterrupted, .text = "", .empty_before = empty};
}

TEST(ChatInputTest, ALineIsAMessage) {
  ScriptedReader reader({Line(""), Line("  "), Line("hello there ")});
  const ChatInput input = ReadChatInput(reader);
  EXPECT_EQ(input.kind, Kind::kMessage);
  EXPECT_EQ(input.text, "hello there ");
  EXPECT_EQ(reader.remembered, std::vector<std::string>{"hello there "});
}

TEST(ChatInputTest, ABackslashGoesOn) {
  ScriptedReader reader({Line("one\\"), Line("two\\"), Line("three"), Line("other")});
  EXPECT_EQ(ReadChatInput(reader).text, "one\ntwo\nthree");
  EXPECT_EQ(reader.prompts, (std::vector<std::string>{"> ", ". ", ". "}));
  EXPECT_EQ(ReadChatInput(reader).text, "other");
}

TEST(ChatInputTest, QuotesHoldABlock) {
  ScriptedReader reader({Line("\"\"\"def f():"), Line("/help \\"), Line(""), Line("end\"\"\""),
                         Line("\"\"\"one line\"\"\""), Line("\"\"\""), Line("own"), Line("lines"),
                         Line("\"\"\"")});
  EXPECT_EQ(ReadChatInput(reader).text, "def f():\n/help \\\n\nend");
  EXPECT_EQ(ReadChatInput(reader).text, "one line");
  EXPECT_EQ(ReadChatInput(reader).text, "own\nlines");
}

TEST(ChatInputTest, CommandsAreRecognised) {
  EXPECT_EQ(ParseChatLine(" /help ").kind, Kind::kHelp);
  EXPECT_EQ(ParseChatLine("/reset").kind, Kind::kReset);
  EXPECT_EQ(ParseChatLine("/show").kind, Kind::kShow);
  EXPECT_EQ(ParseChatLine("/exit").kind, Kind::kExit);
  EXPECT_EQ(ParseChatLine("/quit").kind, Kind::kExit);
  const ChatInput system = ParseChatLine("/system  be brief ");
  EXPECT_EQ(system.kind, Kind::kSystem);
  EXPECT_EQ(system.text, "be brief");
  EXPECT_EQ(ParseChatLine("/system").text, "");
  EXPECT_EQ(ParseChatLine("/helpme").kind, Kind::kUnknown);
  EXPECT_EQ(ParseChatLine("/helpme now").text, "/helpme");
  EXPECT_EQ(ParseChatLine("a /help").kind, Kind::kMessage);
}

TEST(ChatInputTest, InterruptionsTakeBackWhatWasTyped) {
  ScriptedReader reader({Interrupt(true), Interrupt(false), Line("one\\"), Interrupt(true)});
  EXPECT_EQ(ReadChatInput(reader).text, "") << "nothing typed: a hint is due";
  EXPECT_NE(ReadChatInput(reader).text, "");
  const ChatInput block = ReadChatInput(reader);
  EXPECT_EQ(block.kind, Kind::kInterrupted);
  EXPECT_NE(block.text, "") << "a line of the block had been typed";
  EXPECT_TRUE(reader.remembered.empty());
}

TEST(ChatInputTest, TheEndOfTheInputExitsAfterWhatWasSaid) {
  ScriptedReader reader({Line("\"\"\"unfinished")});
  EXPECT_EQ(ReadChatInput(reader).text, "unfinished");
  EXPECT_EQ(ReadChatInput(reader).kind, Kind::kExit);
}

}  // namespace
}  // namespace foretoken
