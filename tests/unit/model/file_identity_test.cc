#include "model/file_identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

constexpr const char* kDigestOfAbc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kDigestOfXyz =
    "3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a6fa16c3c9282";

class FileIdentityTest : public ::testing::Test {
 protected:
  FileIdentityTest() { setenv("XDG_CACHE_HOME", (directory_.path() + "/cache").c_str(), 1); }

  // Rewrites the file in place, so that it keeps its inode, with a modification time in 2001.
  std::string Write(const std::string& bytes, long second) {
    const std::string path = directory_.Write("file", bytes);
    SetTime(path, second);
    return path;
  }
  static void SetTime(const std::string& path, long second) {
    const timespec times[2] = {{1'000'000'000 + second, 5}, {1'000'000'000 + second, 5}};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }

  std::string CachePath() const { return directory_.path() + "/cache/foretoken/identity"; }

  testing::TempDirectory directory_;
};

// A file whose bytes changed and whose stamp did not is the only way to see that it was not read.
TEST_F(FileIdentityTest, HashesAFileOnce) {
  const std::string path = Write("abc", 0);
  uint64_t told = 0;
  EXPECT_EQ(CachedSha256OfFile(path, [&told](uint64_t bytes) { told = bytes; }).value(),
            kDigestOfAbc);
  EXPECT_EQ(told, 3u);
  Write("xyz", 0);
  EXPECT_EQ(CachedSha256OfFile(path).value(), kDigestOfAbc);
  // Another name for the same place.
  EXPECT_EQ(CachedSha256OfFile(directory_.path() + "/./file").value(), kDigestOfAbc);
}

TEST_F(FileIdentityTest, EveryPartOfTheIdentityCounts) {
  const std::string path = Write("abc", 0);
  EXPECT_EQ(CachedSha256OfFile(path).value(), kDigestOfAbc);
  Write("xyz", 1);
  EXPECT_EQ(CachedSha256OfFile(path).value(), kDigestOfXyz) << "another time";
  Write("abcd", 1);
  EXPECT_NE(CachedSha256OfFile(path).value(), kDigestOfXyz) << "another size";
  Write("xyz", 0);
  std::filesystem::copy(path, path + "2");
  std::filesystem::rename(path + "2", path);
  SetTime(path, 0);
  EXPECT_EQ(CachedSha256OfFile(path).value(), kDigestOfXyz) << "another inode";
}

TEST_F(FileIdentityTest, ADamagedCacheIsComputedAgain) {
  const std::string path = Write("abc", 0);
  EXPECT_EQ(CachedSha256OfFile(path).value(), kDigestOfAbc);
  Write("xyz", 0);
  int damaged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CachePath())) {
    std::ofstream(entry.path(), std::ios::binary) << "nonsense";
    ++damaged;
  }
  EXPECT_EQ(damaged, 1);
  EXPECT_EQ(CachedSha256OfFile(path).value(), kDigestOfXyz);
}

// Its next change may come within the same tick of the file system's clock.
TEST_F(FileIdentityTest, AFileJustWrittenIsNotKept) {
  const std::string path = directory_.Write("file", "abc");
  EXPECT_EQ(CachedSha256OfFile(path).value(), kDigestOfAbc);
  EXPECT_FALSE(std::filesystem::exists(CachePath()));
}

TEST_F(FileIdentityTest, WorksWithoutACache) {
  setenv("XDG_CACHE_HOME", "/dev/null/nowhere", 1);
  EXPECT_EQ(CachedSha256OfFile(Write("abc", 0)).value(), kDigestOfAbc);
  EXPECT_EQ(CachedSha256OfFile(Write("xyz", 0)).value(), kDigestOfXyz);
}

TEST_F(FileIdentityTest, AFileThatChangesMeanwhileIsRefused) {
  const std::string path = Write("abc", 0);
  const auto digest = CachedSha256OfFile(path, [this](uint64_t) { Write("abcdef", 2); });
  EXPECT_EQ(digest.status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(FileIdentityTest, AMissingFileIsNamed) {
  const Status status = CachedSha256OfFile("/no/such/file").status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_NE(status.message().find("/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace foretoken
