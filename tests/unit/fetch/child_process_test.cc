#include "fetch/child_process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "unit/fetch/temporary_directory.h"

namespace foretoken {
namespace {

class ChildProcessTest : public testing::Test {
 protected:
  Result<int> Run(
      std::vector<std::string> arguments,
      const std::function<Status()>& poll = [] { return OkStatus(); }) {
    return RunChild({std::move(arguments), {{"FORETOKEN_CHILD_TEST", "set"}}, log_}, poll);
  }

  TemporaryDirectory directory_;
  const std::string log_ = directory_.Path("log");
};

TEST_F(ChildProcessTest, PassesArgumentsAsTheyAreAndKeepsTheOutput) {
  auto code = Run({"/bin/sh", "-c", "echo \"$1\"; echo \"$FORETOKEN_CHILD_TEST\" >&2; exit 3", "sh",
                   "$HOME; `id` 'x'"});
  ASSERT_TRUE(code.ok()) << code.status().ToString();
  EXPECT_EQ(*code, 3);
  EXPECT_EQ(directory_.Read("log"), "$HOME; `id` 'x'\nset\n");
}

TEST_F(ChildProcessTest, ASignalShowsInTheCode) {
  EXPECT_EQ(*Run({"/bin/sh", "-c", "kill -9 $$"}), 128 + 9);
}

TEST_F(ChildProcessTest, AProgramThatIsNotThereIsNamed) {
  auto code = Run({"/no/such/program"});
  EXPECT_EQ(code.status().code(), StatusCode::kUnavailable);
  EXPECT_NE(code.status().message().find("/no/such/program"), std::string::npos);
  EXPECT_EQ(Run({}).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(ChildProcessTest, ThePollEndsTheChild) {
  const auto start = std::chrono::steady_clock::now();
  auto code = Run({"/bin/sleep", "60"}, [] { return CancelledError("enough"); });
  EXPECT_EQ(code.status(), CancelledError("enough"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST_F(ChildProcessTest, AChildThatIgnoresTheRequestIsKilled) {
  const auto start = std::chrono::steady_clock::now();
  auto code = Run({"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"}, [this] {
    return directory_.Read("log").empty() ? OkStatus() : CancelledError("enough");
  });
  EXPECT_EQ(code.status(), CancelledError("enough"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

}  // namespace
}  // namespace foretoken
