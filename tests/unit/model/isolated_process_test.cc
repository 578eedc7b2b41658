#include "model/isolated_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

IsolatedCommand Shell(const std::string& script) {
  IsolatedCommand command;
  command.executable = "/bin/sh";
  command.arguments = {"-c", script};
  return command;
}

IsolatedOutcome RunToEnd(const IsolatedCommand& command) {
  auto outcome = RunIsolated(command);
  EXPECT_TRUE(outcome.ok()) << outcome.status().ToString();
  return outcome.ok() ? *outcome : IsolatedOutcome{};
}

TEST(IsolatedProcessTest, TellsExitCodesAndSignals) {
  EXPECT_EQ(RunToEnd(Shell("exit 0")).exit_code, 0);
  EXPECT_EQ(RunToEnd(Shell("exit 65")).exit_code, 65);
  const IsolatedOutcome aborted = RunToEnd(Shell("kill -ABRT $$"));
  EXPECT_EQ(aborted.signal, SIGABRT);
  EXPECT_FALSE(aborted.timed_out);
}

TEST(IsolatedProcessTest, KeepsTheLastWords) {
  EXPECT_EQ(
      RunToEnd(Shell("echo one >&2; echo two >&2; echo '  ' >&2; echo unseen")).last_error_line,
      "two");
  EXPECT_EQ(RunToEnd(Shell("true")).last_error_line, "");
  // Far more than is kept and than a pipe holds.
  const IsolatedOutcome loud =
      RunToEnd(Shell("i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 3"));
  EXPECT_EQ(loud.last_error_line, "line 19999");
  EXPECT_EQ(loud.exit_code, 3);
}

TEST(IsolatedProcessTest, EndsAChildThatTakesTooLong) {
  IsolatedCommand command = Shell("echo waiting >&2; sleep 60");
  command.timeout_ms = 200;
  const auto start = std::chrono::steady_clock::now();
  const IsolatedOutcome outcome = RunToEnd(command);
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.last_error_line, "waiting");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(IsolatedProcessTest, HandsOnEveryWholeLineAsItComes) {
  std::vector<std::string> lines;
  IsolatedCommand command = Shell(
      "echo one >&2; printf 'two ' >&2; sleep 0.05; printf 'halves\\n\\n' >&2; printf cut >&2");
  command.on_error_line = [&](std::string_view line) { lines.emplace_back(line); };
  EXPECT_EQ(RunToEnd(command).last_error_line, "cut");
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two halves", ""}));
  command = Shell("head -c 20000 /dev/zero | tr '\\0' x >&2; echo >&2; echo end >&2");
  lines.clear();
  command.on_error_line = [&](std::string_view line) { lines.emplace_back(line); };
  RunToEnd(command);
  EXPECT_EQ(lines, (std::vector<std::string>{std::string(4096, 'x'), "end"}));
}

TEST(IsolatedProcessTest, EndsAChildThatIsNotWantedAnyMore) {
  bool unwanted = false;
  IsolatedCommand command = Shell("echo begun >&2; sleep 60");
  command.on_error_line = [&](std::string_view line) { unwanted = line == "begun"; };
  command.cancelled = [&] { return unwanted; };
  const IsolatedOutcome outcome = RunToEnd(command);
  EXPECT_TRUE(outcome.cancelled);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.signal, 0);
}

TEST(IsolatedProcessTest, DoesNotWaitForGrandchildrenAndEndsThem) {
  const testing::TempDirectory directory;
  const std::string pid_file = directory.path() + "/pid";
  const IsolatedOutcome outcome = RunToEnd(Shell("sleep 60 & echo $! > " + pid_file + "; exit 7"));
  EXPECT_EQ(outcome.exit_code, 7);
  pid_t grandchild = 0;
  std::ifstream(pid_file) >> grandchild;
  ASSERT_GT(grandchild, 0);
  // It is gone or, where nobody reaps orphans, a zombie.
  std::string state = "running";
  for (int i = 0; i < 500 && state != "Z" && !state.empty(); ++i) {
    std::string number;
    std::string name;
    state.clear();
    std::ifstream("/proc/" + std::to_string(grandchild) + "/stat") >> number >> name >> state;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(state.empty() || state == "Z") << state;
}

TEST(IsolatedProcessTest, GivesTheEnvironmentWithOursOverIt) {
  setenv("FORETOKEN_TEST_KEPT", "kept", 1);
  setenv("FORETOKEN_TEST_REPLACED", "old", 1);
  IsolatedCommand command = Shell("echo $FORETOKEN_TEST_KEPT $FORETOKEN_TEST_REPLACED >&2");
  command.environment = {"FORETOKEN_TEST_REPLACED=new"};
  EXPECT_EQ(RunToEnd(command).last_error_line, "kept new");
}

TEST(IsolatedProcessTest, GivesNoFilesAndDefaultSignals) {
  // Without O_CLOEXEC, as a careless library would open it.
  const int leaked = open("/dev/null", O_RDONLY);
  ASSERT_GE(leaked, 3);
  EXPECT_EQ(RunToEnd(Shell("ls /proc/self/fd/" + std::to_string(leaked) + " >&2 && exit 1; exit 0"))
                .exit_code,
            0);
  close(leaked);
  EXPECT_EQ(RunToEnd(Shell("read line && exit 1; exit 0")).exit_code, 0) << "no input";

  struct sigaction old_action {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigset_t blocked;
  sigset_t old_mask;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ASSERT_EQ(sigaction(SIGPIPE, &ignore, &old_action), 0);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &old_mask), 0);
  EXPECT_EQ(RunToEnd(Shell("kill -PIPE $$; exit 1")).signal, SIGPIPE);
  EXPECT_EQ(RunToEnd(Shell("kill -TERM $$; exit 1")).signal, SIGTERM);
  pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
  sigaction(SIGPIPE, &old_action, nullptr);
}

TEST(IsolatedProcessTest, SaysWhyAProgramCannotBeStarted) {
  IsolatedCommand command;
  command.executable = "/no/such/program";
  const Status missing = RunIsolated(command).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_NE(missing.message().find("/no/such/program"), std::string::npos);
  const testing::TempDirectory directory;
  command.executable = directory.Write("text", "no program");
  EXPECT_EQ(RunIsolated(command).status().code(), StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace foretoken
