#include "server/http_request_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

struct Parsed {
  int refused = 0;  // the status
  bool done = false;
  HttpRequest request;
  std::string rest;  // what belongs to the next request
};

// Feeds `bytes` in pieces of `piece` bytes, as a connection does.
Parsed Parse(std::string_view bytes, size_t piece = 1 << 20, const HttpLimits& limits = {}) {
  HttpRequestParser parser(limits);
  std::string unread;
  while (!parser.refusal() && !parser.done()) {
    const size_t taken = parser.Feed(unread);
    unread.erase(0, taken);
    if (taken > 0) continue;
    if (bytes.empty()) break;
    unread += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  Parsed parsed;
  if (parser.refusal()) {
    parsed.refused = parser.refusal()->status;
    EXPECT_FALSE(parser.refusal()->message.empty());
    EXPECT_FALSE(parser.done());
  }
  parsed.done = parser.done();
  parsed.request = std::move(parser.request());
  parsed.rest = unread + std::string(bytes);
  return parsed;
}

int RefusalOf(std::string_view bytes, const HttpLimits& limits = {}) {
  const int whole = Parse(bytes, 1 << 20, limits).refused;
  EXPECT_EQ(Parse(bytes, 1, limits).refused, whole) << bytes;
  return whole;
}

TEST(HttpRequestParserTest, ReadsARequestInPiecesOfAnySize) {
  const std::string bytes =
      "\r\nPOST /v1/x%20y?q=1 HTTP/1.1\r\nHost: a.example:80\r\nX-A: 1\r\nx-a:\t2 \r\n"
      "Content-Length: 5\r\n\r\nhelloGET /next";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Parsed parsed = Parse(bytes, piece);
    ASSERT_TRUE(parsed.done) << piece;
    EXPECT_EQ(parsed.request.method, "POST");
    EXPECT_EQ(parsed.request.path, "/v1/x y");
    EXPECT_EQ(parsed.request.query, "q=1");
    EXPECT_EQ(parsed.request.body, "hello");
    EXPECT_EQ(parsed.request.headers,
              (HttpHeaders{
                  {"Host", "a.example:80"}, {"X-A", "1"}, {"x-a", "2"}, {"Content-Length", "5"}}));
    EXPECT_EQ(parsed.rest, "GET /next");
  }
}

TEST(HttpRequestParserTest, ReadsChunksInPiecesOfAnySize) {
  const std::string bytes =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5;a=b\r\nhello\r\n0A\r\n0123456789\r\n0\r\nHost: evil\r\nX-Trailer: 1\r\n\r\nGET /next";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Parsed parsed = Parse(bytes, piece);
    ASSERT_TRUE(parsed.done) << piece;
    EXPECT_EQ(parsed.request.body, "hello0123456789");
    EXPECT_EQ(FindHeader(parsed.request.headers, "x-trailer"), std::nullopt);
    EXPECT_EQ(parsed.request.headers.size(), 2u);
    EXPECT_EQ(parsed.rest, "GET /next");
  }
}

TEST(HttpRequestParserTest, AnEmptyChunkedBodyIsABody) {
  for (const size_t piece : {1, 2, 3, 100}) {
    const Parsed parsed =
        Parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", piece);
    EXPECT_TRUE(parsed.done);
    EXPECT_EQ(parsed.request.body, "");
  }
}

