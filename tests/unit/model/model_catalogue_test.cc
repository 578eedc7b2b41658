#include "model/model_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace foretoken {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kSha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

// A catalogue of one entry, with `from` replaced by `to`.
std::string Document(const std::string& from = "", const std::string& to = "") {
  std::string text = R"({"models": [{
    "name": "tiny", "description": "A model", "bytes": 3, "sha256": ")" +
                     std::string(kSha256) + R"(", "licence": "Apache-2.0", "sources": [
      {"kind": "hub", "repository": "owner/repo", "file": "tiny.gguf", "verified": false},
      {"kind": "python-packages", "verified": true, "packages": [
        {"name": "part-1", "version": "1.0", "member": "a", "bytes": 1},
        {"name": "part-2", "version": "1.0", "member": "b", "bytes": 2}]}]}]})";
  if (!from.empty()) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  }
  return text;
}

TEST(ModelCatalogueTest, ReadsAnEntry) {
  auto catalogue = ModelCatalogue::Parse(Document(), "test");
  ASSERT_TRUE(catalogue.ok()) << catalogue.status().ToString();
  const CatalogueEntry* entry = catalogue->Find("tiny");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->bytes, 3u);
  EXPECT_EQ(entry->sha256, kSha256);
  EXPECT_EQ(entry->draft, "");
  ASSERT_EQ(entry->sources.size(), 2u);
  EXPECT_EQ(entry->sources[0].kind, SourceKind::kHub);
  EXPECT_EQ(entry->sources[0].repository, "owner/repo");
  EXPECT_FALSE(entry->sources[0].verified);
  EXPECT_EQ(entry->sources[1].kind, SourceKind::kPythonPackages);
  EXPECT_EQ(entry->sources[1].packages[1].name, "part-2");
  EXPECT_EQ(entry->sources[1].packages[1].bytes, 2u);
  EXPECT_TRUE(entry->sources[1].verified);
  EXPECT_EQ(catalogue->Find("tin"), nullptr);
}

TEST(ModelCatalogueTest, UnknownFieldsAreForNewerPrograms) {
  EXPECT_TRUE(
      ModelCatalogue::Parse(Document("\"bytes\": 3", "\"bytes\": 3, \"new\": 1"), "t").ok());
}

TEST(ModelCatalogueTest, EveryMistakeIsNamed) {
  struct Case {
    const char* from;
    const char* to;
    const char* message;
  };
  const Case cases[] = {
      {"{\"models\"", "\"models\"", "is not JSON"},
      {"\"models\"", "\"modles\"", "has no 'models'"},
      {"\"tiny\"", "\"../tiny\"", "'name' that cannot be a model's"},
      {"\"tiny\"", "7", "'name' that is not a text"},
      {"\"bytes\": 3", "\"bytes\": -3", "'bytes' that is not a number above 0"},
      {"\"bytes\": 3", "\"bytes\": 4", "packages of 3 bytes in all, not 4"},
      {"ba7816", "BA7816", "'sha256' that is not 64"},
      {"\"licence\"", "\"license\"", "has no 'licence'"},
      {"\"hub\"", "\"pigeon\"", "unknown kind 'pigeon'"},
      {"\"repository\"", "\"repo\"", "source 1 has no 'repository'"},
      {"\"verified\": false", "\"verified\": 0", "'verified' that is not true or false"},
      {"\"part-1\"", "\"--index-url\"", "package 1 has a 'name' that no package can have"},
      {"\"part-1\"", "\"part 1\"", "package 1 has a 'name' that no package can have"},
      {"\"1.0\"", "\"1.0 @ file\"", "package 1 has a 'version' that no package can have"},
      {"\"member\"", "\"file\"", "package 1 has no 'member'"},
      {"\"licence\"", "\"draft\": \"none\", \"licence\"", "names the draft 'none'"},
  };
  for (const Case& c : cases) {
    const Status status = ModelCatalogue::Parse(Document(c.from, c.to), "of a test").status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.to;
    EXPECT_THAT(status.message(), HasSubstr(c.message));
    EXPECT_THAT(status.message(), HasSubstr("of a test"));
  }
  std::string text = Document();
  const std::string entry = text.substr(12, text.size() - 14);  // without {"models": [ and ]}
  text.insert(text.size() - 2, "," + entry);
  const Status twice = ModelCatalogue::Parse(text, "of a test").status();
  EXPECT_THAT(twice.message(), HasSubstr("'tiny' again"));
}

// The same and one that is made of it, with `from` replaced by `to`.
std::string DerivedDocument(const std::string& from = "", const std::string& to = "") {
  std::string text = Document();
  text.insert(text.size() - 2, R"(, {
    "name": "tinier", "description": "Less of it", "bytes": 2, "licence": "MIT",
    "derived": {"from": "tiny", "type": "q4_0", "pure": true}})");
  if (!from.empty()) text.replace(text.rfind(from), from.size(), to);
  return text;
}

