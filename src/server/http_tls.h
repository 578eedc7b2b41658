#ifndef FORETOKEN_SERVER_HTTP_TLS_H_
#define FORETOKEN_SERVER_HTTP_TLS_H_

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "foretoken/status.h"

namespace foretoken {

// A server's side of TLS 1.2 and 1.3 with the certificate chain and key of two PEM files.
// INVALID_ARGUMENT, naming the file, when one cannot be read or the two do not belong together.
Result<std::shared_ptr<boost::asio::ssl::context>> LoadTlsContext(
    const std::string& certificate_path, const std::string& private_key_path);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_TLS_H_
