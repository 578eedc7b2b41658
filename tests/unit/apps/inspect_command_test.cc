#include "inspect_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "testing/gguf_writer.h"
#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SmallGguf;

class InspectCommandTest : public ::testing::Test {
 protected:
  InspectCommandTest() {
    setenv("XDG_CACHE_HOME", (directory_.path() + "/cache").c_str(), 1);
    setenv("FORETOKEN_MODELS_DIR", directory_.path().c_str(), 1);
  }

  struct Output {
    int exit_code = -1;
    std::string out;
    std::string err;
  };

  static Output RunInspect(std::vector<std::string> arguments) {
    Output output;
    CLI::App app;
    AddInspectCommand(app, output.exit_code);
    // CLI11 takes a vector from its end.
    arguments.insert(arguments.begin(), "inspect");
    std::reverse(arguments.begin(), arguments.end());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    try {
      app.parse(arguments);
    } catch (const CLI::Error& error) {
      output.exit_code = 100;
    }
    output.out = ::testing::internal::GetCapturedStdout();
    output.err = ::testing::internal::GetCapturedStderr();
    return output;
  }

  std::string Write(const std::string& name, const GgufWriter& writer) const {
    return directory_.Write(name, writer.Bytes());
  }

  testing::TempDirectory directory_;
};

TEST_F(InspectCommandTest, PrintsTheFacts) {
  GgufWriter writer = SmallGguf();
  writer.SetString("tokenizer.chat_template", "{% for message %}\nsecond line");
  writer.SetFloat("general.sampling.temp", 0.7f);
  const Output output = RunInspect({Write("a.gguf", writer)});
  EXPECT_EQ(output.exit_code, 0) << output.err;
  for (const char* words :
       {"Small", "llama", "64 tokens", "1 layers, width 4, 2 heads, 1 KV heads",
        "gpt2 / qwen2, 4 tokens", "<|im_end|>", "29 bytes: {% for message %}", "temp 0.7"}) {
    EXPECT_THAT(output.out, HasSubstr(words));
  }
  EXPECT_THAT(output.out, Not(HasSubstr("second line")));
  EXPECT_THAT(output.out, Not(HasSubstr("cannot be run")));
}

TEST_F(InspectCommandTest, TakesThePulledModelsName) {
  const std::string path = Write("small.gguf", SmallGguf());
  const Output output = RunInspect({"small"});
  EXPECT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr(path));
}

TEST_F(InspectCommandTest, PrintsJson) {
  const std::string path = Write("a.gguf", SmallGguf());
  const Output output = RunInspect({path, "--json"});
  EXPECT_EQ(output.exit_code, 0) << output.err;
  const auto json = nlohmann::json::parse(output.out, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << output.out;
  ASSERT_EQ(json["models"].size(), 1u);
  const auto& model = json["models"][0];
  EXPECT_EQ(model["path"], path);
  EXPECT_EQ(model["parameters"], 16);
  EXPECT_EQ(model["sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(model["tokenizer"]["vocabulary_size"], 4);
  EXPECT_EQ(model["special_tokens"]["eos"]["text"], "<|im_end|>");
  EXPECT_EQ(model["usable"], true);
  EXPECT_TRUE(model["chat_template"].is_null());
  EXPECT_FALSE(json.contains("pair"));
}

TEST_F(InspectCommandTest, JudgesAPair) {
  GgufWriter large = SmallGguf();
  large.AddFloatTensor("output.weight", {4, 4}, std::vector<float>(16));
  const std::string small_path = Write("small.gguf", SmallGguf());
  const std::string large_path = Write("large.gguf", large);
  const Output text = RunInspect({small_path, large_path});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("can be a pair: target " + large_path + ", draft " + small_path));
  const auto json =
      nlohmann::json::parse(RunInspect({large_path, small_path, "--json"}).out, nullptr, false);
  EXPECT_EQ(json["pair"]["can_pair"], true);
  EXPECT_EQ(json["pair"]["draft"], small_path);

  GgufWriter other = SmallGguf();
  other.SetString("tokenizer.ggml.pre", "other");
  const Output no_pair = RunInspect({large_path, Write("other.gguf", other)});
  EXPECT_EQ(no_pair.exit_code, 3);
  EXPECT_THAT(no_pair.out, HasSubstr("cannot be a pair: tokenizer.ggml.pre is 'qwen2'"));
}

TEST_F(InspectCommandTest, SaysWhyAFileCannotBeRead) {
  const Output missing = RunInspect({directory_.path() + "/missing.gguf"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("NOT_FOUND"));
  EXPECT_EQ(missing.out, "");
  const Output cut =
      RunInspect({directory_.Write("cut.gguf", SmallGguf().Bytes().substr(0, 100)), "--json"});
  EXPECT_EQ(cut.exit_code, 1);
  EXPECT_THAT(cut.err, HasSubstr("fetch it again"));
}

// Facts of a file that reads well but could not be run.
TEST_F(InspectCommandTest, SaysWhyAModelCannotBeRun) {
  GgufWriter writer = SmallGguf();
  writer.SetUint32("split.count", 2);
  const std::string path = Write("part.gguf", writer);
  EXPECT_THAT(RunInspect({path}).out, HasSubstr("cannot be run"));
  const auto json = nlohmann::json::parse(RunInspect({path, "--json"}).out, nullptr, false);
  EXPECT_EQ(json["models"][0]["usable"], false);
  EXPECT_THAT(json["models"][0]["reason"].get<std::string>(), HasSubstr("one of 2 parts"));
}

// A file's text can neither change the terminal nor break the JSON.
TEST_F(InspectCommandTest, TextOfTheFileIsHarmless) {
  GgufWriter writer = SmallGguf();
  writer.SetString("general.name", "a\x1B[2Jb\xFF\xC2");
  writer.SetString("tokenizer.chat_template", std::string(200, '\xC3'));
  writer.SetString("tokenizer.ggml.pre", "x\xC2\x9By");
  const std::string path = Write("odd.gguf", writer);
  const Output text = RunInspect({path});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("a?[2Jb??"));
  EXPECT_THAT(text.out, HasSubstr("x?y"));
  EXPECT_THAT(text.out, Not(HasSubstr("\x1B")));
  const auto json = nlohmann::json::parse(RunInspect({path, "--json"}).out, nullptr, false);
  EXPECT_FALSE(json.is_discarded());
}

TEST_F(InspectCommandTest, WrongUseIsTheParsersError) {
  EXPECT_EQ(RunInspect({}).exit_code, 100);
  EXPECT_EQ(RunInspect({"a", "b", "c"}).exit_code, 100);
}

}  // namespace
}  // namespace foretoken
