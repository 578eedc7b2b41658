#include "base/log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace foretoken {
namespace {

TEST(LogTest, TheSinkReceivesMessagesUntilItIsRemoved) {
  std::vector<std::string> seen;
  SetLogSink([&seen](LogLevel level, std::string_view message) {
    seen.push_back(std::to_string(static_cast<int>(level)) + std::string(message));
  });
  Log(LogLevel::kWarning, "one");
  SetLogSink({});
  Log(LogLevel::kError, "two");
  EXPECT_EQ(seen, (std::vector<std::string>{"2one"}));
}

}  // namespace
}  // namespace foretoken
