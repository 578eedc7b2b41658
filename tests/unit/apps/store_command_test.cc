#include "store_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

TEST(StoreCommandTest, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(TextTable({{"A", "LONG NAME", "C"}, {"aaa", "b", ""}}),
            "A    LONG NAME  C\n"
            "aaa  b          \n");
  // Characters count, not bytes.
  EXPECT_EQ(TextTable({{"A", "B"}, {"\xC3\xA9\xC3\xA9", "b"}}),
            "A   B\n"
            "\xC3\xA9\xC3\xA9  b\n");
  EXPECT_EQ(TextTable({}), "");
}

TEST(StoreCommandTest, AMissingStoreSaysHowOneIsMade) {
  const testing::TempDirectory directory;
  const std::string path = directory.path() + "/none.db";
  const auto store = OpenStore(path, StoreFile::kMustExist);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(store.status().message(), HasSubstr(path));
  EXPECT_THAT(store.status().message(), HasSubstr("tenant add"));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(OpenStore(path, StoreFile::kCreateIfMissing).ok());
}

TEST(StoreCommandTest, TheExitCodeFollowsTheStatus) {
  const auto exit_code_of = [](const Status& status) {
    CLI::App app;
    int exit_code = -1;
    RunOnCommand(*app.add_subcommand("do"), exit_code, [&status] { return status; });
    app.parse("do");
    return exit_code;
  };
  EXPECT_EQ(exit_code_of(OkStatus()), 0);
  EXPECT_EQ(exit_code_of(CancelledError("standard output was closed")), 0);
  EXPECT_EQ(exit_code_of(InvalidArgumentError("x")), 2);
  EXPECT_EQ(exit_code_of(NotFoundError("x")), 1);
  EXPECT_EQ(exit_code_of(UnavailableError("x")), 1);
}

}  // namespace
}  // namespace foretoken
