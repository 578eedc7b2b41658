#include "testing/temp_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace foretoken::testing {
namespace {

TEST(TempDirectoryTest, IsItsOwnAndGoesWithAllThatIsInIt) {
  std::string path;
  {
    const TempDirectory first;
    const TempDirectory second;
    EXPECT_NE(first.path(), second.path());
    path = first.path();
    const std::string file = first.Write("file", "bytes");
    EXPECT_EQ(std::filesystem::file_size(file), 5u);
    EXPECT_EQ(std::filesystem::file_size(first.Write("file", "b")), 1u) << "replaced";
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace foretoken::testing
