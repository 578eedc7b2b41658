#include "model/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

TEST(ProbeTest, TheOneThatIsNamedIsTakenOrRefused) {
  const testing::TempDirectory directory;
  const std::string named = directory.Write("named", "#!/bin/sh\n");
  const std::string plain = directory.Write("plain", "");
  ASSERT_EQ(chmod(named.c_str(), 0700), 0);
  unsetenv("FORETOKEN_PROBE");
  EXPECT_EQ(*FindProbe(named), named);
  setenv("FORETOKEN_PROBE", named.c_str(), 1);
  EXPECT_EQ(*FindProbe(""), named);
  const Status refused = FindProbe(plain).status();  // the variable does not stand in for it
  EXPECT_EQ(refused.code(), StatusCode::kUnavailable);
  EXPECT_THAT(refused.message(), HasSubstr(plain + ": Permission denied"));
  unsetenv("FORETOKEN_PROBE");
}

TEST(ProbeTest, WhatItReportsIsAStatus) {
  IsolatedOutcome outcome;
  EXPECT_EQ(ReportedByProbe(outcome, "x"), OkStatus());
  for (int code = 1; code <= static_cast<int>(StatusCode::kInternal); ++code) {
    outcome = {.exit_code = kProbeExitCodeBase + code, .last_error_line = "why"};
    EXPECT_EQ(ReportedByProbe(outcome, "x"), Status(static_cast<StatusCode>(code), "why"));
  }
  outcome = {.exit_code = kProbeExitCodeBase + 1, .last_error_line = {}};
  EXPECT_EQ(ReportedByProbe(outcome, "the trial").message(), "the trial failed");
  for (const int code : {1, kProbeExitCodeBase, 127, 255}) {
    outcome = {.exit_code = code, .last_error_line = "words"};
    const Status status = ReportedByProbe(outcome, "the trial");
    EXPECT_EQ(status.code(), StatusCode::kInternal) << code;
    EXPECT_EQ(status.message(),
              "the trial ended with exit code " + std::to_string(code) + ": words");
  }
}

TEST(ProbeTest, FaultsAreThoseThatAFileCanCause) {
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) EXPECT_TRUE(IsFault(signal));
  for (const int signal : {0, SIGILL, SIGKILL, SIGTERM}) EXPECT_FALSE(IsFault(signal));
  EXPECT_EQ(SignalName(SIGABRT), "SIGABRT");
  EXPECT_EQ(SignalName(1000), "signal 1000");
}

}  // namespace
}  // namespace foretoken
