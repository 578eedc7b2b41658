#include "fetch/http_download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include "unit/fetch/local_http_server.h"

namespace foretoken {
namespace {

using testing::HasSubstr;

// Keeps everything in memory.
class TextSink : public HttpSink {
 public:
  uint64_t offset() const override { return text.size(); }
  std::string etag() const override { return validator; }
  Status Begin(const HttpResponse& response) override {
    responses.push_back(response);
    text.resize(response.offset);
    if (!response.etag.empty()) validator = response.etag;
    return OkStatus();
  }
  Status Append(std::span<const char> data) override {
    if (!refusal.ok()) return refusal;
    text.append(data.data(), data.size());
    return OkStatus();
  }

  std::string text;
  std::string validator;
  Status refusal;
  std::vector<HttpResponse> responses;
};

std::string Content() {
  std::string content;
  for (int i = 0; content.size() < 300'000; ++i) content += std::to_string(i) + ",";
  return content;
}

class HttpDownloadTest : public testing::Test {
 protected:
  HttpDownloadTest() {
    options_.answer_timeout_ms = 2000;
    options_.stall_timeout_ms = 2000;
    options_.attempts = 3;
    options_.backoff_ms = 1;
    observer_.notice = [this](const std::string& line) { notices_.push_back(line); };
  }
  Status Get(const std::string& url, const std::string& token = "") {
    return HttpDownload({url, token}, options_, observer_, sink_);
  }

  const std::string content_ = Content();
  HttpOptions options_;
  FetchObserver observer_;
  std::vector<std::string> notices_;
  TextSink sink_;
};

TEST_F(HttpDownloadTest, FetchesAFileAndItsFacts) {
  LocalHttpServer server([&](const HttpCall& call) { return ServeFile(call, content_, "\"v1\""); });
  ASSERT_EQ(Get(server.Url() + "/a%20b"), OkStatus());
  EXPECT_EQ(sink_.text, content_);
  ASSERT_EQ(sink_.responses.size(), 1u);
  EXPECT_EQ(sink_.responses[0].total_bytes, content_.size());
  EXPECT_EQ(sink_.responses[0].etag, "\"v1\"");
  EXPECT_EQ(server.calls()[0].path, "/a%20b");
  EXPECT_EQ(server.calls()[0].Header("authorization"), "");
}

TEST_F(HttpDownloadTest, AnEmptyFileIsAnAnswer) {
  LocalHttpServer server([](const HttpCall&) { return HttpReply{}; });
  EXPECT_EQ(Get(server.Url()), OkStatus());
  EXPECT_EQ(sink_.responses.size(), 1u);
}

TEST_F(HttpDownloadTest, TheTokenStaysWithItsHost) {
  LocalHttpServer store([&](const HttpCall& call) { return ServeFile(call, content_); });
  for (const char* host : {"localhost", "127.0.0.1"}) {  // another name; another port
    LocalHttpServer hub([&](const HttpCall& call) {
      HttpReply reply{302};
      reply.headers = {"Location: " + (call.path == "/file" ? std::string("/moved")
                                                            : store.Url(host) + "/content"),
                       "X-Linked-ETag: \"abc\"", "X-Linked-Size: 12", "ETag: \"of the redirect\""};
      return reply;
    });
    sink_ = TextSink();
    ASSERT_EQ(Get(hub.Url() + "/file", "secret"), OkStatus());
    EXPECT_EQ(sink_.text, content_);
    ASSERT_EQ(hub.calls().size(), 2u);
    EXPECT_EQ(hub.calls()[0].Header("authorization"), "Bearer secret");
    EXPECT_EQ(hub.calls()[1].Header("authorization"), "Bearer secret");
    EXPECT_EQ(store.calls().back().path, "/content");
    EXPECT_EQ(store.calls().back().Header("authorization"), "");
    EXPECT_EQ(sink_.responses[0].linked_etag, "abc");
    EXPECT_EQ(sink_.responses[0].linked_bytes, 12u);
    EXPECT_EQ(sink_.responses[0].etag, "");
  }
}

TEST_F(HttpDownloadTest, TheTokenIsNotSentInClearOverANetwork) {
  options_.answer_timeout_ms = 1;  // the address is reserved for documentation: nobody is there
  EXPECT_EQ(Get("http://192.0.2.1/file", "secret").code(), StatusCode::kUnavailable);
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_THAT(notices_[0], HasSubstr("the token is not sent"));
}

TEST_F(HttpDownloadTest, GoesOnWhereTheConnectionBroke) {
  int calls = 0;
  LocalHttpServer server([&](const HttpCall& call) {
    HttpReply reply = ServeFile(call, content_, "\"v1\"");
    if (++calls <= 4) reply.send_bytes = 50'000;  // more breaks than attempts, each with progress
    return reply;
  });
  ASSERT_EQ(Get(server.Url()), OkStatus());
  EXPECT_EQ(sink_.text, content_);
  ASSERT_EQ(server.calls().size(), 5u);
  EXPECT_EQ(server.calls()[1].Header("range"), "bytes=50000-");
  EXPECT_EQ(server.calls()[1].Header("if-range"), "\"v1\"");
  EXPECT_EQ(server.calls()[4].Header("range"), "bytes=200000-");
  EXPECT_EQ(notices_.size(), 4u);
}

TEST_F(HttpDownloadTest, StartsAgainWhenRangesAreIgnoredOrTheContentChanged) {
  int calls = 0;
  LocalHttpServer server([&](const HttpCall& call) {
    HttpReply reply = ServeFile(HttpCall{call.path, {}}, content_);
    if (++calls == 1) reply.send_bytes = 1000;
    return reply;
  });
  ASSERT_EQ(Get(server.Url()), OkStatus());
  EXPECT_EQ(sink_.text, content_);
  EXPECT_EQ(sink_.responses.back().offset, 0u);

  calls = 0;
  sink_ = TextSink();
  const std::string newer(content_.rbegin(), content_.rend());
  LocalHttpServer changing([&](const HttpCall& call) {
    if (++calls > 1) return ServeFile(call, newer, "\"v2\"");
    HttpReply reply = ServeFile(call, content_, "\"v1\"");
    reply.send_bytes = 1000;
    return reply;
  });
  ASSERT_EQ(Get(changing.Url()), OkStatus());
  EXPECT_EQ(sink_.text, newer);
}

TEST_F(HttpDownloadTest, AnotherRangeThanAskedForIsRefused) {
  sink_.text = "0,1,";
  LocalHttpServer server([&](const HttpCall& call) {
    HttpReply reply = ServeFile(call, content_);
    reply.headers = {"Content-Range: bytes 8-100/300000"};
    return reply;
  });
  const Status status = Get(server.Url());
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("bytes 8-100/300000"));
  EXPECT_EQ(sink_.text, "0,1,");
}

TEST_F(HttpDownloadTest, ARangeBehindTheEndStartsAgain) {
  sink_.text = content_ + "too much";
  LocalHttpServer server([&](const HttpCall& call) { return ServeFile(call, content_); });
  ASSERT_EQ(Get(server.Url()), OkStatus());
  EXPECT_EQ(sink_.text, content_);
  ASSERT_EQ(server.calls().size(), 2u);
  EXPECT_EQ(server.calls()[1].Header("range"), "");
}

TEST_F(HttpDownloadTest, StatusesBecomeCodesAndErrorPagesAreNotContent) {
  const std::vector<std::pair<int, StatusCode>> cases = {{404, StatusCode::kNotFound},
                                                         {401, StatusCode::kPermissionDenied},
                                                         {403, StatusCode::kPermissionDenied},
                                                         {400, StatusCode::kUnavailable},
                                                         {304, StatusCode::kUnavailable}};
  for (const auto& [code, expected] : cases) {
    LocalHttpServer server([code = code](const HttpCall&) {
      HttpReply reply{code};
      if (code != 304) reply.body = "<html>an error page</html>";
      return reply;
    });
    const Status status = Get(server.Url());
    EXPECT_EQ(status.code(), expected) << code;
    EXPECT_THAT(status.message(), HasSubstr(std::to_string(code)));
    EXPECT_EQ(server.calls().size(), 1u) << code;
    EXPECT_EQ(sink_.text, "");
  }
}

TEST_F(HttpDownloadTest, AServerErrorIsTriedAgain) {
  int calls = 0;
  LocalHttpServer server([&](const HttpCall& call) {
    return ++calls < 3 ? HttpReply{500} : ServeFile(call, content_);
  });
  ASSERT_EQ(Get(server.Url()), OkStatus());
  EXPECT_EQ(sink_.text, content_);

  LocalHttpServer broken([](const HttpCall&) { return HttpReply{503}; });
  sink_ = TextSink();
  EXPECT_EQ(Get(broken.Url()).code(), StatusCode::kUnavailable);
  EXPECT_EQ(broken.calls().size(), 3u);
}

TEST_F(HttpDownloadTest, AServerThatSaysNothingIsGivenUpOnce) {
  options_.answer_timeout_ms = 100;
  LocalHttpServer server([](const HttpCall&) {
    HttpReply reply;
    reply.silent = true;
    return reply;
  });
  const auto start = std::chrono::steady_clock::now();
  const Status status = Get(server.Url());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("does not answer within 0.1 s"));
  EXPECT_EQ(server.calls().size(), 1u);
}

TEST_F(HttpDownloadTest, AClosedPortIsGivenUpAtOnce) {
  std::string url;
  {
    url = LocalHttpServer([](const HttpCall&) { return HttpReply{}; }).Url();
  }
  EXPECT_EQ(Get(url).code(), StatusCode::kUnavailable);
  EXPECT_TRUE(notices_.empty());
}

TEST_F(HttpDownloadTest, AConnectionThatFallsSilentIsReplaced) {
  options_.stall_timeout_ms = 150;
  int calls = 0;
  LocalHttpServer server([&](const HttpCall& call) {
    HttpReply reply = ServeFile(call, content_);
    if (++calls == 1) {
      reply.send_bytes = 1000;
      reply.hang = true;
    }
    return reply;
  });
  ASSERT_EQ(Get(server.Url()), OkStatus());
  EXPECT_EQ(sink_.text, content_);
  EXPECT_EQ(server.calls()[1].Header("range"), "bytes=1000-");
}

TEST_F(HttpDownloadTest, BrokenAgainAndAgainWithoutProgressEnds) {
  LocalHttpServer server([&](const HttpCall& call) {
    HttpReply reply = ServeFile(call, content_);
    reply.send_bytes = 0;
    return reply;
  });
  EXPECT_EQ(Get(server.Url()).code(), StatusCode::kUnavailable);
  EXPECT_EQ(server.calls().size(), 3u);
}

TEST_F(HttpDownloadTest, ARedirectLoopEnds) {
  LocalHttpServer server([](const HttpCall&) {
    HttpReply reply{302};
    reply.headers = {"Location: /again"};
    return reply;
  });
  const Status status = Get(server.Url());
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("redirects"));
}

