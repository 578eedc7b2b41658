#include "fetch/quantise_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "unit/fetch/fake_quantiser.h"
#include "unit/fetch/temporary_directory.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

class QuantiseModelTest : public ::testing::Test {
 protected:
  QuantiseModelTest() {
    directory_.Write("model.gguf", UnquantisedBytes());
    options_.request.input_path = directory_.Path("model.gguf");
    options_.request.output_path = directory_.Path("out.gguf");
    options_.request.type = *FindQuantisation("q4_0");
    options_.request.pure = true;
    options_.probe_path = fake_.probe();
    options_.disk.free_bytes = [this](const std::string&) { return Result<uint64_t>(free_bytes_); };
  }
  // No test may leave anything half done.
  ~QuantiseModelTest() override {
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      EXPECT_EQ(entry.path().extension(), ".gguf") << entry.path();
    }
    EXPECT_EQ(directory_.Read("model.gguf"), UnquantisedBytes());
  }

  void ExpectFailure(StatusCode code, const std::string& words) {
    const Status status = QuantiseModel(options_, observer_).status();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(words));
    EXPECT_FALSE(directory_.Has("out.gguf"));
    EXPECT_FALSE(directory_.Has("out.gguf.part"));
  }

  const TemporaryDirectory directory_;
  FakeQuantiser fake_;
  QuantiseOptions options_;
  FetchObserver observer_;
  uint64_t free_bytes_ = uint64_t{1} << 40;
};

TEST_F(QuantiseModelTest, TheResultIsThereWhenItIsWholeAndWasTried) {
  std::vector<FetchProgress> progress;
  observer_.progress = [&](const FetchProgress& p) { progress.push_back(p); };
  const auto made = QuantiseModel(options_, observer_);
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  EXPECT_EQ(directory_.Read("out.gguf"), QuantisedBytes());
  EXPECT_EQ(made->bytes, QuantisedBytes().size());
  EXPECT_EQ(made->sha256, *Sha256OfFile(directory_.Path("out.gguf")));
  // The input was tried, then it was made, then what was made was tried.
  const std::string out = directory_.Path("out.gguf");
  const std::string in = directory_.Path("model.gguf");
  EXPECT_EQ(fake_.runs(),
            in + "\n--quantise " + in + " " + out + ".part Q4_0 pure  0\n" + out + ".part\n");
  ASSERT_EQ(progress.size(), 2u);
  EXPECT_EQ(progress[0].done_bytes, 0u);
  EXPECT_EQ(progress[1].done_bytes, 64u);  // token_embd.weight
  EXPECT_EQ(progress[1].total_bytes, 64u + 256);
}

TEST_F(QuantiseModelTest, AFileOfTheSameNameIsReplacedOnlyWhereAsked) {
  directory_.Write("out.gguf", "mine");
  const Status status = QuantiseModel(options_, observer_).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("out.gguf exists already"));
  options_.replaces = true;
  fake_.Make("exit 74");
  EXPECT_FALSE(QuantiseModel(options_, observer_).ok());
  EXPECT_EQ(directory_.Read("out.gguf"), "mine") << "a failure changes nothing";
  EXPECT_EQ(fake_.runs().find("--quantise"), fake_.runs().rfind("--quantise"));
  fake_.Make("printf '%s' \"$3\" > /dev/null; cp " + directory_.Path("model.gguf") + " \"$3\"");
  EXPECT_EQ(QuantiseModel(options_, observer_).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(directory_.Read("out.gguf"), "mine");
}

TEST_F(QuantiseModelTest, ItsInputIsNotReplaced) {
  options_.replaces = true;
  options_.request.output_path = directory_.path() + "/./model.gguf";
  const Status status = QuantiseModel(options_, observer_).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("is the input itself"));
  options_.request.output_path = directory_.path();
  EXPECT_THAT(QuantiseModel(options_, observer_).status().message(), HasSubstr("is not a file"));
  EXPECT_EQ(fake_.runs(), "");
}

TEST_F(QuantiseModelTest, TheInputMustBeAModelThatRuns) {
  fake_.set_trial("echo GGML_ASSERT >&2; kill -ABRT $$");
  fake_.Make("exit 0");
  ExpectFailure(StatusCode::kDataLoss, "died of SIGABRT in a trial: GGML_ASSERT");
  options_.request.input_path = directory_.Path("absent.gguf");
  ExpectFailure(StatusCode::kNotFound, "absent.gguf");
}

