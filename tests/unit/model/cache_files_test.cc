#include "model/cache_files.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

std::string Contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST(CacheFilesTest, FollowsTheEnvironment) {
  setenv("XDG_CACHE_HOME", "/somewhere", 1);
  setenv("HOME", "/user", 1);
  EXPECT_EQ(CacheDirectory().value(), "/somewhere/foretoken");
  unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(CacheDirectory().value(), "/user/.cache/foretoken");
  setenv("XDG_CACHE_HOME", "", 1);
  EXPECT_EQ(CacheDirectory().value(), "/user/.cache/foretoken");
  unsetenv("HOME");
  EXPECT_EQ(CacheDirectory().status().code(), StatusCode::kFailedPrecondition);
}

TEST(CacheFilesTest, KeepsEntriesByKey) {
  const testing::TempDirectory directory;
  const std::string cache = directory.path() + "/deep/cache";
  EXPECT_EQ(ReadCacheEntry(cache, "a"), std::nullopt);
  ASSERT_TRUE(WriteCacheEntry(cache, "a", "one").ok());
  ASSERT_TRUE(WriteCacheEntry(cache, "b", "two\nlines").ok());
  EXPECT_EQ(ReadCacheEntry(cache, "a"), "one");
  EXPECT_EQ(ReadCacheEntry(cache, "b"), "two\nlines");
  ASSERT_TRUE(WriteCacheEntry(cache, "a", "three").ok());
  EXPECT_EQ(ReadCacheEntry(cache, "a"), "three");
  // Nothing temporary stays behind.
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(cache)) ++files;
  EXPECT_EQ(files, 2);
}

TEST(CacheFilesTest, ADamagedEntryIsNone) {
  const testing::TempDirectory directory;
  ASSERT_TRUE(WriteCacheEntry(directory.path(), "key", "value").ok());
  const std::string path = CacheEntryPath(directory.path(), "key");
  const std::string good = Contents(path);
  ASSERT_NE(good.find("value"), std::string::npos);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    std::ofstream(path, std::ios::binary) << bad;
    // The line end after the digest carries nothing.
    if (i != 64) {
      EXPECT_EQ(ReadCacheEntry(directory.path(), "key"), std::nullopt) << i;
    }
    std::ofstream(path, std::ios::binary) << good.substr(0, i);
    EXPECT_EQ(ReadCacheEntry(directory.path(), "key"), std::nullopt) << i;
  }
  std::ofstream(path, std::ios::binary) << good;
  EXPECT_EQ(ReadCacheEntry(directory.path(), "key"), "value");
}

// As when two keys had one file name.
TEST(CacheFilesTest, AnotherKeysEntryIsNone) {
  const testing::TempDirectory directory;
  ASSERT_TRUE(WriteCacheEntry(directory.path(), "one", "value").ok());
  std::filesystem::rename(CacheEntryPath(directory.path(), "one"),
                          CacheEntryPath(directory.path(), "two"));
  EXPECT_EQ(ReadCacheEntry(directory.path(), "two"), std::nullopt);
}

TEST(CacheFilesTest, APlaceThatCannotBeWrittenIsAnError) {
  EXPECT_FALSE(WriteCacheEntry("/dev/null/cache", "key", "value").ok());
  EXPECT_EQ(ReadCacheEntry("/dev/null/cache", "key"), std::nullopt);
}

}  // namespace
}  // namespace foretoken
