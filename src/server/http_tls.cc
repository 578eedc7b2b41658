#include "server/http_tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/system/system_error.hpp>
#include <string_view>

namespace foretoken {
namespace {

namespace asio = boost::asio;

// TLS 1.2 with forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
constexpr char kTls12Ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::string_view kHttp11 = "\x08http/1.1";

// Picks http/1.1 where the client offers it; a client that offers other protocols only may find out
// by itself.
int SelectProtocol(SSL*, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* in, unsigned in_length, void*) {
  unsigned char* selected = nullptr;
  const int found = SSL_select_next_proto(&selected, out_length,
                                          reinterpret_cast<const unsigned char*>(kHttp11.data()),
                                          static_cast<unsigned>(kHttp11.size()), in, in_length);
  if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

Status Failed(const char* what, const std::string& path, const boost::system::error_code& error) {
  return InvalidArgumentError(fmt::format("{} {}: {}", what, path, error.message()));
}

}  // namespace

Result<std::shared_ptr<asio::ssl::context>> LoadTlsContext(const std::string& certificate_path,
                                                           const std::string& private_key_path) {
  std::shared_ptr<asio::ssl::context> context;
  try {
    context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  } catch (const boost::system::system_error& error) {
    return InternalError(fmt::format("TLS: {}", error.what()));
  }
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_alpn_select_cb(native, SelectProtocol, nullptr);
  if (SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(native, kTls12Ciphers) != 1) {
    return InternalError("TLS: this OpenSSL has none of the protocols or ciphers that are asked");
  }
  boost::system::error_code error;
  context->use_certificate_chain_file(certificate_path, error);
  if (error) return Failed("the TLS certificate", certificate_path, error);
  context->use_private_key_file(private_key_path, asio::ssl::context::pem, error);
  if (error) return Failed("the TLS private key", private_key_path, error);
  if (SSL_CTX_check_private_key(native) != 1) {
    ERR_clear_error();
    return InvalidArgumentError(fmt::format("the TLS private key {} is not that of certificate {}",
                                            private_key_path, certificate_path));
  }
  return context;
}

}  // namespace foretoken
