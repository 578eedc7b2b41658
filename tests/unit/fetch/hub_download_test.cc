#include "fetch/hub_download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "unit/fetch/local_http_server.h"
#include "unit/fetch/temporary_directory.h"

namespace foretoken {
namespace {

using testing::HasSubstr;

const std::string kContent = "GGUF and some twenty bytes";
const std::string kSha256(64, 'a');

class HubDownloadTest : public testing::Test {
 protected:
  HubDownloadTest() : server_([this](const HttpCall& call) { return handler_(call); }) {
    options_.url = server_.Url();
    options_.http.attempts = 1;
    observer_.notice = [this](const std::string& line) { notices_.push_back(line); };
  }
  Result<std::string> Fetch(const std::string& sha256, uint64_t expected_bytes) {
    auto part = PartFile::Open(part_, expected_bytes, SystemDisk(), {});
    if (!part.ok()) return part.status();
    return FetchFromHub({"owner/repo", "q4 k/model.gguf"}, sha256, options_, observer_, *part);
  }

  TemporaryDirectory directory_;
  const std::string part_ = directory_.Path("model.gguf.part");
  ScriptedHandler handler_{
      [](const HttpCall& call) { return ServeFile(call, kContent, "\"v1\""); }};
  LocalHttpServer server_;
  HubOptions options_;
  FetchObserver observer_;
  std::vector<std::string> notices_;
};

TEST_F(HubDownloadTest, AsksForTheFileByItsPath) {
  options_.token = "secret";
  ASSERT_TRUE(Fetch(kSha256, kContent.size()).ok());
  EXPECT_EQ(directory_.Read("model.gguf.part"), kContent);
  EXPECT_EQ(server_.calls()[0].path, "/owner/repo/resolve/main/q4%20k/model.gguf");
  EXPECT_EQ(server_.calls()[0].Header("authorization"), "Bearer secret");
  EXPECT_FALSE(directory_.Has("model.gguf.part.etag"));
}

TEST_F(HubDownloadTest, AnotherSizeOrHashIsRefusedBeforeTheContent) {
  directory_.Write("model.gguf.part", kContent.substr(0, 10));
  const Status size = Fetch(kSha256, kContent.size() + 1).status();
  EXPECT_EQ(size.code(), StatusCode::kDataLoss);
  EXPECT_THAT(size.message(), HasSubstr("has 26 bytes, not 27"));

  handler_ = [](const HttpCall& call) {
    HttpReply reply = ServeFile(call, kContent);
    reply.headers.push_back("X-Linked-ETag: \"" + std::string(64, 'b') + "\"");
    return reply;
  };
  const Status hash = Fetch(kSha256, kContent.size()).status();
  EXPECT_EQ(hash.code(), StatusCode::kDataLoss);
  EXPECT_THAT(hash.message(), HasSubstr(std::string(64, 'b')));
  EXPECT_EQ(directory_.Read("model.gguf.part"), kContent.substr(0, 10));
}

TEST_F(HubDownloadTest, TellsTheHashThatTheHubPromises) {
  handler_ = [](const HttpCall& call) {
    HttpReply reply = ServeFile(call, kContent);
    reply.headers.push_back("X-Linked-ETag: \"" + std::string(64, 'b') + "\"");
    return reply;
  };
  EXPECT_EQ(*Fetch("", 0), std::string(64, 'b'));
  handler_ = [](const HttpCall& call) { return ServeFile(call, kContent); };
  EXPECT_EQ(*Fetch("", 0), "");
}

TEST_F(HubDownloadTest, AKnownHashResumesWithoutAValidator) {
  directory_.Write("model.gguf.part", kContent.substr(0, 10));
  ASSERT_TRUE(Fetch(kSha256, kContent.size()).ok());
  EXPECT_EQ(directory_.Read("model.gguf.part"), kContent);
  EXPECT_EQ(server_.calls()[0].Header("range"), "bytes=10-");
  EXPECT_EQ(server_.calls()[0].Header("if-range"), "");
  EXPECT_EQ(notices_, std::vector<std::string>{"resuming after 10 B"});
}

TEST_F(HubDownloadTest, AnUnknownHashResumesOnlyTheSameContent) {
  handler_ = [](const HttpCall& call) {
    HttpReply reply = ServeFile(call, kContent, "\"v1\"");
    reply.send_bytes = 10;
    return reply;
  };
  EXPECT_EQ(Fetch("", 0).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(directory_.Read("model.gguf.part"), kContent.substr(0, 10));

  handler_ = [](const HttpCall& call) { return ServeFile(call, kContent, "\"v1\""); };
  ASSERT_TRUE(Fetch("", 0).ok());
  EXPECT_EQ(server_.calls().back().Header("range"), "bytes=10-");
  EXPECT_EQ(server_.calls().back().Header("if-range"), "\"v1\"");
  EXPECT_EQ(directory_.Read("model.gguf.part"), kContent);

  directory_.Write("model.gguf.part", "GGUF, but of another version");
  handler_ = [](const HttpCall& call) { return ServeFile(call, kContent, "\"v2\""); };
  ASSERT_TRUE(Fetch("", 0).ok());
  EXPECT_EQ(directory_.Read("model.gguf.part"), kContent);

  RemoveHubState(part_);
  directory_.Write("model.gguf.part", "of unknown origin");
  ASSERT_TRUE(Fetch("", 0).ok());
  EXPECT_EQ(server_.calls().back().Header("range"), "");
  EXPECT_EQ(directory_.Read("model.gguf.part"), kContent);
}

TEST_F(HubDownloadTest, TooMuchContentIsRefused) {
  handler_ = [](const HttpCall&) {
    HttpReply reply;
    reply.body = kContent + kContent;
    reply.announce_length = false;
    return reply;
  };
  EXPECT_EQ(Fetch(kSha256, kContent.size()).status().code(), StatusCode::kDataLoss);
}

TEST(HubFileTest, ParsesOwnerRepositoryAndFile) {
  auto file = ParseHubFile("hf:owner/repo/folder/model.gguf");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->repository, "owner/repo");
  EXPECT_EQ(file->file, "folder/model.gguf");
  for (const char* text :
       {"hf:", "hf:owner", "hf:owner/repo", "hf:owner/repo/", "hf:owner/model.gguf",
        "hf:owner/repo/model.bin", "hf:/repo/model.gguf", "hf:owner//model.gguf",
        "hf:owner/repo/../model.gguf", "hf:../../model.gguf", "owner/repo/model.gguf"}) {
    EXPECT_EQ(ParseHubFile(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(HubOptionsTest, TheEnvironmentNamesMirrorAndToken) {
  for (const char* variable :
       {"FORETOKEN_HUB_URL", "HF_ENDPOINT", "HF_TOKEN", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    unsetenv(variable);
  }
  EXPECT_EQ(HubOptionsFromEnvironment().url, "https://huggingface.co");
  EXPECT_EQ(HubOptionsFromEnvironment().token, "");
  setenv("HF_ENDPOINT", "https://mirror.example/", 1);
  setenv("HF_TOKEN", "secret", 1);
  setenv("SSL_CERT_FILE", "/ca.pem", 1);
  EXPECT_EQ(HubOptionsFromEnvironment().url, "https://mirror.example");
  EXPECT_EQ(HubOptionsFromEnvironment().token, "secret");
  EXPECT_EQ(HubOptionsFromEnvironment().http.ca_file, "/ca.pem");
  setenv("FORETOKEN_HUB_URL", "https://nearer.example", 1);
  EXPECT_EQ(HubOptionsFromEnvironment().url, "https://nearer.example");
  for (const char* variable : {"FORETOKEN_HUB_URL", "HF_ENDPOINT", "HF_TOKEN", "SSL_CERT_FILE"}) {
    unsetenv(variable);
  }
}

}  // namespace
}  // namespace foretoken
