#include "prompts_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

class PromptsFileTest : public ::testing::Test {
 protected:
  Result<std::vector<Prompt>> Read(const std::string& content, int32_t limit = 0) {
    std::ofstream(path_, std::ios::binary) << content;
    return ReadPromptsFile(path_, limit);
  }
  const testing::TempDirectory directory_;  // its own: tests run side by side
  const std::string path_ = directory_.path() + "/prompts.jsonl";
};

TEST_F(PromptsFileTest, ReadsBothFieldsAndNamesPrompts) {
  const auto prompts = Read(
      "{\"question_id\": \"q/1\", \"turns\": [\"first\", \"second\"]}\n"
      "\n"
      "{\"prompt\": \"caf\\u00e9\\nx\"}\r\n"
      "{\"id\": 7, \"prompt\": \"\"}");
  ASSERT_TRUE(prompts.ok()) << prompts.status().message();
  ASSERT_EQ(prompts->size(), 3u);
  EXPECT_EQ((*prompts)[0].id, "q/1");
  EXPECT_EQ((*prompts)[0].text, "first");
  EXPECT_EQ((*prompts)[1].id, "1");
  EXPECT_EQ((*prompts)[1].text, "caf\xC3\xA9\nx");
  EXPECT_EQ((*prompts)[2].id, "7");
  EXPECT_EQ((*prompts)[2].text, "");
}

TEST_F(PromptsFileTest, ALimitLeavesTheRestUnread) {
  const auto prompts = Read("{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\nnot JSON\n", 2);
  ASSERT_TRUE(prompts.ok()) << prompts.status().message();
  EXPECT_EQ(prompts->size(), 2u);
}

TEST_F(PromptsFileTest, ErrorsNameFileAndLine) {
  struct Case {
    std::string line;
    std::string message;
  };
  const Case cases[] = {
      {"not JSON", "not JSON"},
      {"{\"prompt\": \"a\"} trailing", "not JSON"},
      {"[1]", "not a JSON object"},
      {"{}", "neither"},
      {"{\"turns\": []}", "turns"},
      {"{\"turns\": \"a\"}", "turns"},
      {"{\"turns\": [1]}", "string"},
      {"{\"prompt\": null}", "string"},
      {"{\"prompt\": \"\xFF\"}", "UTF-8 at byte 12"},
  };
  for (const Case& c : cases) {
    const auto prompts = Read("{\"prompt\": \"good\"}\n\n" + c.line + "\n");
    EXPECT_EQ(prompts.status().code(), StatusCode::kInvalidArgument) << c.line;
    const std::string message = prompts.status().message();
    EXPECT_NE(message.find(path_ + ":3: "), std::string::npos) << message;
    EXPECT_NE(message.find(c.message), std::string::npos) << message;
  }
}

TEST_F(PromptsFileTest, AFileMustBeThereAndHoldAPrompt) {
  EXPECT_EQ(Read("\n \n").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadPromptsFile(path_ + ".none", 0).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace foretoken
