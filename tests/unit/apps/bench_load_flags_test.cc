#include "bench_load_flags.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

namespace foretoken {
namespace {

// The message of what is refused, empty when nothing is.
std::string Parse(std::vector<std::string> arguments, LoadFlags& flags) {
  CLI::App app;
  AddLoadFlags(app, flags);
  arguments.insert(arguments.end(), {"-m", "m", "--prompts", "p"});
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}

LoadFlags MustParse(const std::vector<std::string>& arguments) {
  LoadFlags flags;
  EXPECT_EQ(Parse(arguments, flags), "");
  return flags;
}

TEST(BenchLoadFlagsTest, Defaults) {
  const LoadFlags flags = MustParse({});
  EXPECT_EQ(flags.concurrency, (std::vector{1, 2, 4, 8, 16}));
  EXPECT_EQ(flags.modes, (std::vector<std::string>{"off", "auto"}));
  EXPECT_EQ(flags.RequestsOrDefault(), 2);
  EXPECT_EQ(MustParse({"--rate", "2"}).RequestsOrDefault(), 16);
  EXPECT_EQ(MustParse({"--flood", "32"}).RequestsOrDefault(), 16);
  EXPECT_EQ(MustParse({"--rate", "2", "--requests", "3"}).RequestsOrDefault(), 3);
  EXPECT_TRUE(CheckLoadFlags(flags).ok());
}

TEST(BenchLoadFlagsTest, ReadsListsAndModes) {
  const LoadFlags flags =
      MustParse({"--concurrency", "3,256", "--modes", "auto,0,12,off", "--tenants", "2",
                 "--weights", "1,2.5", "--sources", "suffix", "--max-running", "7"});
  EXPECT_EQ(flags.concurrency, (std::vector{3, 256}));
  EXPECT_EQ(flags.weights, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(flags.max_running, 7);
  EXPECT_TRUE(CheckLoadFlags(flags).ok());
  const std::vector<LoadMode> modes = LoadModes(flags);
  ASSERT_EQ(modes.size(), 4u);
  EXPECT_EQ(modes[0].speculation.mode, SpeculationMode::kAuto);
  EXPECT_EQ(modes[1].speculation.draft_k, 0);
  EXPECT_EQ(modes[2].speculation.mode, SpeculationMode::kFixed);
  EXPECT_EQ(modes[2].speculation.draft_k, 12);
  EXPECT_EQ(modes[2].speculation.max_draft_tokens, 12);
  EXPECT_EQ(modes[2].name, "12");
  EXPECT_EQ(modes[3].speculation.mode, SpeculationMode::kOff);
  for (const LoadMode& mode : modes) {
    EXPECT_EQ(mode.speculation.sources, std::vector{DraftSourceKind::kSuffix});
  }
}

TEST(BenchLoadFlagsTest, BadValuesAreRefusedWithWhatWouldBeRight) {
  struct Case {
    const char* flag;
    const char* value;
    const char* right;
  };
  const Case cases[] = {
      {"--concurrency", "0", "1 to 256"},    {"--concurrency", "257", "1 to 256"},
      {"--concurrency", "1,,2", "1 to 256"}, {"--concurrency", "", "1 to 256"},
      {"--concurrency", "1,2,", "1 to 256"}, {"--concurrency", "2,2", "once"},
      {"--modes", "off,fast", "auto, off"},  {"--modes", "off,-1", "auto, off"},
      {"--modes", "4,off,4", "once"},        {"--rate", "0", "0.001 or more"},
      {"--rate", "nan", "0.001 or more"},    {"--rate", "fast", "0.001 or more"},
      {"--requests", "0", "1 to"},           {"--repeat", "0", "1 to 1000"},
      {"--warm-up", "-1", "0 to 1000"},      {"--tenants", "0", "1 to 64"},
      {"--weights", "1,0", "above 0"},       {"--weights", "nan", "above 0"},
      {"--weights", "1001", "at most 1000"}, {"--flood", "1", "2 to 256"},
      {"--max-running", "257", "1 to 256"},
  };
  for (const Case& c : cases) {
    LoadFlags flags;
    const std::string message = Parse({c.flag, c.value}, flags);
    EXPECT_NE(message.find(c.right), std::string::npos)
        << c.flag << " " << c.value << ": " << message;
    EXPECT_NE(message.find(c.flag), std::string::npos) << message;
  }
}

TEST(BenchLoadFlagsTest, ContradictionsAreRefused) {
  const std::vector<std::vector<std::string>> parsed = {
      {"--rate", "1", "--concurrency", "2"},
      {"--flood", "4", "--concurrency", "2"},
      {"--flood", "4", "--rate", "2"},
      {"--flood", "4", "--tenants", "2"},
      {"--speculation", "4"},
  };
  for (const auto& arguments : parsed) {
    LoadFlags flags;
    EXPECT_NE(Parse(arguments, flags), "") << arguments[0] << " " << arguments[1];
  }
  const std::vector<std::vector<std::string>> checked = {
      {"--weights", "1,2"},
      {"--tenants", "3", "--weights", "1,2"},
      {"--flood", "4", "--weights", "1"},
      {"--rate", "2", "--ceiling"},
      {"--sources", "draft"},
  };
  for (const auto& arguments : checked) {
    EXPECT_EQ(CheckLoadFlags(MustParse(arguments)).code(), StatusCode::kInvalidArgument)
        << arguments[0] << " " << arguments[1];
  }
  EXPECT_TRUE(CheckLoadFlags(MustParse({"--flood", "4", "--weights", "1,3"})).ok());
}

}  // namespace
}  // namespace foretoken
