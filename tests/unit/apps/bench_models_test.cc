#include "bench_models.h"

#include <gtest/gtest.h>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

TEST(BenchModelsTest, AModelIsLoadedOnce) {
  auto fake = std::make_unique<FakeLoader>(std::map<std::string, FakeLoader::Factory>{
      {"a", [] { return NewFakeModel({}); }}, {"b", [] { return NewFakeModel({}); }}});
  const FakeLoader& counts = *fake;
  const auto table = std::make_shared<ModelTable>(std::move(fake));
  TableLoader loader(table);
  const auto a = table->Load({.id = "x", .path = "a"});
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(*loader.Load({.id = "y", .path = "a"}), *a) << "by path";
  EXPECT_NE(*loader.Load({.id = "x", .path = "b"}), *a);
  EXPECT_EQ(counts.loads(), 2);
  EXPECT_EQ(loader.Load({.path = "c"}).status().code(), StatusCode::kNotFound);
}

TEST(BenchModelsTest, PromptsAreSentAsTheyAreOrAsAMessage) {
  const auto model = NewFakeModel({});
  const Vocabulary& vocabulary = model->vocabulary();
  EXPECT_EQ(PromptTokens(*model, "hi", true).value(),
            vocabulary.Tokenize("hi", true, false).value());
  EXPECT_EQ(PromptTokens(*model, "hi", false).value(),
            vocabulary.Tokenize("user:hi;", true, true).value());
  FakeModelOptions options;
  options.has_chat_template = false;
  EXPECT_FALSE(PromptTokens(*NewFakeModel(options), "hi", false).ok());
}

}  // namespace
}  // namespace foretoken
