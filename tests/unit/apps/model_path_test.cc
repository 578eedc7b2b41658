#include "model_path.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace foretoken {
namespace {

class ModelPathTest : public testing::Test {
 protected:
  ModelPathTest() : directory_(testing::TempDir() + "/foretoken_model_path_test") {
    std::filesystem::create_directories(directory_);
    std::ofstream(directory_ + "/known.gguf") << "GGUF";
    setenv("FORETOKEN_MODELS_DIR", directory_.c_str(), 1);
  }
  ~ModelPathTest() override {
    unsetenv("FORETOKEN_MODELS_DIR");
    std::filesystem::remove_all(directory_);
  }
  const std::string directory_;
};

TEST_F(ModelPathTest, TakesPathsAndNames) {
  EXPECT_EQ(*ResolveModel(directory_ + "/known.gguf"), directory_ + "/known.gguf");
  EXPECT_EQ(*ResolveModel("known"), directory_ + "/known.gguf");
}

TEST_F(ModelPathTest, SaysWhatIsMissing) {
  const Status name = ResolveModel("unknown").status();
  EXPECT_EQ(name.code(), StatusCode::kNotFound);
  EXPECT_NE(name.message().find("unknown"), std::string::npos);
  EXPECT_NE(name.message().find("pull"), std::string::npos);
  const Status path = ResolveModel("./nowhere/x.gguf").status();
  EXPECT_EQ(path.code(), StatusCode::kNotFound);
  EXPECT_NE(path.message().find("./nowhere/x.gguf"), std::string::npos);
  EXPECT_FALSE(ResolveModel(directory_).ok());
  EXPECT_FALSE(ResolveModel("").ok());
  EXPECT_FALSE(ResolveModel("../foretoken_model_path_test/known").ok());
}

}  // namespace
}  // namespace foretoken
