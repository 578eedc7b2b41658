#include "model/model_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "testing/gguf_writer.h"
#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A shell script stands in for the probe: it notes that it ran and ends as the test wants.
class ModelCheckTest : public ::testing::Test {
 protected:
  ModelCheckTest() {
    setenv("XDG_CACHE_HOME", (directory_.path() + "/cache").c_str(), 1);
    unsetenv("FORETOKEN_PROBE");
    model_ = directory_.Write("model.gguf", testing::SmallGguf().Bytes());
  }

  std::string Probe(const std::string& script) {
    const std::string path = directory_.Write(
        "probe", "#!/bin/sh\necho \"$1\" >> " + directory_.path() + "/runs\n" + script + "\n");
    EXPECT_EQ(chmod(path.c_str(), 0700), 0);
    return path;
  }

  Status Check(const std::string& script, int64_t timeout_ms = 20'000) {
    ModelCheckOptions options;
    options.probe_path = Probe(script);
    options.timeout_ms = timeout_ms;
    return CheckModelFile(model_, options);
  }

  int Runs() const {
    std::ifstream file(directory_.path() + "/runs");
    return static_cast<int>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
  }

  void ExpectKept(const std::string& script, StatusCode code, const std::string& words) {
    const Status first = Check(script);
    EXPECT_EQ(first.code(), code) << first.ToString();
    EXPECT_THAT(first.message(), HasSubstr(words));
    const Status again = Check("exit 0");
    EXPECT_EQ(again.code(), code) << again.ToString();
    EXPECT_THAT(again.message(), HasSubstr(first.message()));
    EXPECT_THAT(again.message(), HasSubstr("found earlier; delete"));
    EXPECT_EQ(Runs(), 1);
  }

  void ExpectNotKept(const std::string& script, StatusCode code, const std::string& words,
                     int64_t timeout_ms = 20'000) {
    const Status first = Check(script, timeout_ms);
    EXPECT_EQ(first.code(), code) << first.ToString();
    EXPECT_THAT(first.message(), HasSubstr(words));
    EXPECT_EQ(Check("exit 0"), OkStatus());
    EXPECT_EQ(Runs(), 2);
  }

  testing::TempDirectory directory_;
  std::string model_;
};

TEST_F(ModelCheckTest, AGoodFileIsProbedOnce) {
  EXPECT_EQ(Check("exit 0"), OkStatus());
  EXPECT_EQ(Check("kill -ABRT $$"), OkStatus());
  EXPECT_EQ(Runs(), 1);
  std::ifstream runs(directory_.path() + "/runs");
  std::string argument;
  std::getline(runs, argument);
  EXPECT_EQ(argument, model_);
}

TEST_F(ModelCheckTest, TheVerdictIsTheContentsAndNotThePaths) {
  EXPECT_EQ(Check("exit 0"), OkStatus());
  model_ = directory_.Write("copy.gguf", testing::SmallGguf().Bytes());
  EXPECT_EQ(Check("kill -ABRT $$"), OkStatus());
  testing::GgufWriter other = testing::SmallGguf();
  other.SetString("general.name", "Other");
  model_ = directory_.Write("other.gguf", other.Bytes());
  EXPECT_EQ(Check("kill -ABRT $$").code(), StatusCode::kDataLoss);
  EXPECT_EQ(Runs(), 2);
}

TEST_F(ModelCheckTest, AnAbortBecomesAnErrorWithItsLastWords) {
  ExpectKept("echo 'vocab.cpp:1: GGML_ASSERT(ok) failed' >&2; kill -ABRT $$", StatusCode::kDataLoss,
             "died of SIGABRT in a trial: vocab.cpp:1: GGML_ASSERT(ok)");
}

TEST_F(ModelCheckTest, ASegmentationFaultBecomesAnError) {
  ExpectKept("kill -SEGV $$", StatusCode::kDataLoss, "SIGSEGV");
}

TEST_F(ModelCheckTest, WhatTheProbeReportsIsTheError) {
  ExpectKept("echo 'unknown architecture' >&2; exit 74", StatusCode::kUnimplemented,
             "unknown architecture");
}

TEST_F(ModelCheckTest, APassingFaultIsReportedAndForgotten) {
  ExpectNotKept("echo 'no memory' >&2; exit 68", StatusCode::kResourceExhausted, "no memory");
}

TEST_F(ModelCheckTest, AProbeThatIsKilledIsForgotten) {
  ExpectNotKept("kill -KILL $$", StatusCode::kResourceExhausted, "SIGKILL");
}

TEST_F(ModelCheckTest, AProbeThatTakesTooLongIsForgotten) {
  ExpectNotKept("echo loading >&2; sleep 60", StatusCode::kDeadlineExceeded, "loading", 300);
}

TEST_F(ModelCheckTest, AnIllegalInstructionIsTheBuildsFault) {
  ExpectNotKept("kill -ILL $$", StatusCode::kInternal, "processor");
}

TEST_F(ModelCheckTest, AnUnknownExitCodeIsForgotten) {
  ExpectNotKept("echo 'cannot open shared object' >&2; exit 127", StatusCode::kInternal,
                "exit code 127: cannot open shared object");
}

TEST_F(ModelCheckTest, BrokenFilesNeverReachTheProbe) {
  model_ = directory_.Write("cut.gguf", testing::SmallGguf().Bytes().substr(0, 300));
  EXPECT_EQ(Check("exit 0").code(), StatusCode::kDataLoss);
  testing::GgufWriter writer = testing::SmallGguf();
  writer.Remove("llama.block_count");
  model_ = directory_.Write("keys.gguf", writer.Bytes());
  EXPECT_EQ(Check("exit 0").code(), StatusCode::kDataLoss);
  model_ = directory_.path() + "/missing.gguf";
  EXPECT_EQ(Check("exit 0").code(), StatusCode::kNotFound);
  EXPECT_EQ(Runs(), 0);
}

TEST_F(ModelCheckTest, TheProbeIsLookedFor) {
  const Status none = CheckModelFile(model_, ModelCheckOptions{});
  EXPECT_EQ(none.code(), StatusCode::kUnavailable) << none.ToString();
  EXPECT_THAT(none.message(), HasSubstr("foretoken-probe is missing"));
  EXPECT_THAT(none.message(), HasSubstr("libexec/foretoken"));

  setenv("FORETOKEN_PROBE", (directory_.path() + "/absent").c_str(), 1);
  const Status absent = CheckModelFile(model_, ModelCheckOptions{});
  EXPECT_EQ(absent.code(), StatusCode::kUnavailable);
  EXPECT_THAT(absent.message(), HasSubstr("/absent: No such file"));

  setenv("FORETOKEN_PROBE", Probe("exit 0").c_str(), 1);
  EXPECT_EQ(CheckModelFile(model_, ModelCheckOptions{}), OkStatus());
  EXPECT_EQ(Runs(), 1);
}

TEST_F(ModelCheckTest, WorksWithoutACache) {
  setenv("XDG_CACHE_HOME", "/dev/null/nowhere", 1);
  EXPECT_EQ(Check("exit 0"), OkStatus());
  EXPECT_EQ(Check("exit 0"), OkStatus());
  EXPECT_EQ(Runs(), 2);
}

}  // namespace
}  // namespace foretoken