TEST(HttpRequestParserTest, WhatTwoPartiesCouldReadInTwoWaysIsRefused) {
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  const std::vector<std::pair<std::string, int>> cases = {
      {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
      // Beast alone would frame this one by its length.
      {post + "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", 400},
      {post + "Transfer-Encoding: gzip\r\n\r\n", 501},
      {post + "Transfer-Encoding: identity\r\n\r\n", 501},
      {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {post + "Transfer-Encoding: chunked, gzip\r\n\r\n", 501},
      {post + "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
      {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
      {post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
      {post + "Content-Length: 5, 5\r\n\r\nhello", 400},
      {post + "Content-Length: +5\r\n\r\nhello", 400},
      {post + "Content-Length: -5\r\n\r\nhello", 400},
      {post + "Content-Length: 0x5\r\n\r\nhello", 400},
      {post + "Content-Length:\r\n\r\n", 400},
      {post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {post + "Content-Length : 5\r\n\r\nhello", 400},
      {post + " Content-Length: 5\r\n\r\nhello", 0},  // folded into Host's value, which is odd then
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: h\n\n\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\nb\r\n\r\n", 400},
  };
  for (const auto& [bytes, status] : cases) {
    EXPECT_EQ(RefusalOf(bytes), status == 0 ? 400 : status) << bytes;
  }
}

TEST(HttpRequestParserTest, MalformedChunksAreRefused) {
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* body : {"x\r\n\r\n\r\n\r\n", "-1\r\n\r\n\r\n", "0x5\r\nhello\r\n",
                           "5\nhello\n0\n\n", "5\r\nhelloX\r\n0\r\n\r\n", "3\r\nhello\r\n0\r\n\r\n",
                           "ffffffffffffffff1\r\n\r\n", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
                           "5 x\r\nhello\r\n0\r\n\r\n", "0\r\nbad trailer\r\n\r\n"}) {
    EXPECT_EQ(RefusalOf(post + body + "\r\n\r\n"), 400) << body;
  }
  EXPECT_EQ(RefusalOf(post + "1000001\r\n" + std::string(64, 'x')), 413);
}

TEST(HttpRequestParserTest, MalformedRequestLinesAreRefused) {
  for (const char* line :
       {"GET  / HTTP/1.1", "GET /", "GET / HTTP", "GET / HTTP/1.1 ", "GET\t/ HTTP/1.1",
        "G\x01T / HTTP/1.1", " GET / HTTP/1.1", "GET /a\x7f HTTP/1.1", "GET x HTTP/1.1",
        "GET * HTTP/1.1", "GET /%00 HTTP/1.1", "GET /%f HTTP/1.1", "GET /%ff HTTP/1.1",
        "GET /\xff HTTP/1.1"}) {
    EXPECT_EQ(RefusalOf(std::string(line) + "\r\nHost: h\r\n\r\n"), 400) << line;
  }
  EXPECT_EQ(RefusalOf("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
}

TEST(HttpRequestParserTest, OtherVersionsAndMethodsAreSaidToBeUnknown) {
  EXPECT_EQ(RefusalOf("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(RefusalOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(RefusalOf("GET / HTTP/1.2\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(RefusalOf("GET / HTTP/0.9\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(RefusalOf("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"), 501);
  EXPECT_EQ(RefusalOf(std::string(33, 'X') + " / HTTP/1.1\r\nHost: h\r\n\r\n"), 501);
  EXPECT_EQ(Parse("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n").request.method, "TRACE");
  EXPECT_EQ(RefusalOf("GET / HTTP/1.1\r\nHost: h\r\nExpect: cake\r\n\r\n"), 417);
  EXPECT_EQ(Parse("BREW / HTTP/1.1\r\nHost: h\r\n\r\n").request.method, "BREW");
}

TEST(HttpRequestParserTest, TheHeadIsBounded) {
  HttpLimits limits;
  limits.header_bytes = 1000;
  limits.header_count = 10;
  limits.target_bytes = 100;
  const std::string get = "GET / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(RefusalOf(get + "X: " + std::string(2000, 'x') + "\r\n\r\n", limits), 431);
  std::string many = get;
  for (int i = 0; i < 10; ++i) many += "X: 1\r\n";
  EXPECT_EQ(RefusalOf(many + "\r\n", limits), 431);
  std::string wide = get;
  for (int i = 0; i < 9; ++i) wide += "X: " + std::string(200, 'x') + "\r\n";
  EXPECT_EQ(RefusalOf(wide + "\r\n", limits), 431);
  EXPECT_EQ(RefusalOf("GET /" + std::string(100, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", limits),
            414);
  EXPECT_EQ(RefusalOf("GET /" + std::string(900, 'x'), limits), 414);
  EXPECT_EQ(RefusalOf("GET /" + std::string(2000, 'x'), limits), 414);
  EXPECT_EQ(RefusalOf("GET /" + std::string(99, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", limits), 0);
}

TEST(HttpRequestParserTest, WhatComesAfterTheHeadIsBounded) {
  HttpLimits limits;
  limits.header_bytes = 1000;
  limits.body_bytes = 10;
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(RefusalOf(post + "Content-Length: 11\r\n\r\n", limits), 413);
  EXPECT_EQ(RefusalOf(post + "Content-Length: 10\r\n\r\n0123456789", limits), 0);
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(RefusalOf(chunked + "6\r\n012345\r\n5\r\n", limits), 413);
  EXPECT_EQ(RefusalOf(chunked + "6;" + std::string(2000, 'x'), limits), 400);
  EXPECT_EQ(RefusalOf(chunked + "0\r\nX: " + std::string(2000, 'x'), limits), 400);
  EXPECT_EQ(RefusalOf(chunked + "0\r\nX: " + std::string(2000, 'x') + "\r\n\r\n", limits), 400);
  limits.header_bytes = 32 * 1024;
  limits.body_bytes = 1000;
  std::string extended = chunked;
  for (int i = 0; i < 10; ++i) extended += "1;" + std::string(2000, 'x') + "\r\n_\r\n";
  EXPECT_EQ(RefusalOf(extended, limits), 400);
}

TEST(HttpRequestParserTest, TellsWhatTheClientWants) {
  HttpRequestParser waits({});
  const std::string head =
      "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-Continue\r\n"
      "Content-Length: 5\r\n\r\n";
  EXPECT_EQ(waits.Feed(head + "hello"), head.size());
  ASSERT_TRUE(waits.head_done());
  EXPECT_FALSE(waits.done());
  EXPECT_TRUE(waits.expects_continue());
  EXPECT_FALSE(waits.keep_alive());
  EXPECT_TRUE(waits.http_1_1());

  HttpRequestParser old({});
  old.Feed("GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(old.done());
  EXPECT_TRUE(old.keep_alive());
  EXPECT_FALSE(old.http_1_1());
  EXPECT_FALSE(old.expects_continue());

  HttpRequestParser upgrade({});
  upgrade.Feed("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n");
  ASSERT_TRUE(upgrade.done());
  EXPECT_TRUE(upgrade.asks_for_websocket());
  HttpRequestParser other({});
  other.Feed("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
  EXPECT_FALSE(other.asks_for_websocket());
}

}  // namespace
}  // namespace foretoken
