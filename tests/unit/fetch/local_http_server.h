#ifndef FORETOKEN_UNIT_FETCH_LOCAL_HTTP_SERVER_H_
#define FORETOKEN_UNIT_FETCH_LOCAL_HTTP_SERVER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"

typedef struct ssl_ctx_st SSL_CTX;

namespace foretoken {

struct HttpCall {
  std::string path;
  std::map<std::string, std::string> headers;  // names in lower case

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// What a server sends, faults included.
struct HttpReply {
  int status = 200;
  std::vector<std::string> headers = {};  // "Name: value"
  std::string body = {};
  bool announce_length = true;
  size_t send_bytes = std::numeric_limits<size_t>::max();  // of the body; then the fault below
  bool hang = false;    // keeps the connection open after that, saying nothing
  bool silent = false;  // does not even send a head
};

// A whole file, or the range that is asked for, as a good server sends it.
HttpReply ServeFile(const HttpCall& call, const std::string& content, const std::string& etag = "");

// An HTTP/1.1 server on a loopback port, one connection per call, for tests of downloads.
// The handler runs on the server's threads, one call at a time.
class LocalHttpServer {
 public:
  using Handler = std::function<HttpReply(const HttpCall& call)>;
  enum class Scheme { kHttp, kHttps };

  explicit LocalHttpServer(Handler handler, Scheme scheme = Scheme::kHttp);
  ~LocalHttpServer();
  LocalHttpServer(const LocalHttpServer&) = delete;
  LocalHttpServer& operator=(const LocalHttpServer&) = delete;

  // "http://127.0.0.1:PORT", or with another name of this machine.
  std::string Url(const std::string& host = "127.0.0.1") const;
  std::vector<HttpCall> calls() const;
  // The self-signed certificate for 127.0.0.1, in PEM, when the scheme is HTTPS.
  const std::string& certificate() const { return certificate_; }

 private:
  class Connection;

  void MakeCertificate();
  void Accept();
  void Serve(int descriptor);
  void Answer(Connection& connection);

  const Handler handler_;
  const Scheme scheme_;
  std::string certificate_;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> tls_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  mutable Mutex mutex_;
  std::vector<HttpCall> calls_ FORETOKEN_GUARDED_BY(mutex_);
  std::vector<std::thread> connections_;  // of the accepting thread, until it has ended
  std::thread acceptor_;
};

// A handler that a test exchanges while its server runs.
class ScriptedHandler {
 public:
  explicit ScriptedHandler(LocalHttpServer::Handler handler) : handler_(std::move(handler)) {}
  ScriptedHandler& operator=(LocalHttpServer::Handler handler) {
    const MutexLock lock(mutex_);
    handler_ = std::move(handler);
    return *this;
  }
  HttpReply operator()(const HttpCall& call) {
    const MutexLock lock(mutex_);
    return handler_(call);
  }

 private:
  Mutex mutex_;
  LocalHttpServer::Handler handler_ FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_FETCH_LOCAL_HTTP_SERVER_H_
