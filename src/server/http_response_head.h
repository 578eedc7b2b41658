#ifndef FORETOKEN_SERVER_HTTP_RESPONSE_HEAD_H_
#define FORETOKEN_SERVER_HTTP_RESPONSE_HEAD_H_

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "server/http_message.h"

namespace foretoken {

enum class BodyFraming { kLength, kChunked, kUntilClose };

// What the transport knows of an answer beyond what the handler said.
struct ResponseFraming {
  BodyFraming body = BodyFraming::kLength;
  uint64_t body_bytes = 0;  // kLength only
  bool keep_alive = true;
  std::string_view request_id;
};

// Whether an answer of that status has a body at all.
bool StatusHasBody(int status);

// Status line, headers and the empty line. Headers that are the transport's (content-length, date,
// connection, ...) are dropped from the response's own, and so are those whose name is no token;
// control characters in values become spaces: nothing that a client wrote can end a line.
std::string SerializeResponseHead(const HttpResponse& response, const ResponseFraming& framing);

// "Tue, 15 Nov 1994 08:12:31 GMT", whatever the locale.
std::string HttpDate(std::time_t time);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_RESPONSE_HEAD_H_
