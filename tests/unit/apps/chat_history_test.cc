#include "chat_history.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace foretoken {
namespace {

std::string Spell(const std::vector<ChatMessage>& messages) {
  std::string text;
  for (const ChatMessage& message : messages)
    text += message.role[0] + (":" + message.content) + " ";
  return text;
}

TEST(ChatHistoryTest, AsksWithEverythingSaid) {
  ChatHistory history;
  EXPECT_EQ(Spell(history.Ask("hi")), "u:hi ");
  history.SetSystem("be brief");
  history.Commit("hi", "hello");
  EXPECT_EQ(Spell(history.Ask("bye")), "s:be brief u:hi a:hello u:bye ");
  history.Reset();
  EXPECT_EQ(Spell(history.Ask("new")), "s:be brief u:new ");
}

TEST(ChatHistoryTest, ForgetsOldestTurnsFirst) {
  ChatHistory history;
  EXPECT_FALSE(history.DropOldest());
  EXPECT_EQ(history.DropOldestHalf(), 0u);
  history.Commit("a", "1");
  history.Commit("b", "2");
  EXPECT_TRUE(history.DropOldest());
  EXPECT_EQ(Spell(history.Ask("c")), "u:b a:2 u:c ");
}

TEST(ChatHistoryTest, HalfIsMeasuredInTextNotTurns) {
  ChatHistory history;
  history.Commit("a", std::string(10, 'x'));
  history.Commit("b", std::string(10, 'x'));
  history.Commit("c", std::string(200, 'x'));
  history.Commit("d", std::string(10, 'x'));
  EXPECT_EQ(history.DropOldestHalf(), 3u);
  EXPECT_EQ(history.turns(), 1u);
  EXPECT_EQ(history.DropOldestHalf(), 1u) << "at least one";
}

}  // namespace
}  // namespace foretoken
