#include "server/http_response_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace foretoken {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

ResponseFraming Framing(BodyFraming body) {
  ResponseFraming framing;
  framing.body = body;
  framing.body_bytes = 5;
  framing.request_id = "id-1";
  return framing;
}

TEST(HttpResponseHeadTest, DatesAreRfc9110sWhateverTheDay) {
  EXPECT_EQ(HttpDate(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(HttpDate(0), "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(HttpResponseHeadTest, SaysWhatIsAlwaysSaid) {
  HttpResponse response;
  response.status = 404;
  response.headers = {{"content-type", "application/json"}};
  const std::string head = SerializeResponseHead(response, Framing(BodyFraming::kLength));
  EXPECT_THAT(head, StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\ncontent-type: application/json\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nserver: foretoken\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nx-content-type-options: nosniff\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nx-request-id: id-1\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nconnection: keep-alive\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\ncontent-length: 5\r\n"));
  EXPECT_THAT(head, HasSubstr(" GMT\r\n"));
  EXPECT_THAT(head, EndsWith("\r\n\r\n"));
}

TEST(HttpResponseHeadTest, TheBodyIsFramedInOneWay) {
  const HttpResponse response;
  const std::string chunked = SerializeResponseHead(response, Framing(BodyFraming::kChunked));
  EXPECT_THAT(chunked, HasSubstr("\r\ntransfer-encoding: chunked\r\n"));
  EXPECT_THAT(chunked, Not(HasSubstr("content-length")));
  const std::string until_close =
      SerializeResponseHead(response, Framing(BodyFraming::kUntilClose));
  EXPECT_THAT(until_close, Not(HasSubstr("transfer-encoding")));
  EXPECT_THAT(until_close, Not(HasSubstr("content-length")));
}

TEST(HttpResponseHeadTest, AStatusWithoutABodyGetsNoLength) {
  HttpResponse response;
  for (const int status : {204, 304}) {
    response.status = status;
    EXPECT_FALSE(StatusHasBody(status));
    EXPECT_THAT(SerializeResponseHead(response, Framing(BodyFraming::kLength)),
                Not(HasSubstr("content-length")));
  }
  EXPECT_TRUE(StatusHasBody(200));
  EXPECT_TRUE(StatusHasBody(499));
}

TEST(HttpResponseHeadTest, NothingInAHeaderEndsItsLine) {
  HttpResponse response;
  response.headers = {{"x-ignored", "a\r\nset-cookie: b\0c"}, {"x-bad\r\nname", "v"}, {"", "v"}};
  const std::string head = SerializeResponseHead(response, Framing(BodyFraming::kLength));
  EXPECT_THAT(head, HasSubstr("\r\nx-ignored: a  set-cookie: b\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("x-bad")));
  EXPECT_THAT(head, Not(HasSubstr("\r\n: v")));
}

TEST(HttpResponseHeadTest, TheTransportsHeadersAreNotTheHandlers) {
  HttpResponse response;
  response.headers = {{"Content-Length", "99"},
                      {"Transfer-Encoding", "chunked"},
                      {"Connection", "close"},
                      {"X-Request-Id", "other"}};
  const std::string head = SerializeResponseHead(response, Framing(BodyFraming::kLength));
  EXPECT_THAT(head, Not(HasSubstr("99")));
  EXPECT_THAT(head, Not(HasSubstr("chunked")));
  EXPECT_THAT(head, Not(HasSubstr("close")));
  EXPECT_THAT(head, Not(HasSubstr("other")));
}

}  // namespace
}  // namespace foretoken
