#ifndef FORETOKEN_SERVER_HTTP_SERVER_H_
#define FORETOKEN_SERVER_HTTP_SERVER_H_

#include <chrono>
#include <cstdint>
#include <memory>

#include "foretoken/status.h"
#include "server/http_exchange.h"
#include "server/http_options.h"
#include "server/io_threads.h"
#include "server/websocket_session.h"

namespace foretoken {

// One listening address and its connections. Every connection has a strand of its own, on which its
// handlers run. Any thread but the I/O threads may call it, one at a time; these have to run until
// it is stopped, which its destructor does.
class HttpServer {
 public:
  // Binds the address, so that port() is known, and accepts nothing yet. INVALID_ARGUMENT for
  // options that make no sense or TLS files that cannot be used, UNAVAILABLE where the system does
  // not give the address.
  static Result<std::unique_ptr<HttpServer>> Create(IoThreads& io, HttpListenerOptions options,
                                                    HttpHandler handler,
                                                    WebSocketHandler websocket_handler = nullptr);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Begins to accept connections; once.
  void Start();
  uint16_t port() const;

  // Takes no more connections and requests, lets those under way end until `patience` is over, then
  // cuts the rest and waits for their handlers.
  void Drain(std::chrono::milliseconds patience);
  void Stop() { Drain(std::chrono::milliseconds(0)); }

  // Reads the TLS files again, for connections to come; with an error nothing changes.
  Status ReloadCertificates();

  HttpServerCounts counts() const;

 private:
  struct Impl;
  explicit HttpServer(std::shared_ptr<Impl> impl);

  const std::shared_ptr<Impl> impl_;  // the second owner is the accepting coroutine
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_SERVER_H_
