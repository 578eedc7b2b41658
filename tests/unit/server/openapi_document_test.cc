#include "server/openapi_document.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

#include "server/openai_request.h"
#include "server/openai_responses_request.h"

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
    for (const json& name : Schema(endpoint.schema)["required"]) {
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
      if (endpoint.schema == "TokenizeRequest" && (name == "messages" || name == "tools")) {
        body = Endpoints()[0].body;
      }
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
      if (endpoint.schema == "TokenizeRequest" && (name == "prompt" || name == "messages"))
        continue;
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
        if (field == "best_of") body["n"] = value;
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

}  // namespace
}  // namespace foretoken
