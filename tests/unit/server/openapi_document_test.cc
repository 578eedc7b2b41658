#include "server/openapi_document.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

#include "server/openai_chat_answer.h"
#include "server/openai_completion_answer.h"
#include "server/openai_list_answers.h"
#include "server/openai_request.h"
#include "server/openai_responses_answer.h"
#include "server/openai_responses_request.h"
#include "unit/server/json_schema.h"
#include "unit/server/openai_answer_fixture.h"

namespace foretoken {
namespace {

using nlohmann::json;

const json& Document() {
  static const json document = json::parse(OpenApiDocument());
  return document;
}

// What a parser says of a body.
struct Outcome {
  std::optional<WireError> error;
  std::vector<std::string> ignored;
};

template <typename Request>
Outcome OutcomeOf(WireResult<Request> parsed) {
  if (!parsed.ok()) return {parsed.error(), {}};
  if constexpr (requires { parsed->common; }) {
    return {std::nullopt, parsed->common.ignored_fields};
  } else {
    return {std::nullopt, parsed->ignored_fields};
  }
}

struct Endpoint {
  std::string schema;
  json body;  // right, with no more than it must have
  Outcome (*parse)(const std::string& body);
};

std::vector<Endpoint> Endpoints() {
  const json messages = json::parse(R"([{"role": "user", "content": "x"}])");
  return {
      {"ChatCompletionRequest",
       {{"model", "m"}, {"messages", messages}},
       [](const std::string& body) { return OutcomeOf(ParseChatCompletionRequest(body)); }},
      {"CompletionRequest",
       {{"model", "m"}, {"prompt", "x"}},
       [](const std::string& body) { return OutcomeOf(ParseCompletionRequest(body)); }},
      {"ResponsesRequest",
       {{"model", "m"}, {"input", "x"}},
       [](const std::string& body) { return OutcomeOf(ParseResponsesRequest(body)); }},
      {"EmbeddingsRequest",
       {{"model", "m"}, {"input", "x"}},
       [](const std::string& body) { return OutcomeOf(ParseEmbeddingsRequest(body)); }},
      {"TokenizeRequest",
       {{"model", "m"}, {"prompt", "x"}},
       [](const std::string& body) { return OutcomeOf(ParseTokenizeRequest(body)); }},
      {"DetokenizeRequest",
       {{"model", "m"}, {"tokens", json::array()}},
       [](const std::string& body) { return OutcomeOf(ParseDetokenizeRequest(body)); }},
  };
}

const json& Schema(const std::string& name) {
  return Document()["components"]["schemas"].at(name);
}

// Calls check(path of the reference) for each "$ref" in the document.
template <typename Check>
void ForEachReference(const json& value, Check check) {
  if (value.is_object() && value.contains("$ref")) check(value["$ref"].get<std::string>());
  if (!value.is_structured()) return;
  for (const json& element : value) ForEachReference(element, check);
}

TEST(OpenApiDocumentTest, EveryReferenceLeadsSomewhere) {
  EXPECT_EQ(Document()["openapi"], "3.1.0");
  ForEachReference(Document(), [](const std::string& reference) {
    ASSERT_TRUE(reference.starts_with("#/"));
    EXPECT_TRUE(Document().contains(json::json_pointer(reference.substr(1)))) << reference;
  });
}

TEST(OpenApiDocumentTest, WhatIsRequiredIsWhatTheParsersWant) {
  for (const Endpoint& endpoint : Endpoints()) {
    EXPECT_FALSE(endpoint.parse(endpoint.body.dump()).error) << endpoint.schema;
    for (const json& name : Schema(endpoint.schema).value("required", json::array())) {
      json body = endpoint.body;
      ASSERT_EQ(body.erase(name.get<std::string>()), 1u) << endpoint.schema << " " << name;
      const Outcome outcome = endpoint.parse(body.dump());
      ASSERT_TRUE(outcome.error) << endpoint.schema << " " << name;
      EXPECT_EQ(outcome.error->param, name);
    }
  }
}

TEST(OpenApiDocumentTest, EveryFieldIsReadAndItsTypeChecked) {
  for (const Endpoint& endpoint : Endpoints()) {
    for (const auto& [name, schema] : Schema(endpoint.schema)["properties"].items()) {
      json body = endpoint.body;
      if (endpoint.schema == "TokenizeRequest" && name == "messages") body.erase("prompt");
      // Right for nothing.
      body[name] = json::parse("[[{}]]");
      const Outcome outcome = endpoint.parse(body.dump());
      ASSERT_TRUE(outcome.error) << endpoint.schema << " " << name;
      EXPECT_EQ(outcome.error->param.substr(0, name.size()), name) << endpoint.schema;
    }
  }
}

TEST(OpenApiDocumentTest, NullIsAllowedWhereTheParsersAllowIt) {
  for (const Endpoint& endpoint : Endpoints()) {
    for (const auto& [name, schema] : Schema(endpoint.schema)["properties"].items()) {
      if (endpoint.schema == "TokenizeRequest" && name == "prompt") continue;  // one must be there
      json body = endpoint.body;
      body[name] = nullptr;
      const bool documented = schema.dump().find("\"null\"") != std::string::npos;
      EXPECT_EQ(!endpoint.parse(body.dump()).error, documented) << endpoint.schema << " " << name;
    }
  }
}

TEST(OpenApiDocumentTest, TheBoundsOfNumbersAreTheParsers) {
  int checked = 0;
  for (const Endpoint& endpoint : Endpoints()) {
    for (const auto& [name, schema] : Schema(endpoint.schema)["properties"].items()) {
      if (!schema.contains("minimum")) continue;
      const bool integer = schema["type"].dump().find("integer") != std::string::npos;
      const auto allowed = [&, field = name](const json& value) {
        json body = endpoint.body;
        body[field] = value;
        if (field == "top_logprobs") body["logprobs"] = true;
        return !endpoint.parse(body.dump()).error;
      };
      ++checked;
      EXPECT_TRUE(allowed(schema["minimum"])) << endpoint.schema << " " << name;
      EXPECT_TRUE(allowed(schema["maximum"])) << endpoint.schema << " " << name;
      if (name == "seed") continue;  // past its ends are no 64-bit integers
      if (integer) {
        EXPECT_FALSE(allowed(schema["minimum"].get<int64_t>() - 1)) << endpoint.schema << name;
        EXPECT_FALSE(allowed(schema["maximum"].get<int64_t>() + 1)) << endpoint.schema << name;
        EXPECT_FALSE(allowed(schema["minimum"].get<double>() + 0.5)) << endpoint.schema << name;
      } else {
        EXPECT_FALSE(allowed(schema["minimum"].get<double>() - 0.001)) << endpoint.schema << name;
        EXPECT_FALSE(allowed(schema["maximum"].get<double>() + 0.001)) << endpoint.schema << name;
      }
    }
  }
  EXPECT_GE(checked, 30);
}

TEST(OpenApiDocumentTest, TheValuesOfNamesAreTheParsers) {
  const json& speculation = Schema("Speculation")["properties"];
  for (const char* field : {"mode", "rule"}) {
    for (const json& value : speculation[field]["enum"]) {
      json body = Endpoints()[0].body;
      body["speculation"][field] = value;
      EXPECT_FALSE(Endpoints()[0].parse(body.dump()).error) << body;
    }
  }
}

TEST(OpenApiDocumentTest, EveryAnswerButTheRightOneIsAnError) {
  for (const auto& [path, operations] : Document()["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      EXPECT_TRUE(operation["responses"].contains("400")) << path;
      EXPECT_TRUE(operation["responses"].contains("401")) << path;
      for (const auto& [status, response] : operation["responses"].items()) {
        EXPECT_EQ(response.contains("$ref"), status != "200") << path << " " << status;
      }
    }
  }
}

// What is wrong with an answer by the schema of its kind; empty: nothing.
std::string Problem(const std::string& answer, const std::string& schema) {
  return JsonSchema(Document()).Problem(json::parse(answer), Schema(schema));
}

TEST(OpenApiDocumentTest, AnswersAreAsDescribed) {
  AnswerTotals totals = TestTotals();
  totals.warnings = {"w"};
  const std::vector<ChatChoice> chats = {
      {.content = "x", .finish = FinishReason::kLength, .tokens = TestTokens()},
      {.tool_calls = {{"call_1", "f", "{}"}}}};
  EXPECT_EQ(Problem(ChatCompletionBody(TestHead(), chats, totals), "ChatCompletion"), "");
  EXPECT_EQ(
      Problem(ChatCompletionBody(TestHead(), chats, totals, TestTokenBytes), "ChatCompletion"), "");
  EXPECT_EQ(Problem(ChatCompletionBody(TestHead(), {}, totals), "ChatCompletion"),
            "$.choices: too few");
  const std::vector<CompletionChoice> texts = {{.text = "x", .tokens = TestTokens()}};
  EXPECT_EQ(Problem(CompletionBody(TestHead(), texts, totals), "Completion"), "");
  EXPECT_EQ(Problem(CompletionBody(TestHead(), texts, totals, TestTokenBytes), "Completion"), "");
  const std::vector<std::vector<float>> vectors = {{0.5f}, {}};
  for (const bool base64 : {false, true}) {
    EXPECT_EQ(Problem(EmbeddingListBody("m", vectors, base64, 3), "EmbeddingList"), "");
  }
  const ModelEntry model = {.id = "m", .owned_by = "x", .context_tokens = 5};
  EXPECT_EQ(Problem(ModelBody(model), "Model"), "");
  EXPECT_EQ(Problem(ModelListBody({&model, 1}), "ModelList"), "");
  EXPECT_EQ(Problem(TokenizeBody({.tokens = {1}}), "TokenList"), "");
  EXPECT_EQ(Problem(TokenizeBody({.tokens = {1}, .pieces = {{"a"}}}), "TokenList"), "");
  EXPECT_EQ(Problem(DetokenizeBody("x"), "Text"), "");
  EXPECT_EQ(Problem(WireErrorBody(WireErrorOf(InternalError("x"))), "Error"), "");
}

TEST(OpenApiDocumentTest, ResponsesAreAsDescribed) {
  auto request = ParseResponsesRequest(R"({"model": "m", "input": "x", "instructions": "i",
      "metadata": {"k": "v"}, "max_output_tokens": 3, "tool_choice": {"type": "function", "name": "f"},
      "tools": [{"type": "function", "name": "f"}],
      "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}}})");
  ASSERT_TRUE(request.ok());
  for (const FinishReason reason : {FinishReason::kStop, FinishReason::kLength}) {
    ResponsesAnswer answer(TestHead(), *request);
    EXPECT_EQ(Problem(answer.Body(), "Response"), "");
    answer.Add({.content = "a", .tool_calls = {{0, "call_1", "f", "{}"}}});
    EXPECT_EQ(Problem(answer.Body(), "Response"), "");
    answer.Finish(reason, TestTotals());
    EXPECT_EQ(Problem(answer.Body(), "Response"), "");
  }
  ResponsesAnswer answer(TestHead(), *request);
  answer.Fail(WireErrorOf(InternalError("x")));
  EXPECT_EQ(Problem(answer.Body(), "Response"), "");
}

}  // namespace
}  // namespace foretoken
