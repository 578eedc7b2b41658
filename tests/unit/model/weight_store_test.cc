#include "model/weight_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

ModelConfig ConfigFor(const std::string& path) {
  return {.id = path, .path = path};
}

class WeightStoreTest : public testing::Test {
 protected:
  WeightStoreTest() {
    auto make = [] { return Result<std::shared_ptr<LoadedModel>>(NewFakeModel({})); };
    auto loader = std::make_unique<FakeLoader>(
        std::map<std::string, FakeLoader::Factory>{{"a", make}, {"copy of a", make}, {"b", make}});
    loader_ = loader.get();
    store_ = std::make_unique<WeightStore>(
        std::move(loader),
        [](const std::string& path) -> Result<std::string> {
          if (path == "missing") return NotFoundError("missing");
          return path == "copy of a" ? std::string("a") : path;
        },
        [this](const std::string&) {
          ++checks_;
          return check_;
        });
  }

  FakeLoader* loader_ = nullptr;
  std::atomic<int> checks_{0};
  Status check_;
  std::unique_ptr<WeightStore> store_;
};

TEST_F(WeightStoreTest, EqualContentIsLoadedOnceByWhateverPath) {
  auto first = store_->Load(ConfigFor("a"));
  auto second = store_->Load(ConfigFor("copy of a"));
  auto other = store_->Load(ConfigFor("b"));
  ASSERT_TRUE(first.ok() && second.ok() && other.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_NE(*first, *other);
  EXPECT_EQ(loader_->loads(), 2);
  EXPECT_EQ(checks_, 2);
}

TEST_F(WeightStoreTest, UnloadsWithTheLastUser) {
  {
    auto model = store_->Load(ConfigFor("a"));
    ASSERT_TRUE(model.ok());
  }
  ASSERT_TRUE(store_->Load(ConfigFor("a")).ok());
  EXPECT_EQ(loader_->loads(), 2);
}

TEST_F(WeightStoreTest, AFileThatFailsItsCheckNeverReachesTheLoader) {
  check_ = DataLossError("corrupt");
  EXPECT_EQ(store_->Load(ConfigFor("a")).status(), DataLossError("corrupt"));
  EXPECT_EQ(loader_->loads(), 0);
  check_ = OkStatus();
  EXPECT_TRUE(store_->Load(ConfigFor("a")).ok());
}

TEST_F(WeightStoreTest, ErrorsOfIdentifyingAndLoadingComeBack) {
  EXPECT_EQ(store_->Load(ConfigFor("missing")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->Load(ConfigFor("unknown")).status().code(), StatusCode::kNotFound);
}

TEST_F(WeightStoreTest, ThreadsThatAskAtOnceShareOneLoad) {
  std::vector<std::thread> threads;
  std::vector<std::shared_ptr<LoadedModel>> models(8);
  for (size_t i = 0; i < models.size(); ++i) {
    threads.emplace_back([this, &models, i] { models[i] = store_->Load(ConfigFor("a")).value(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& model : models) EXPECT_EQ(model, models[0]);
  EXPECT_EQ(loader_->loads(), 1);
}

}  // namespace
}  // namespace foretoken
