#include "server/sse_writer.h"

#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>

#include "unit/server/http_test_server.h"
#include "unit/server/raw_http_client.h"

namespace foretoken {
namespace {

TEST(SseEventTest, EveryLineOfTheDataIsADataLine) {
  EXPECT_EQ(SseEvent("[DONE]", ""), "data: [DONE]\n\n");
  EXPECT_EQ(SseEvent("a\nb\r\nc\rd", ""), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(SseEvent("", ""), "data: \n\n");
  EXPECT_EQ(SseEvent("a\n", ""), "data: a\ndata: \n\n");
  EXPECT_EQ(SseEvent("{}", "response.created"), "event: response.created\ndata: {}\n\n");
}

TEST(SseWriterTest, EventsArriveAsTheyAreSentWithTheHeadersOfAStream) {
  Arrivals<int> may_go_on;
  HttpTestServer server([&may_go_on](HttpExchange& exchange) -> asio::awaitable<void> {
    SseWriter events(exchange);
    HttpHeaders headers;
    headers.emplace_back("x-mine", "1");
    EXPECT_TRUE((co_await events.Begin(headers)).ok());
    EXPECT_TRUE((co_await events.Send("one")).ok());
    EXPECT_TRUE((co_await events.Comment("hush")).ok());
    may_go_on.Pop();  // the first event must arrive before the second is sent
    EXPECT_TRUE((co_await events.Send("two", "named")).ok());
    EXPECT_TRUE((co_await events.End()).ok());
  });
  RawHttpClient client(server.port());
  client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string head = client.ReadUntil("\r\n\r\n");
  for (const char* line : {"HTTP/1.1 200 OK", "x-mine: 1", "cache-control: no-cache",
                           "content-type: text/event-stream; charset=utf-8",
                           "x-accel-buffering: no", "transfer-encoding: chunked"}) {
    EXPECT_NE(head.find(std::string(line) + "\r\n"), std::string::npos) << line;
  }
  EXPECT_EQ(client.ReadChunk(), "data: one\n\n");
  EXPECT_EQ(client.ReadChunk(), ": hush\n\n");
  may_go_on.Push(1);
  EXPECT_EQ(client.ReadChunk(), "event: named\ndata: two\n\n");
  EXPECT_EQ(client.ReadChunk(), "");
}

TEST(SseWriterTest, HeartbeatsFillASilence) {
  HttpTestServer server([](HttpExchange& exchange) -> asio::awaitable<void> {
    SseWriter events(exchange, std::chrono::milliseconds(5));
    EXPECT_TRUE((co_await events.Begin()).ok());
    asio::steady_timer silence(exchange.executor(), std::chrono::milliseconds(100));
    co_await silence.async_wait(asio::use_awaitable);
    EXPECT_TRUE((co_await events.Send("late")).ok());
    EXPECT_TRUE((co_await events.End()).ok());
  });
  RawHttpClient client(server.port());
  client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
  // Twice, to see that no heartbeat of the first answer strays into the second.
  for (int i = 0; i < 2; ++i) {
    const RawResponse response = client.ReadResponse();
    EXPECT_TRUE(response.complete);
    size_t beats = 0;
    std::string rest = response.body;
    while (rest.starts_with(":\n\n")) {
      rest.erase(0, 3);
      ++beats;
    }
    EXPECT_GE(beats, 1u);
    while (rest.ends_with(":\n\n")) rest.erase(rest.size() - 3);
    EXPECT_EQ(rest, "data: late\n\n");
  }
}

}  // namespace
}  // namespace foretoken
