#include "server/http_stream.h"

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>

#include "server/http_tls.h"
#include "unit/server/socket_pair.h"
#include "unit/server/tls_test_files.h"

namespace foretoken {
namespace {

TEST(HttpStreamTest, PassesPlainBytesAndTellsThePeerThatNoMoreCome) {
  asio::io_context io;
  SocketPair pair(io);
  HttpStream stream(std::move(pair.server), nullptr);
  EXPECT_FALSE(stream.encrypted());
  pair.client->Send("ping");
  asio::co_spawn(
      io,
      [&stream]() -> asio::awaitable<void> {
        EXPECT_TRUE((co_await stream.Handshake()).ok());
        std::string bytes(4, '\0');
        co_await stream.async_read_some(asio::buffer(bytes), asio::use_awaitable);
        EXPECT_EQ(bytes, "ping");
        co_await stream.async_write_some(asio::buffer(bytes), asio::use_awaitable);
        co_await stream.ShutdownSend(/*notify=*/true);
      },
      asio::detached);
  io.run();
  EXPECT_EQ(pair.client->ReadAll(), "ping");
}

TEST(HttpStreamTest, CloseEndsAReadThatWaits) {
  asio::io_context io;
  SocketPair pair(io);
  HttpStream stream(std::move(pair.server), nullptr);
  char byte = 0;
  bool ended = false;
  stream.async_read_some(asio::buffer(&byte, 1),
                         [&ended](const boost::system::error_code& error, size_t size) {
                           EXPECT_EQ(error, asio::error::operation_aborted);
                           EXPECT_EQ(size, 0u);
                           ended = true;
                         });
  stream.Close();
  io.run();
  EXPECT_TRUE(ended);
  EXPECT_EQ(pair.client->ReadAll(), "");
}

TEST(HttpStreamTest, WhatIsNoTlsFailsTheHandshake) {
  const TlsTestFiles files;
  asio::io_context io;
  SocketPair pair(io);
  HttpStream stream(std::move(pair.server), LoadTlsContext(files.certificate, files.key).value());
  EXPECT_TRUE(stream.encrypted());
  pair.client->Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  Status status;
  asio::co_spawn(
      io, [&]() -> asio::awaitable<void> { status = co_await stream.Handshake(); }, asio::detached);
  io.run();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace foretoken
