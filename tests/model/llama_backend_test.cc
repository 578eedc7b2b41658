// llama.cpp behind the model seams, on a model of 100 KiB that the test writes itself.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "model/llama_fixture.h"

namespace foretoken {
namespace {

using LlamaBackendTest = LlamaTest;

TEST_F(LlamaBackendTest, DescribesItself) {
  const auto backend = NewBackend();
  const BackendDescription& description = backend->description();
  EXPECT_EQ(description.vocabulary_size, model_->vocabulary().size());
  EXPECT_EQ(description.context_tokens, 32);
  EXPECT_EQ(description.cache_tokens, 32);
  EXPECT_EQ(description.max_batch_rows, 16);
  EXPECT_EQ(description.max_logits_rows, 4);
  EXPECT_EQ(description.max_sequences, 2);
  EXPECT_TRUE(description.can_truncate);
}

TEST_F(LlamaBackendTest, CutSequencesContinueAsIfTheRestHadNeverBeen) {
  const auto backend = NewBackend();
  LastLogits(*backend, {Row(3, 0, false), Row(4, 1)});
  const auto expected = LastLogits(*backend, {Row(5, 2)});
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 2).ok());
  LastLogits(*backend, {Row(9, 2, false), Row(9, 3)});
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 2).ok());
  ExpectSame(LastLogits(*backend, {Row(5, 2)}), expected);
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  ExpectSame(LastLogits(*backend, {Row(3, 0, false), Row(4, 1, false), Row(5, 2)}), expected);
}

TEST_F(LlamaBackendTest, RowsComeInTheirOrderAndSequencesDoNotMeet) {
  const auto backend = NewBackend();
  const auto alone = LastLogits(*backend, {Row(7, 0)});
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  const std::vector<BatchRow> rows = {Row(3, 0), Row(7, 0, true, 1), Row(4, 1, false)};
  const auto logits = backend->Decode(rows);
  ASSERT_TRUE(logits.ok());
  ASSERT_EQ(logits->size(), 2);
  ExpectSame({(*logits)[1].begin(), (*logits)[1].end()}, alone);
}

// llama.cpp asserts on this where it is asked for less output than it has sequences.
TEST_F(LlamaBackendTest, ThereMayBeMoreSequencesThanRowsWithLogits) {
  const auto backend = model_
                           ->NewBackend({.context_tokens = 32,
                                         .max_sequences = 6,
                                         .max_batch_rows = 16,
                                         .max_logits_rows = 2})
                           .value();
  EXPECT_EQ(backend->description().max_logits_rows, 2);
  EXPECT_EQ(LastLogits(*backend, {Row(7, 0, true, 5)}).size(),
            static_cast<size_t>(model_->vocabulary().size()));
}

TEST_F(LlamaBackendTest, ForksShareAPrefix) {
  const auto backend = NewBackend();
  LastLogits(*backend, {Row(3, 0, false), Row(4, 1)});
  const auto expected = LastLogits(*backend, {Row(5, 2)});
  ASSERT_TRUE(backend->Fork(SequenceId{0}, SequenceId{1}, 2).ok());
  ExpectSame(LastLogits(*backend, {Row(5, 2, true, 1)}), expected);
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{1}, 1).code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(backend->Truncate(SequenceId{1}, 0).ok());
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{1}, 4).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{1}, -1).code(), StatusCode::kInvalidArgument);
  // What follows a fork is each one's own.
  ASSERT_TRUE(backend->Fork(SequenceId{0}, SequenceId{1}, 2).ok());
  LastLogits(*backend, {Row(9, 2, true, 1)});
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 2).ok());
  ExpectSame(LastLogits(*backend, {Row(5, 2)}), expected);
}

TEST_F(LlamaBackendTest, WhatBreaksTheContractIsAnErrorAndNotAnAssertion) {
  const auto backend = NewBackend();
  auto code = [&](const std::vector<BatchRow>& rows) {
    return backend->Decode(rows).status().code();
  };
  EXPECT_EQ(code({}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(std::vector<BatchRow>(17, Row(1, 0))), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(-1, 0)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(1 << 20, 0)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(1, 0, true, 2)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(1, 0, true, -1)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(1, 0), Row(1, 1), Row(1, 2), Row(1, 3), Row(1, 4)}),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(1, 5)}), StatusCode::kInvalidArgument);  // a gap
  EXPECT_EQ(code({{.token = 1}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(1, 0)}), StatusCode::kOk);
  EXPECT_EQ(backend->Truncate(SequenceId{7}, 0).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Truncate(SequenceId{0}, -1).code(), StatusCode::kInvalidArgument);
  for (int32_t position = 1; position < 32; ++position) {
    ASSERT_EQ(code({Row(1, position)}), StatusCode::kOk);
  }
  EXPECT_EQ(code({Row(1, 32)}), StatusCode::kInvalidArgument);  // past the context
}

