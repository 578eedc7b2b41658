#include "model/model_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/gguf_reader.h"
#include "testing/gguf_writer.h"

namespace foretoken {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::SmallGguf;

GgufFile Parsed(const GgufWriter& writer) {
  auto file = ParseGguf(writer.Bytes(), "test");
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  return std::move(file).value();
}

TEST(ModelFactsTest, CollectsWhatTheFileSays) {
  GgufWriter writer = SmallGguf();
  writer.SetUint32("general.file_type", 7);
  writer.SetString("tokenizer.chat_template", "{{ messages }}\nmore");
  writer.SetFloat("general.sampling.temp", 0.8f);
  writer.SetUint32("general.sampling.top_k", 40);
  writer.SetUint32("tokenizer.ggml.padding_token_id", 99);
  writer.AddTensor("blk.0.ffn_up.weight", 8, {32, 3}, std::string(3 * 34, '\0'));
  const ModelFacts facts = CollectModelFacts(Parsed(writer));
  EXPECT_EQ(facts.architecture, "llama");
  EXPECT_EQ(facts.name, "Small");
  EXPECT_EQ(facts.parameters, 16u + 96u);
  EXPECT_EQ(facts.file_bytes, writer.Bytes().size());
  EXPECT_EQ(facts.gguf_version, 3u);
  EXPECT_EQ(facts.file_type, "Q8_0");
  EXPECT_EQ(facts.dominant_type, "Q8_0");
  ASSERT_EQ(facts.types.size(), 2u);
  EXPECT_EQ(facts.types[1].type, "F32");
  EXPECT_EQ(facts.types[1].tensors, 1u);
  EXPECT_EQ(facts.types[1].elements, 16u);
  EXPECT_EQ(facts.types[1].bytes, 64u);
  EXPECT_EQ(facts.context_tokens, 64);
  EXPECT_EQ(facts.embedding_length, 4);
  EXPECT_EQ(facts.layers, 1);
  EXPECT_EQ(facts.heads, 2);
  EXPECT_EQ(facts.kv_heads, 1);
  EXPECT_EQ(facts.experts, 0);
  EXPECT_EQ(facts.tokenizer_model, "gpt2");
  EXPECT_EQ(facts.tokenizer_pre, "qwen2");
  EXPECT_EQ(facts.vocabulary_size, 4u);
  ASSERT_EQ(facts.special_tokens.size(), 2u);
  EXPECT_EQ(facts.special_tokens[0].role, "eos");
  EXPECT_EQ(facts.special_tokens[0].id, 2);
  EXPECT_EQ(facts.special_tokens[0].text, "<|im_end|>");
  EXPECT_EQ(facts.special_tokens[1].role, "padding");
  EXPECT_EQ(facts.special_tokens[1].text, "") << "99 is no token of the four";
  EXPECT_EQ(facts.chat_template, "{{ messages }}\nmore");
  EXPECT_EQ(facts.sampling,
            (std::vector<std::pair<std::string, std::string>>{{"temp", "0.8"}, {"top_k", "40"}}));
}

TEST(ModelFactsTest, AnEmptyFileHasNoFacts) {
  const ModelFacts facts = CollectModelFacts(Parsed(GgufWriter()));
  EXPECT_EQ(facts.architecture, "");
  EXPECT_EQ(facts.parameters, 0u);
  EXPECT_EQ(facts.dominant_type, "");
  EXPECT_EQ(facts.vocabulary_size, 0u);
  EXPECT_EQ(facts.chat_template, std::nullopt);
}

TEST(ModelFactsTest, LayersThatDifferCountWithTheirMost) {
  GgufWriter writer = SmallGguf();
  writer.SetInts("llama.attention.head_count", {0, 2, 1});
  writer.Remove("llama.attention.head_count_kv");
  const ModelFacts facts = CollectModelFacts(Parsed(writer));
  EXPECT_EQ(facts.heads, 2);
  EXPECT_EQ(facts.kv_heads, 2) << "as many as heads when the file does not say";
}

GgufWriter WithPadding(GgufWriter writer, int padding) {
  std::vector<std::string> tokens = {"a", "b", "<|im_end|>", "ab"};
  for (int i = 0; i < padding; ++i) tokens.push_back("[PAD" + std::to_string(i) + "]");
  writer.SetStrings("tokenizer.ggml.tokens", tokens);
  return writer;
}

TEST(ModelFactsTest, PairsByVocabularyAndNamesTheSmallerAsDraft) {
  GgufWriter large = SmallGguf();
  large.AddFloatTensor("output.weight", {4, 4}, std::vector<float>(16));
  const GgufFile target = Parsed(large);
  const GgufFile draft = Parsed(WithPadding(SmallGguf(), 256));
  const PairFacts pair = CheckPair(target, draft);
  EXPECT_TRUE(pair.can_pair) << pair.reason;
  EXPECT_EQ(pair.reason, "");
  EXPECT_FALSE(pair.first_is_draft);
  EXPECT_TRUE(CheckPair(draft, target).first_is_draft);
  EXPECT_TRUE(CheckPair(draft, target).can_pair);
}

TEST(ModelFactsTest, ThePairsFirstDifferenceIsNamed) {
  struct Case {
    const char* words;
    void (*change)(GgufWriter&);
  };
  const Case cases[] = {
      {"tokenizer.ggml.model is 'gpt2' in one and 'llama' in the other",
       [](GgufWriter& w) { w.SetString("tokenizer.ggml.model", "llama"); }},
      {"tokenizer.ggml.pre is 'qwen2' in one and '' in the other",
       [](GgufWriter& w) { w.Remove("tokenizer.ggml.pre"); }},
      {"no vocabulary", [](GgufWriter& w) { w.Remove("tokenizer.ggml.tokens"); }},
      {"token 1 is 'b' in one and 'c' in the other",
       [](GgufWriter& w) {
         w.SetStrings("tokenizer.ggml.tokens", {"a", "c", "<|im_end|>", "ab"});
       }},
      {"4 and 261 tokens; at most 256", [](GgufWriter& w) { w = WithPadding(w, 257); }},
      {"the eos token is 2 in one and absent in the other",
       [](GgufWriter& w) { w.Remove("tokenizer.ggml.eos_token_id"); }},
      {"the eot token is absent in one and 3 in the other",
       [](GgufWriter& w) { w.SetUint32("tokenizer.ggml.eot_token_id", 3); }},
      {"the bos token is absent in one and 0 in the other",
       [](GgufWriter& w) { w.SetUint32("tokenizer.ggml.bos_token_id", 0); }},
  };
  const GgufFile first = Parsed(SmallGguf());
  for (const Case& different : cases) {
    GgufWriter writer = SmallGguf();
    different.change(writer);
    const PairFacts pair = CheckPair(first, Parsed(writer));
    EXPECT_FALSE(pair.can_pair);
    EXPECT_THAT(pair.reason, HasSubstr(different.words));
  }
}

}  // namespace
}  // namespace foretoken
