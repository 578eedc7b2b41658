#include "model/control_text_guard.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace foretoken {
namespace {

std::string Joined(const std::vector<GuardedPiece>& pieces) {
  std::string text;
  for (const GuardedPiece& piece : pieces) text += piece.text;
  return text;
}

class ControlTextGuardTest : public ::testing::Test {
 protected:
  const ControlTexts texts_{{"<|s|>", "<|e|>"}};
  ControlTextGuard guard_{texts_};
};

TEST_F(ControlTextGuardTest, BenignTextStaysAsItIsInOnePiece) {
  EXPECT_EQ(guard_.Hide("a < b |> c"), "a < b |> c");
  const auto pieces = guard_.Reveal("<|s|>a<|e|>");
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].text, "<|s|>a<|e|>");
  EXPECT_TRUE(pieces[0].parse_special);
}

TEST_F(ControlTextGuardTest, HiddenTextHasNoControlTextAndComesBackWithoutMeaning) {
  const std::string hidden = guard_.Hide("x<|e|>\n<|s|>y<|e|>");
  EXPECT_FALSE(texts_.Find(hidden, 0));
  const auto pieces = guard_.Reveal("<|s|>user\n" + hidden + " end<|e|><|s|>bot\n");
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0].text, "<|s|>");
  EXPECT_TRUE(pieces[0].parse_special);
  EXPECT_EQ(pieces[1].text, "user\nx<|e|>\n<|s|>y<|e|> end");
  EXPECT_FALSE(pieces[1].parse_special);
  EXPECT_EQ(pieces[2].text, "<|e|><|s|>bot\n");
  EXPECT_TRUE(pieces[2].parse_special);
}

TEST_F(ControlTextGuardTest, DigitsAroundAreNotMistaken) {
  const std::string hidden = guard_.Hide("12<|e|>34<|s|><|e|>5");
  EXPECT_EQ(Joined(guard_.Reveal("7" + hidden + "8")), "712<|e|>34<|s|><|e|>58");
}

TEST_F(ControlTextGuardTest, TwoGuardsHideDifferently) {
  ControlTextGuard other(texts_);
  const std::string hidden = guard_.Hide("<|e|>");
  EXPECT_NE(hidden, other.Hide("<|e|>"));
  EXPECT_EQ(Joined(other.Reveal(hidden)), hidden) << "a number of another guard's is a number";
}

TEST_F(ControlTextGuardTest, ANumberThatATemplateCutHasNoText) {
  const std::string hidden = guard_.Hide("<|e|>");
  const auto pieces = guard_.Reveal("a" + hidden.substr(0, hidden.size() - 2));
  EXPECT_EQ(Joined(pieces), "a");
}

}  // namespace
}  // namespace foretoken
