#include "unit/fetch/local_http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <csignal>
#include <string_view>
#include <utility>

namespace foretoken {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(SSL* tls) const { SSL_free(tls); }
};

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

HttpCall ParseCall(const std::string& head) {
  HttpCall call;
  const size_t first = head.find(' ');
  call.path = head.substr(first + 1, head.find(' ', first + 1) - first - 1);
  for (size_t line = head.find("\r\n"); line != std::string::npos;) {
    const size_t end = head.find("\r\n", line + 2);
    const std::string text = head.substr(line + 2, end - line - 2);
    if (const size_t colon = text.find(": "); colon != std::string::npos) {
      call.headers[LowerCase(text.substr(0, colon))] = text.substr(colon + 2);
    }
    line = end;
  }
  return call;
}

}  // namespace

HttpReply ServeFile(const HttpCall& call, const std::string& content, const std::string& etag) {
  HttpReply reply;
  if (!etag.empty()) reply.headers.push_back("ETag: " + etag);
  const std::string range = call.Header("range");
  const std::string condition = call.Header("if-range");
  size_t first = 0;
  if (range.starts_with("bytes=") && (condition.empty() || condition == etag)) {
    std::from_chars(range.data() + 6, range.data() + range.size(), first);
    if (first >= content.size()) {
      reply.status = 416;
      return reply;
    }
    reply.status = 206;
    reply.headers.push_back(
        fmt::format("Content-Range: bytes {}-{}/{}", first, content.size() - 1, content.size()));
  }
  reply.body = content.substr(first);
  return reply;
}

// A socket, with or without TLS on it.
class LocalHttpServer::Connection {
 public:
  Connection(int descriptor, SSL_CTX* tls) : descriptor_(descriptor) {
    const timeval timeout{10, 0};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (tls != nullptr) {
      tls_.reset(SSL_new(tls));
      SSL_set_fd(tls_.get(), descriptor);
    }
  }
  ~Connection() {
    tls_.reset();
    close(descriptor_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool Handshake() { return !tls_ || SSL_accept(tls_.get()) == 1; }
  long Read(char* data, size_t size) {
    return tls_ ? SSL_read(tls_.get(), data, static_cast<int>(size))
                : recv(descriptor_, data, size, 0);
  }
  void Write(std::string_view text) {
    while (!text.empty()) {
      const long put = tls_ ? SSL_write(tls_.get(), text.data(), static_cast<int>(text.size()))
                            : send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
      if (put <= 0) return;
      text.remove_prefix(static_cast<size_t>(put));
    }
  }
  bool PeerIsGone() {
    char byte;
    return recv(descriptor_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  }

 private:
  const int descriptor_;
  std::unique_ptr<SSL, Free> tls_;
};

LocalHttpServer::LocalHttpServer(Handler handler, Scheme scheme)
    : handler_(std::move(handler)), scheme_(scheme), tls_(nullptr, SSL_CTX_free) {
  signal(SIGPIPE, SIG_IGN);  // NOLINT: TLS writes to a client that has gone
  if (scheme_ == Scheme::kHttps) MakeCertificate();
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(listener_, 16), 0);
  EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

LocalHttpServer::~LocalHttpServer() {
  stopping_ = true;
  acceptor_.join();
  for (std::thread& connection : connections_) connection.join();
  close(listener_);
}

void LocalHttpServer::MakeCertificate() {
  const std::unique_ptr<EVP_PKEY, Free> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Free> certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("foretoken test"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  const std::unique_ptr<X509_EXTENSION, Free> address(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1"));
  X509_add_ext(certificate.get(), address.get(), -1);
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  const std::unique_ptr<BIO, Free> text(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(text.get(), certificate.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);
  certificate_.assign(data, static_cast<size_t>(size));
  tls_.reset(SSL_CTX_new(TLS_server_method()));
  EXPECT_EQ(SSL_CTX_use_certificate(tls_.get(), certificate.get()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(tls_.get(), key.get()), 1);
}

std::string LocalHttpServer::Url(const std::string& host) const {
  return fmt::format("{}://{}:{}", scheme_ == Scheme::kHttps ? "https" : "http", host, port_);
}

std::vector<HttpCall> LocalHttpServer::calls() const {
  const MutexLock lock(mutex_);
  return calls_;
}

void LocalHttpServer::Accept() {
  constexpr int kPollMs = 20;
  while (!stopping_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (poll(&waiting, 1, kPollMs) <= 0) continue;
    const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor >= 0) connections_.emplace_back([this, descriptor] { Serve(descriptor); });
  }
}

void LocalHttpServer::Serve(int descriptor) {
  Connection connection(descriptor, tls_.get());
  if (connection.Handshake()) Answer(connection);
}

void LocalHttpServer::Answer(Connection& connection) {
  std::string head;
  char buffer[4096];
  while (head.find("\r\n\r\n") == std::string::npos) {
    const long got = connection.Read(buffer, sizeof buffer);
    if (got <= 0) return;
    head.append(buffer, static_cast<size_t>(got));
  }
  HttpReply reply;
  {
    const MutexLock lock(mutex_);
    calls_.push_back(ParseCall(head));
    reply = handler_(calls_.back());
  }
  if (!reply.silent) {
    std::string text = fmt::format("HTTP/1.1 {} Reply\r\nConnection: close\r\n", reply.status);
    for (const std::string& header : reply.headers) text += header + "\r\n";
    if (reply.announce_length) text += fmt::format("Content-Length: {}\r\n", reply.body.size());
    connection.Write(text + "\r\n");
    connection.Write(std::string_view(reply.body).substr(0, reply.send_bytes));
  }
  while ((reply.silent || reply.hang) && !stopping_ && !connection.PeerIsGone()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace foretoken
