#include "model/model_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "base/log.h"

namespace foretoken {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

// Of "abc" and "abd".
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kAbd[] = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9";

class ModelStoreTest : public testing::Test {
 protected:
  ModelStoreTest() {
    std::string pattern = (fs::temp_directory_path() / "foretoken_XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    SetLogSink([this](LogLevel level, std::string_view message) {
      if (level >= LogLevel::kWarning) warnings_.emplace_back(message);
    });
  }
  ~ModelStoreTest() override {
    SetLogSink({});
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  ModelStore Store() const { return ModelStore(directory_ + "/models"); }
  std::string Write(const std::string& file, const std::string& text) const {
    fs::create_directories(directory_ + "/models");
    const std::string path = directory_ + "/" + file;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  // Changes content and keeps size and time, as a failing disk does.
  static void Rot(const std::string& path, const std::string& text) {
    const auto time = fs::last_write_time(path);
    std::ofstream(path, std::ios::binary) << text;
    fs::last_write_time(path, time);
  }
  static ModelCatalogue Catalogue() {
    unsetenv("FORETOKEN_CATALOGUE");
    return std::move(ModelCatalogue::Load()).value();
  }

  std::string directory_;
  std::vector<std::string> warnings_;
};

TEST_F(ModelStoreTest, ADirectoryThatIsNotThereIsEmpty) {
  auto models = Store().List();
  ASSERT_TRUE(models.ok()) << models.status().ToString();
  EXPECT_THAT(*models, IsEmpty());
}

TEST_F(ModelStoreTest, AFilePutThereByHandIsHashedOnce) {
  Write("models/b.gguf", "abc");
  Write("models/a.gguf", "abd");
  Write("models/a.gguf.part", "half");
  Write("models/notes.txt", "no model");
  Write("models/no name.gguf", "abc");
  auto models = Store().List();
  ASSERT_TRUE(models.ok());
  ASSERT_EQ(models->size(), 2u);
  EXPECT_EQ((*models)[0].name, "a");
  EXPECT_EQ((*models)[0].sha256, kAbd);
  EXPECT_EQ((*models)[1].name, "b");
  EXPECT_EQ((*models)[1].path, directory_ + "/models/b.gguf");
  EXPECT_EQ((*models)[1].bytes, 3u);
  EXPECT_EQ((*models)[1].sha256, kAbc);

  uint64_t hashed_bytes = 0;
  auto again = Store().Find("b", [&](uint64_t bytes) { hashed_bytes = bytes; });
  EXPECT_EQ(again->sha256, kAbc);
  EXPECT_EQ(hashed_bytes, 0u);
}

TEST_F(ModelStoreTest, AChangedFileIsHashedAgain) {
  Write("models/a.gguf", "abc");
  ASSERT_EQ(Store().Record({"a", "", 3, kAbc, "hub (owner/repo)"}), OkStatus());
  EXPECT_EQ(Store().Find("a")->source, "hub (owner/repo)");
  Write("models/a.gguf", "abd");
  fs::last_write_time(directory_ + "/models/a.gguf",
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_EQ(Store().Find("a")->sha256, kAbd);
  EXPECT_EQ(Store().Find("a")->source, "");
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_THAT(warnings_[0], HasSubstr("is not the file that was pulled"));
}

TEST_F(ModelStoreTest, ADamagedRecordIsMadeAnew) {
  Write("models/a.gguf", "abc");
  for (const char* text :
       {"", "{", "[]", "{\"bytes\": 3}",
        "{\"bytes\": 3, \"modified_ns\": 1, \"sha256\": \"x\", \"source\": \"\"}",
        "{\"bytes\": \"3\", \"modified_ns\": 1, \"sha256\": 1, \"source\": 2}"}) {
    Write("models/a.json", text);
    EXPECT_EQ(Store().Find("a")->sha256, kAbc) << text;
  }
}

TEST_F(ModelStoreTest, VerifyFindsRot) {
  const std::string path = Write("models/a.gguf", "abc");
  ASSERT_TRUE(Store().Find("a").ok());
  EXPECT_EQ(Store().Verify("a"), OkStatus());
  Rot(path, "abd");
  const Status status = Store().Verify("a");
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(kAbd));
  EXPECT_THAT(status.message(), HasSubstr(path));
}

TEST_F(ModelStoreTest, ALinkedModelIsReadThroughItsLink) {
  const std::string path = Write("elsewhere.gguf", "abc");
  ASSERT_EQ(Store().Link({"linked", "", 3, kAbc, "path: " + path}, path), OkStatus());
  EXPECT_EQ(Store().Find("linked")->bytes, 3u);
  EXPECT_EQ(*Store().Resolve("linked", nullptr), directory_ + "/models/linked.gguf");

  fs::remove(path);
  EXPECT_THAT(*Store().List(), IsEmpty());
  ASSERT_EQ(warnings_.size(), 1u);
  const Status status = Store().Resolve("linked", nullptr).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("the model 'linked' is the file " + path));
}

TEST_F(ModelStoreTest, ResolvesNamesAndPaths) {
  const std::string pulled = Write("models/a.gguf", "abc");
  const std::string path = Write("file.gguf", "abc");
  const std::string bare = Write("file", "abc");
  EXPECT_EQ(*Store().Resolve("a", nullptr), pulled);
  EXPECT_EQ(*Store().Resolve(path, nullptr), path);
  EXPECT_EQ(*Store().Resolve(bare, nullptr), bare);
  EXPECT_EQ(Store().Resolve("", nullptr).status().code(), StatusCode::kInvalidArgument);
  const Status missing = Store().Resolve(directory_ + "/none.gguf", nullptr).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_THAT(missing.message(), HasSubstr(directory_ + "/none.gguf"));
  EXPECT_EQ(Store().Resolve(directory_, nullptr).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Store().Resolve("../models/a", nullptr).status().code(), StatusCode::kNotFound);
}

TEST_F(ModelStoreTest, AnUnknownNameBringsTheNextCommand) {
  const ModelCatalogue catalogue = Catalogue();
  const Status known = Store().Resolve("smollm2-135m", &catalogue).status();
  EXPECT_EQ(known.code(), StatusCode::kNotFound);
  EXPECT_THAT(known.message(), HasSubstr("run `foretoken pull smollm2-135m`"));

  const Status near = Store().Resolve("smollm-135", &catalogue).status();
  EXPECT_THAT(near.message(), HasSubstr("the nearest names are smollm2-135m"));
  EXPECT_THAT(near.message(), HasSubstr("`foretoken pull smollm2-135m`"));

  Write("models/smollm2-135m.gguf", "abc");
  const Status pulled = Store().Resolve("smollm-135", &catalogue).status();
  EXPECT_THAT(pulled.message(), HasSubstr("the nearest names are smollm2-135m"));
  EXPECT_THAT(pulled.message(), Not(HasSubstr("pull")));

  EXPECT_THAT(Store().Resolve("zzzzzz", &catalogue).status().message(),
              HasSubstr("`foretoken models`"));
}

TEST_F(ModelStoreTest, AModelIsAnEntryByItsHashOrByWhatItWasMadeOf) {
  const ModelCatalogue catalogue = Catalogue();
  const CatalogueEntry& fetched = *catalogue.Find("qwen2.5-coder-0.5b");
  EXPECT_TRUE(IsEntry({.sha256 = fetched.sha256}, fetched, catalogue));
  EXPECT_FALSE(IsEntry({.sha256 = kAbc}, fetched, catalogue));
  const CatalogueEntry& derived = *catalogue.Find("qwen2.5-coder-0.5b-q4_0");
  const std::string source = DescribeDerivation(*derived.derived, fetched.sha256);
  EXPECT_TRUE(IsEntry({.sha256 = kAbc, .source = source}, derived, catalogue));
  EXPECT_FALSE(IsEntry({.sha256 = kAbc, .source = ""}, derived, catalogue));
  EXPECT_FALSE(IsEntry({.source = DescribeDerivation(*derived.derived, kAbd)}, derived, catalogue))
      << "of another version of the source";
}

TEST_F(ModelStoreTest, TheDirectoryComesFromTheEnvironment) {
  const char* home = getenv("HOME");
  const std::string former = home == nullptr ? "" : home;
  unsetenv("FORETOKEN_MODELS_DIR");
  unsetenv("XDG_DATA_HOME");
  setenv("HOME", "/me", 1);
  EXPECT_EQ(*ModelStore::DefaultDirectory(), "/me/.local/share/foretoken/models");
  setenv("XDG_DATA_HOME", "/data", 1);
  EXPECT_EQ(*ModelStore::DefaultDirectory(), "/data/foretoken/models");
  setenv("FORETOKEN_MODELS_DIR", "/models", 1);
  EXPECT_EQ(*ModelStore::DefaultDirectory(), "/models");
  unsetenv("FORETOKEN_MODELS_DIR");
  unsetenv("XDG_DATA_HOME");
  unsetenv("HOME");
  EXPECT_EQ(ModelStore::DefaultDirectory().status().code(), StatusCode::kFailedPrecondition);
  if (home != nullptr) setenv("HOME", former.c_str(), 1);
}

}  // namespace
}  // namespace foretoken