TEST(ModelCatalogueTest, ReadsADerivedEntry) {
  auto catalogue = ModelCatalogue::Parse(DerivedDocument(), "test");
  ASSERT_TRUE(catalogue.ok()) << catalogue.status().ToString();
  EXPECT_FALSE(catalogue->Find("tiny")->derived);
  const CatalogueEntry* entry = catalogue->Find("tinier");
  ASSERT_TRUE(entry != nullptr && entry->derived);
  EXPECT_EQ(entry->derived->from, "tiny");
  EXPECT_EQ(entry->derived->type.name, "Q4_0");
  EXPECT_TRUE(entry->derived->pure);
  EXPECT_EQ(entry->sha256, "");
  EXPECT_TRUE(entry->sources.empty());
  EXPECT_EQ(DescribeDerivation(*entry->derived, kSha256),
            "derived: Q4_0 pure of tiny (SHA-256 " + std::string(kSha256) + ")");
  catalogue = ModelCatalogue::Parse(DerivedDocument("true", "false"), "test");
  EXPECT_EQ(DescribeDerivation(*catalogue->Find("tinier")->derived, "x"),
            "derived: Q4_0 of tiny (SHA-256 x)");
}

TEST(ModelCatalogueTest, MistakesInADerivationAreNamed) {
  const char* const cases[][3] = {
      {"{\"from\"", "[\"from\"", "is not JSON"},
      {"\"from\"", "\"of\"", "derived of has no 'from'"},
      {"\"q4_0\"", "\"q4\"", "has the unknown type 'q4'"},
      {"true", "1", "'pure' that is not true or false"},
      {"\"tiny\"", "\"small\"", "'tinier' is derived of 'small', which is not there"},
      {"\"tiny\"", "\"tinier\"", "'tinier' is derived of 'tinier', which is not there"},
      {"{\"from\": \"tiny\", \"type\": \"q4_0\", \"pure\": true}", "7", "is not an object"},
  };
  for (const auto& [from, to, message] : cases) {
    const Status status = ModelCatalogue::Parse(DerivedDocument(from, to), "of a test").status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << to;
    EXPECT_THAT(status.message(), HasSubstr(message));
  }
}

TEST(ModelCatalogueTest, TheProgramsOwnIsWhole) {
  unsetenv("FORETOKEN_CATALOGUE");
  auto catalogue = ModelCatalogue::Load();
  ASSERT_TRUE(catalogue.ok()) << catalogue.status().ToString();
  EXPECT_THAT(catalogue->Names(), ElementsAre("smollm2-135m", "qwen2.5-coder-1.5b",
                                              "qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-q4_0"));
  EXPECT_EQ(catalogue->Find("qwen2.5-coder-1.5b")->draft, "qwen2.5-coder-0.5b-q4_0");
  for (const CatalogueEntry& entry : catalogue->entries()) {
    if (entry.derived) continue;
    ASSERT_EQ(entry.sources.size(), 2u) << entry.name;
    EXPECT_EQ(entry.sources[0].kind, SourceKind::kHub) << "the hub comes first";
    EXPECT_TRUE(entry.sources[1].verified) << entry.name;
    // Parts are joined as they are listed: by number, 10 after 9.
    const auto& packages = entry.sources[1].packages;
    for (size_t i = 0; packages.size() > 1 && i < packages.size(); ++i) {
      EXPECT_TRUE(packages[i].name.ends_with("-part" + std::to_string(i + 1))) << packages[i].name;
    }
  }
}

TEST(ModelCatalogueTest, TheEnvironmentNamesAnother) {
  const std::string path = testing::TempDir() + "/model_catalogue_test.json";
  std::ofstream(path) << Document();
  setenv("FORETOKEN_CATALOGUE", path.c_str(), 1);
  auto catalogue = ModelCatalogue::Load();
  ASSERT_TRUE(catalogue.ok()) << catalogue.status().ToString();
  EXPECT_THAT(catalogue->Names(), ElementsAre("tiny"));
  std::remove(path.c_str());
  const Status status = ModelCatalogue::Load().status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr(path));
  unsetenv("FORETOKEN_CATALOGUE");
}

TEST(ModelNameTest, OnlyWhatCanBeAFileNamePasses) {
  for (const char* name : {"a", "qwen2.5-coder-1.5b", "SmolLM2-135M-Instruct.Q4_1"}) {
    EXPECT_TRUE(IsModelName(name)) << name;
  }
  EXPECT_TRUE(IsModelName(std::string(128, 'a')));
  EXPECT_FALSE(IsModelName(std::string(129, 'a')));
  for (const char* name : {"", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "a.gguf", "\xc3\xa4"}) {
    EXPECT_FALSE(IsModelName(name)) << name;
  }
}

TEST(NearestNamesTest, OrdersByEditDistance) {
  const std::vector<std::string> names = {"smollm2-135m", "qwen2.5-coder-1.5b",
                                          "qwen2.5-coder-0.5b"};
  EXPECT_THAT(NearestNames("smolm2-135m", names), ElementsAre("smollm2-135m"));
  EXPECT_THAT(NearestNames("SmolLM2", names), ElementsAre("smollm2-135m"));
  EXPECT_THAT(NearestNames("qwen2.5-coder-1.5", names),
              ElementsAre("qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"));
  EXPECT_THAT(NearestNames("qwen", names, 1), ElementsAre("qwen2.5-coder-0.5b"));
  EXPECT_THAT(NearestNames("llama-3", names), IsEmpty());
  EXPECT_THAT(NearestNames("", names), IsEmpty());
}

}  // namespace
}  // namespace foretoken