TEST_F(QuantiseModelTest, WhatItsProcessSaysIsTheError) {
  fake_.Make("echo half > \"$3\"; echo 'no such type' >&2; exit 75");
  ExpectFailure(StatusCode::kInternal, "no such type");
  fake_.Make("echo half > \"$3\"; echo 'GGML_ASSERT(rows)' >&2; kill -ABRT $$");
  ExpectFailure(StatusCode::kInternal, "quantiser died of SIGABRT: GGML_ASSERT(rows)");
  fake_.Make("kill -XFSZ $$");
  ExpectFailure(StatusCode::kResourceExhausted, "larger than this process may write");
  options_.probe_path = directory_.Path("absent");
  ExpectFailure(StatusCode::kUnavailable, "absent");
}

TEST_F(QuantiseModelTest, AWrongResultIsNone) {
  fake_.set_result(UnquantisedBytes());
  ExpectFailure(StatusCode::kDataLoss, "'general.file_type' is 0, not 2");
  fake_.set_result(QuantisedBytes().substr(0, QuantisedBytes().size() - 40));
  ExpectFailure(StatusCode::kDataLoss, "out.gguf.part");
  fake_.Make("exit 0");
  ExpectFailure(StatusCode::kNotFound, "out.gguf.part");
}

TEST_F(QuantiseModelTest, AResultThatDoesNotRunIsNone) {
  fake_.set_trial("case \"$1\" in *.part) echo no vocabulary >&2; exit 72;; esac");
  fake_.Make("cp \"${0%/*}/result\" \"$3\"");
  ExpectFailure(StatusCode::kDataLoss, "no vocabulary");
}

TEST_F(QuantiseModelTest, AFullDiskIsSaidBeforeAnythingIsWritten) {
  free_bytes_ = 1000;
  fake_.Make("sleep 60; cp \"${0%/*}/result\" \"$3\"");
  ExpectFailure(StatusCode::kResourceExhausted, "the disk is full: 1.");  // and the metadata
  EXPECT_THAT(fake_.runs(), HasSubstr("--quantise"));
}

// llama.cpp goes on where it cannot write, or reports something else.
TEST_F(QuantiseModelTest, ADiskThatFillsUpIsSaidToo) {
  int asked = 0;
  options_.disk.free_bytes = [&](const std::string&) {
    return Result<uint64_t>(asked++ == 0 ? uint64_t{1} << 40 : 5000);
  };
  fake_.Make("head -c 300 \"${0%/*}/result\" > \"$3\"");
  ExpectFailure(StatusCode::kResourceExhausted, "and 5.0 kB is free");
  asked = 0;
  fake_.Make("echo 'basic_ios::clear' >&2; exit 75");
  ExpectFailure(StatusCode::kResourceExhausted, "the disk is full");
}

TEST_F(QuantiseModelTest, AnInterruptEndsIt) {
  bool interrupted = false;
  observer_.progress = [&](const FetchProgress&) { interrupted = true; };
  observer_.cancelled = [&] { return interrupted; };
  fake_.Make("echo half > \"$3\"; sleep 60");
  ExpectFailure(StatusCode::kCancelled, "interrupted");
}

TEST_F(QuantiseModelTest, AnImportanceMatrixMustBeTheModels) {
  testing::GgufWriter matrix;
  matrix.AddFloatTensor("blk.7.attn_q.weight.in_sum2", {1}, {1});
  matrix.AddFloatTensor("blk.7.attn_q.weight.counts", {1}, {1});
  directory_.Write("other.gguf", matrix.Bytes());
  options_.request.importance_path = directory_.Path("other.gguf");
  ExpectFailure(StatusCode::kInvalidArgument, "has no tensor 'blk.7.attn_q.weight'");
  matrix.AddFloatTensor("output.weight.in_sum2", {64}, std::vector<float>(64, 1.0F));
  matrix.AddFloatTensor("output.weight.counts", {1}, {1});
  directory_.Write("other.gguf", matrix.Bytes());
  EXPECT_TRUE(QuantiseModel(options_, observer_).ok());
  EXPECT_THAT(fake_.runs(), HasSubstr("pure " + options_.request.importance_path + " 0"));
}

TEST_F(QuantiseModelTest, WhatAnEarlierOneLeftIsInNobodysWay) {
  directory_.Write("out.gguf.part", "left by one that was killed");
  EXPECT_TRUE(QuantiseModel(options_, observer_).ok());
  EXPECT_FALSE(directory_.Has("out.gguf.part"));
}

}  // namespace
}  // namespace foretoken
