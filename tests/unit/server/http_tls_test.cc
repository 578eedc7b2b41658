#include "server/http_tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "unit/server/http_test_server.h"
#include "unit/server/raw_http_client.h"
#include "unit/server/tls_test_files.h"

namespace foretoken {
namespace {

// OpenSSL's client over a raw one's socket.
class TlsClient {
 public:
  explicit TlsClient(uint16_t port, int max_version = 0, const std::string& protocols = "")
      : client_(port), context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    if (max_version != 0) {
      SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
      SSL_CTX_set_max_proto_version(context_.get(), max_version);
      SSL_CTX_set_security_level(context_.get(), 0);
    }
    if (!protocols.empty()) {
      SSL_CTX_set_alpn_protos(context_.get(),
                              reinterpret_cast<const unsigned char*>(protocols.data()),
                              static_cast<unsigned>(protocols.size()));
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), client_.socket());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }

  bool connected() const { return connected_; }
  SSL* ssl() { return ssl_.get(); }
  void Send(const std::string& bytes) {
    EXPECT_EQ(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())),
              static_cast<int>(bytes.size()));
  }
  std::string ReadRecord() {
    char bytes[4096];
    const int size = SSL_read(ssl_.get(), bytes, sizeof bytes);
    return {bytes, size > 0 ? static_cast<size_t>(size) : 0};
  }
  // Until the server says goodbye, which `orderly` tells from a connection that broke.
  std::string ReadAll(bool* orderly) {
    std::string all;
    char bytes[4096];
    int size = 0;
    while ((size = SSL_read(ssl_.get(), bytes, sizeof bytes)) > 0) {
      all.append(bytes, static_cast<size_t>(size));
    }
    *orderly = SSL_get_error(ssl_.get(), size) == SSL_ERROR_ZERO_RETURN;
    return all;
  }
  std::string CertificateName() {
    X509* const certificate = SSL_get1_peer_certificate(ssl_.get());
    char name[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                              sizeof name);
    X509_free(certificate);
    return name;
  }

 private:
  struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  RawHttpClient client_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, SslFree> ssl_;
  bool connected_ = false;
};

HttpListenerOptions TlsOptions(const TlsTestFiles& files) {
  HttpListenerOptions options;
  options.certificate_path = files.certificate;
  options.private_key_path = files.key;
  return options;
}

TEST(HttpTlsTest, RequestsAreServedOverTlsAndTheEndIsSaid) {
  const TlsTestFiles files;
  HttpTestServer server(Echo, TlsOptions(files));
  TlsClient client(server.port());
  ASSERT_TRUE(client.connected());
  const std::string body(100'000, 'x');
  client.Send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + body);
  client.Send("GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  bool orderly = false;
  const std::string all = client.ReadAll(&orderly);
  EXPECT_TRUE(orderly);
  EXPECT_THAT(all, ::testing::HasSubstr("\r\n\r\nPOST /a?\n" + body + "HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(all, ::testing::EndsWith("\r\n\r\nGET /b?\n"));
}

TEST(HttpTlsTest, OldVersionsAndPlainBytesAreRefused) {
  const TlsTestFiles files;
  HttpTestServer server(Echo, TlsOptions(files));
  EXPECT_FALSE(TlsClient(server.port(), TLS1_1_VERSION).connected());
  EXPECT_TRUE(TlsClient(server.port(), TLS1_2_VERSION).connected());
  EXPECT_TRUE(TlsClient(server.port(), TLS1_3_VERSION).connected());
  RawHttpClient plain(server.port());
  plain.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(plain.ReadAll().find("HTTP/"), std::string::npos);
  server.server->Stop();
  EXPECT_EQ(server.server->counts().failed_tls_handshakes, 2u);
}

TEST(HttpTlsTest, AHandshakeThatDoesNotEndIsCut) {
  const TlsTestFiles files;
  HttpListenerOptions options = TlsOptions(files);
  options.header_time = std::chrono::milliseconds(30);
  HttpTestServer server(Echo, options);
  RawHttpClient silent(server.port());
  EXPECT_EQ(silent.ReadAll(), "");
}

TEST(HttpTlsTest, WebSocketsWorkOverTls) {
  const TlsTestFiles files;
  HttpListenerOptions options = TlsOptions(files);
  options.websocket.paths = {"/v1/stream"};
  HttpTestServer server(Echo, options,
                        [](std::shared_ptr<WebSocketSession> session) -> asio::awaitable<void> {
                          Result<std::string> text = co_await session->Receive();
                          while (text.ok()) {
                            EXPECT_TRUE((co_await session->Send(*text + "!")).ok());
                            text = co_await session->Receive();
                          }
                        });
  TlsClient client(server.port());
  ASSERT_TRUE(client.connected());
  client.Send(
      "GET /v1/stream HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
  EXPECT_THAT(client.ReadRecord(), ::testing::StartsWith("HTTP/1.1 101 "));
  // Frames with a mask of zeros: "hi", and a close with code 1000.
  client.Send(std::string("\x81\x82\0\0\0\0hi", 8));
  EXPECT_EQ(client.ReadRecord(), "\x81\x03hi!");
  client.Send(std::string("\x88\x82\0\0\0\0\x03\xe8", 8));
  EXPECT_EQ(client.ReadRecord(), "\x88\x02\x03\xe8");
}

TEST(HttpTlsTest, HttpIsAgreedOnWhereTheClientAsks) {
  const TlsTestFiles files;
  HttpTestServer server(Echo, TlsOptions(files));
  TlsClient client(server.port(), 0, "\x02h2\x08http/1.1");
  ASSERT_TRUE(client.connected());
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(client.ssl(), &chosen, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "http/1.1");
}

TEST(HttpTlsTest, ARenewedCertificateServesNewConnectionsAndABadOneChangesNothing) {
  const TlsTestFiles files("first");
  HttpTestServer server(Echo, TlsOptions(files));
  EXPECT_EQ(TlsClient(server.port()).CertificateName(), "first");
  files.Write("second");
  ASSERT_TRUE(server.server->ReloadCertificates().ok());
  EXPECT_EQ(TlsClient(server.port()).CertificateName(), "second");
  static_cast<void>(files.directory.Write("certificate.pem", "garbage"));
  EXPECT_EQ(server.server->ReloadCertificates().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(TlsClient(server.port()).CertificateName(), "second");
}

TEST(HttpTlsTest, FilesThatCannotServeAreNamed) {
  const TlsTestFiles files;
  const TlsTestFiles others;
  const auto message = [](const std::string& certificate, const std::string& key) {
    const auto loaded = LoadTlsContext(certificate, key);
    EXPECT_EQ(loaded.status().code(), StatusCode::kInvalidArgument);
    return loaded.status().message();
  };
  EXPECT_THAT(message("/nowhere.pem", files.key), ::testing::HasSubstr("/nowhere.pem"));
  EXPECT_THAT(message(files.certificate, "/nowhere.pem"), ::testing::HasSubstr("/nowhere.pem"));
  EXPECT_THAT(message(files.certificate, others.key), ::testing::HasSubstr(others.key));
  EXPECT_TRUE(LoadTlsContext(files.certificate, files.key).ok());
}

}  // namespace
}  // namespace foretoken