TEST_F(LlamaBackendTest, AnAbortedForwardIsCancelled) {
  std::atomic<bool> abort{false};
  const auto backend =
      NewBackend({.context_tokens = 32, .should_abort = [&abort] { return abort.load(); }});
  const auto expected = LastLogits(*backend, {Row(3, 0)});
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  abort = true;
  EXPECT_EQ(backend->Decode(std::vector<BatchRow>{Row(3, 0)}).status().code(),
            StatusCode::kCancelled);
  abort = false;
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  EXPECT_EQ(LastLogits(*backend, {Row(3, 0)}), expected);
}

TEST_F(LlamaBackendTest, ContextsThatCannotBeAreRefused) {
  EXPECT_EQ(model_->NewBackend({.context_tokens = 1 << 30}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(model_->NewBackend({.context_tokens = 64, .kv_cache_tokens = 32}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(model_->NewBackend({.context_tokens = 32, .max_sequences = 0}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(model_->NewBackend({.context_tokens = 32, .max_sequences = 100000}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(LlamaBackendTest, FilesThatAreNotModelsAreErrors) {
  EXPECT_FALSE(loader_->Load({.path = directory_.path() + "/missing.gguf"}).ok());
  const std::string garbage = Write("garbage.gguf", "this is not a model");
  EXPECT_EQ(loader_->Load({.path = garbage}).status().code(), StatusCode::kDataLoss);
  const std::string bytes = testing::TinyLlamaGguf(1).Bytes();
  const std::string cut = Write("cut.gguf", bytes.substr(0, bytes.size() - 100));
  const Status status = loader_->Load({.path = cut}).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find(cut), std::string::npos);
}

TEST_F(LlamaBackendTest, AModelWithoutAChatTemplateSaysSo) {
  const ChatPrompt chat = {.messages = {{"user", "hi"}}};
  EXPECT_EQ(model_->RenderChat(chat, nullptr).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(model_->NewReplyParser(chat).status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(LlamaBackendTest, ATemplateIsRenderedAndABadOneRefused) {
  auto load = [&](const std::string& source) {
    testing::GgufWriter writer = testing::TinyLlamaGguf(1);
    writer.SetString("tokenizer.chat_template", source);
    return loader_->Load({.path = Write("template.gguf", writer.Bytes())}).value();
  };
  const ChatPrompt chat = {.messages = {{"system", "be brief"}, {"user", "hi"}}};
  const auto good = load(
      "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}");
  EXPECT_EQ(*good->RenderChat(chat, nullptr), "[system]be brief[user]hi[assistant]");
  EXPECT_EQ(good->RenderChat({}, nullptr).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(load("{% for m in %}")->RenderChat(chat, nullptr).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(
      load("{{ raise_exception('no system role') }}")->RenderChat(chat, nullptr).status().code(),
      StatusCode::kFailedPrecondition);
}

TEST_F(LlamaBackendTest, RecommendedSamplingComesFromTheFile) {
  testing::GgufWriter writer = testing::TinyLlamaGguf(1);
  writer.SetFloat("general.sampling.temp", 0.7f);
  writer.SetUint32("general.sampling.top_k", 20);
  const std::string path = Write("hints.gguf", writer.Bytes());
  const SamplingOptions hints =
      loader_->Load({.path = path}).value()->RecommendedSampling(SamplingOptions());
  EXPECT_FLOAT_EQ(hints.temperature, 0.7f);
  EXPECT_EQ(hints.top_k, 20);
  EXPECT_FLOAT_EQ(hints.top_p, 1.0f);
  EXPECT_FLOAT_EQ(model_->RecommendedSampling(SamplingOptions()).temperature, 1.0f);
}

TEST_F(LlamaBackendTest, TextBecomesTokensAndTokensText) {
  const Vocabulary& vocabulary = model_->vocabulary();
  const auto tokens = vocabulary.Tokenize("abc \xF0\x9F\x98\x80", false, false);
  ASSERT_TRUE(tokens.ok()) << tokens.status().ToString();
  std::string text;
  for (const TokenId token : *tokens) text += vocabulary.Piece(token);
  EXPECT_NE(text.find("abc \xF0\x9F\x98\x80"), std::string::npos);
  EXPECT_TRUE(vocabulary.Tokenize("\xFF\xFE broken", false, false).ok());
  EXPECT_EQ(vocabulary.Piece(-1), "");
  EXPECT_EQ(vocabulary.Piece(1 << 20), "");
  EXPECT_FALSE(vocabulary.IsEndOfGeneration(-1));
}

}  // namespace
}  // namespace foretoken
