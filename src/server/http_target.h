#ifndef FORETOKEN_SERVER_HTTP_TARGET_H_
#define FORETOKEN_SERVER_HTTP_TARGET_H_

#include <string>
#include <string_view>

#include "foretoken/status.h"

namespace foretoken {

struct HttpTarget {
  std::string path;   // percent-decoded once: valid UTF-8 without NUL that begins with '/'
  std::string query;  // as sent, without the '?'
};

// Takes a request target apart: "/path?query", or the same behind "http://host". `..` stays as it
// is: routes are matched as a whole and no file is served by its path. INVALID_ARGUMENT otherwise.
Result<HttpTarget> ParseHttpTarget(std::string_view target);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_TARGET_H_
