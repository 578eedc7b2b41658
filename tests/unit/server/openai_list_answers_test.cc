#include "server/openai_list_answers.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace foretoken {
namespace {

using nlohmann::json;

TEST(OpenAiListAnswersTest, Models) {
  const std::vector<ModelEntry> models = {
      {.id = "a", .created = 5, .owned_by = "foretoken", .context_tokens = 2048},
      {.id = "b", .created = 6, .owned_by = "ann"}};
  const json a = json::parse(
      R"({"id": "a", "object": "model", "created": 5, "owned_by": "foretoken", "max_model_len": 2048})");
  EXPECT_EQ(json::parse(ModelBody(models[0])), a);
  EXPECT_EQ(
      json::parse(ModelListBody(models)),
      (json{{"object", "list"},
            {"data",
             {a, json::parse(
                     R"({"id": "b", "object": "model", "created": 6, "owned_by": "ann"})")}}}));
  EXPECT_EQ(json::parse(ModelListBody({})), json::parse(R"({"object": "list", "data": []})"));
}

TEST(OpenAiListAnswersTest, Embeddings) {
  const std::vector<std::vector<float>> vectors = {{1.0f, -0.5f}, {}};
  EXPECT_EQ(json::parse(EmbeddingListBody("m", vectors, /*base64=*/false, 7)), json::parse(R"(
      {"object": "list", "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}, "data": [
       {"object": "embedding", "index": 0, "embedding": [1.0, -0.5]},
       {"object": "embedding", "index": 1, "embedding": []}]})"));
  const json body = json::parse(EmbeddingListBody("m", vectors, /*base64=*/true, 7));
  // 00 00 80 3f, 00 00 00 bf: 1 and -0.5, little-endian.
  EXPECT_EQ(body["data"][0]["embedding"], "AACAPwAAAL8=");
}

TEST(OpenAiListAnswersTest, Tokens) {
  TokenizeAnswer answer = {.tokens = {1, 2}, .context_tokens = 2048};
  EXPECT_EQ(
      json::parse(TokenizeBody(answer)),
      json::parse(R"({"count": 2, "max_model_len": 2048, "tokens": [1, 2], "token_strs": null})"));
  answer.pieces = {"a", "\xC3"};
  EXPECT_EQ(json::parse(TokenizeBody(answer))["token_strs"], json::parse(R"(["a", "\ufffd"])"));
  EXPECT_EQ(json::parse(DetokenizeBody("a\"")), json::parse(R"({"prompt": "a\""})"));
}

}  // namespace
}  // namespace foretoken
