#ifndef FORETOKEN_UNIT_SERVER_SOCKET_PAIR_H_
#define FORETOKEN_UNIT_SERVER_SOCKET_PAIR_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "unit/server/raw_http_client.h"

namespace foretoken {

// A connection over the loopback: the server's side for the code under test, a raw client's for the
// test. Small buffers, so that a writer notices soon that nobody reads.
struct SocketPair {
  explicit SocketPair(boost::asio::io_context& io) : server(io) {
    using boost::asio::ip::tcp;
    tcp::acceptor acceptor(io, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    client = std::make_unique<RawHttpClient>(acceptor.local_endpoint().port(), 16 * 1024);
    acceptor.accept(server);
    server.set_option(boost::asio::socket_base::send_buffer_size(16 * 1024));
  }

  boost::asio::ip::tcp::socket server;
  std::unique_ptr<RawHttpClient> client;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_SOCKET_PAIR_H_
