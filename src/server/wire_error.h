#ifndef FORETOKEN_SERVER_WIRE_ERROR_H_
#define FORETOKEN_SERVER_WIRE_ERROR_H_

#include <string>

#include "foretoken/status.h"

namespace foretoken {

// An error as OpenAI's clients read it: {"error": {"message", "type", "param", "code"}}.
struct WireError {
  int http_status = 500;
  std::string type;   // "invalid_request_error", "rate_limit_error", ...
  std::string param;  // the field that is wrong, as a path ("messages[0].role"); empty: none
  std::string code;   // a stable name for programs; empty: none
  std::string message;
};

// The one place where our status codes become HTTP's.
WireError WireErrorOf(const Status& status);

// The body of the answer, JSON.
std::string WireErrorBody(const WireError& error);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WIRE_ERROR_H_
