#ifndef FORETOKEN_SERVER_BEARER_H_
#define FORETOKEN_SERVER_BEARER_H_

#include <string_view>

#include "server/http_message.h"

namespace foretoken {

// The key of "Authorization: Bearer KEY", "Bearer" in any case; empty when there is none.
std::string_view BearerOf(const HttpHeaders& headers);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_BEARER_H_
