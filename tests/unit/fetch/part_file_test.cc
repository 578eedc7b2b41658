#include "fetch/part_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "unit/fetch/temporary_directory.h"

namespace foretoken {
namespace {

using testing::HasSubstr;

// Of "abc".
constexpr char kAbcSha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

class PartFileTest : public testing::Test {
 protected:
  Result<PartFile> Open(uint64_t expected_bytes) {
    return PartFile::Open(part_, expected_bytes, disk_, {});
  }

  TemporaryDirectory directory_;
  const std::string part_ = directory_.Path("model.gguf.part");
  const std::string final_ = directory_.Path("model.gguf");
  DiskOperations disk_ = SystemDisk();
};

TEST_F(PartFileTest, TheNameAppearsWithTheRightHashOnly) {
  auto part = Open(3);
  ASSERT_EQ(part->Append(std::string_view("ab")), OkStatus());
  ASSERT_EQ(part->Append(std::string_view("c")), OkStatus());
  EXPECT_FALSE(directory_.Has("model.gguf"));
  auto digest = std::move(*part).Commit(final_, kAbcSha256);
  ASSERT_TRUE(digest.ok()) << digest.status().ToString();
  EXPECT_EQ(*digest, kAbcSha256);
  EXPECT_EQ(directory_.Read("model.gguf"), "abc");
  EXPECT_FALSE(directory_.Has("model.gguf.part"));
}

TEST_F(PartFileTest, AWrongHashRemovesThePartAndKeepsWhatHasTheName) {
  directory_.Write("model.gguf", "older");
  auto part = Open(3);
  ASSERT_EQ(part->Append(std::string_view("abd")), OkStatus());
  const Status status = std::move(*part).Commit(final_, kAbcSha256).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(kAbcSha256));
  EXPECT_FALSE(directory_.Has("model.gguf.part"));
  EXPECT_EQ(directory_.Read("model.gguf"), "older");
}

TEST_F(PartFileTest, AShortFileIsKeptAndGoesOn) {
  {
    auto part = Open(3);
    ASSERT_EQ(part->Append(std::string_view("ab")), OkStatus());
    EXPECT_EQ(std::move(*part).Commit(final_, kAbcSha256).status().code(),
              StatusCode::kUnavailable);
  }
  EXPECT_FALSE(directory_.Has("model.gguf"));
  auto part = Open(3);
  EXPECT_EQ(part->bytes(), 2u);
  ASSERT_EQ(part->Append(std::string_view("c")), OkStatus());
  EXPECT_TRUE(std::move(*part).Commit(final_, kAbcSha256).ok());
  EXPECT_EQ(directory_.Read("model.gguf"), "abc");
}

TEST_F(PartFileTest, APartLongerThanTheModelStartsAgain) {
  directory_.Write("model.gguf.part", "of something else");
  auto part = Open(3);
  EXPECT_EQ(part->bytes(), 0u);
  ASSERT_EQ(part->Append(std::string_view("abc")), OkStatus());
  EXPECT_TRUE(std::move(*part).Commit(final_, kAbcSha256).ok());
}

TEST_F(PartFileTest, MoreThanExpectedIsRefused) {
  auto part = Open(3);
  ASSERT_EQ(part->Append(std::string_view("ab")), OkStatus());
  EXPECT_EQ(part->Append(std::string_view("cd")).code(), StatusCode::kDataLoss);
  EXPECT_EQ(part->bytes(), 2u);
}

TEST_F(PartFileTest, RestartForgetsContentAndHash) {
  auto part = Open(3);
  ASSERT_EQ(part->Append(std::string_view("xy")), OkStatus());
  ASSERT_EQ(part->Restart(), OkStatus());
  ASSERT_EQ(part->Append(std::string_view("abc")), OkStatus());
  EXPECT_TRUE(std::move(*part).Commit(final_, kAbcSha256).ok());
}

TEST_F(PartFileTest, AnEmptyPartLeavesNothingBehind) {
  { ASSERT_TRUE(Open(3).ok()); }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(PartFileTest, CancellingWhileHashingKeepsThePart) {
  directory_.Write("model.gguf.part", "ab");
  FetchObserver observer;
  observer.cancelled = [] { return true; };
  EXPECT_EQ(PartFile::Open(part_, 3, disk_, observer).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(directory_.Read("model.gguf.part"), "ab");
}

TEST_F(PartFileTest, RoomIsCheckedBeforeTheFirstByte) {
  disk_.free_bytes = [](const std::string&) -> Result<uint64_t> { return 1'500'000; };
  auto part = Open(2'000'000);
  const Status status = part->CheckRoom(1'000'000);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("3.0 MB more is needed"));
  EXPECT_THAT(status.message(), HasSubstr("1.5 MB is free"));
  part->set_expected_bytes(1'500'000);
  EXPECT_EQ(part->CheckRoom(0), OkStatus());
}

TEST_F(PartFileTest, ADiskThatFillsUpIsSaidSoAndThePartGoesOn) {
  size_t room = 2;
  disk_.write = [&room](int descriptor, const void* data, size_t bytes) -> ssize_t {
    if (room == 0) {
      errno = ENOSPC;
      return -1;
    }
    const ssize_t put = SystemDisk().write(descriptor, data, std::min(room, bytes));
    room -= static_cast<size_t>(put);
    return put;
  };
  {
    auto part = Open(3);
    const Status status = part->Append(std::string_view("abc"));
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
    EXPECT_THAT(status.message(), HasSubstr("the disk is full: 1 B more is needed"));
  }
  EXPECT_FALSE(directory_.Has("model.gguf"));
  room = 100;
  auto part = Open(3);
  EXPECT_EQ(part->bytes(), 2u);
  ASSERT_EQ(part->Append(std::string_view("c")), OkStatus());
  EXPECT_TRUE(std::move(*part).Commit(final_, kAbcSha256).ok());
}

// The same through the operating system: a limit on the size of files stands in for the disk.
TEST_F(PartFileTest, TheOperatingSystemsRefusalIsRecognised) {
  rlimit former{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &former), 0);
  signal(SIGXFSZ, SIG_IGN);  // NOLINT: the result is not needed
  const rlimit small{4096, former.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Status status;
  {
    auto part = Open(8192);
    status = part->Append(std::string(8192, 'x'));
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &former), 0);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(directory_.Read("model.gguf.part").size(), 4096u);
}

TEST_F(PartFileTest, ADirectoryThatIsNotThereIsNamed) {
  const Status status =
      PartFile::Open("/no/such/directory/model.part", 3, SystemDisk(), {}).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("/no/such/directory"));
}

TEST(FormatBytesTest, UsesDecimalUnits) {
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1500), "1.5 kB");
  EXPECT_EQ(FormatBytes(98'362'432), "98.4 MB");
  EXPECT_EQ(FormatBytes(1'117'320'768), "1.12 GB");
}

}  // namespace
}  // namespace foretoken
