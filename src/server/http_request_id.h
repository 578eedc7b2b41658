#ifndef FORETOKEN_SERVER_HTTP_REQUEST_ID_H_
#define FORETOKEN_SERVER_HTTP_REQUEST_ID_H_

#include <string>

#include "server/http_message.h"

namespace foretoken {

// The client's x-request-id where it is 1 to 128 of [A-Za-z0-9._-], else 128 random bits in hex.
std::string RequestIdOf(const HttpHeaders& headers);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_REQUEST_ID_H_