TEST_F(HttpDownloadTest, TheSinksErrorIsTheResult) {
  sink_.refusal = ResourceExhaustedError("no room here");
  LocalHttpServer server([&](const HttpCall& call) { return ServeFile(call, content_); });
  EXPECT_EQ(Get(server.Url()), sink_.refusal);
  EXPECT_EQ(server.calls().size(), 1u);
}

TEST_F(HttpDownloadTest, CancellingEndsAHangingTransfer) {
  LocalHttpServer server([&](const HttpCall& call) {
    HttpReply reply = ServeFile(call, content_);
    reply.send_bytes = 1000;
    reply.hang = true;
    return reply;
  });
  observer_.cancelled = [this] { return sink_.text.size() == 1000; };
  EXPECT_EQ(Get(server.Url()).code(), StatusCode::kCancelled);
  EXPECT_EQ(sink_.text, content_.substr(0, 1000));
}

TEST_F(HttpDownloadTest, AddressesThatAreNoneAreRefused) {
  EXPECT_EQ(Get("file:///etc/passwd").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Get("no address").code(), StatusCode::kInvalidArgument);
}

TEST_F(HttpDownloadTest, ACertificateMustBeTrusted) {
  LocalHttpServer server([&](const HttpCall& call) { return ServeFile(call, content_); },
                         LocalHttpServer::Scheme::kHttps);
  const Status status = Get(server.Url());
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(status.message(), HasSubstr("certificate"));
  EXPECT_TRUE(server.calls().empty());

  options_.ca_file = testing::TempDir() + "/http_download_test.pem";
  std::ofstream(options_.ca_file) << server.certificate();
  ASSERT_EQ(Get(server.Url()), OkStatus());
  EXPECT_EQ(sink_.text, content_);
}

TEST_F(HttpDownloadTest, ARedirectFromHttpsToHttpIsNotFollowed) {
  LocalHttpServer open([&](const HttpCall& call) { return ServeFile(call, content_); });
  LocalHttpServer server(
      [&](const HttpCall&) {
        HttpReply reply{302};
        reply.headers = {"Location: " + open.Url() + "/content"};
        return reply;
      },
      LocalHttpServer::Scheme::kHttps);
  options_.ca_file = testing::TempDir() + "/http_download_redirect_test.pem";
  std::ofstream(options_.ca_file) << server.certificate();
  EXPECT_EQ(Get(server.Url()).code(), StatusCode::kUnavailable);
  EXPECT_TRUE(open.calls().empty());
  EXPECT_EQ(sink_.text, "");
}

}  // namespace
}  // namespace foretoken
