// Any bytes, in any pieces: the same request or refusal, within the limits, and nothing of the
// next.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/utf8.h"
#include "server/http_request_id.h"
#include "server/http_request_parser.h"
#include "server/http_response_head.h"

namespace {

using foretoken::HttpLimits;
using foretoken::HttpRequest;
using foretoken::HttpRequestParser;

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

struct Outcome {
  int refused = 0;
  bool done = false;
  size_t used = 0;
  HttpRequest request;
};

// Gives the parser `first` bytes more, then `later` bytes more each time.
Outcome Parse(std::string_view bytes, const HttpLimits& limits, size_t first, size_t later) {
  HttpRequestParser parser(limits);
  Outcome outcome;
  size_t end = std::min(first, bytes.size());
  while (!parser.refusal() && !parser.done()) {
    const std::string_view unread = bytes.substr(outcome.used, end - outcome.used);
    const size_t taken = parser.Feed(unread);
    Require(taken <= unread.size());
    outcome.used += taken;
    if (taken > 0) continue;
    if (end == bytes.size()) break;
    end = std::min(end + later, bytes.size());
  }
  if (parser.refusal()) outcome.refused = parser.refusal()->status;
  outcome.done = parser.done();
  Require(!outcome.done || outcome.refused == 0);
  if (parser.head_done()) {
    // These may be asked from here on.
    static_cast<void>(parser.keep_alive() || parser.expects_continue());
    Require(!parser.asks_for_websocket() || outcome.done);
  }
  outcome.request = std::move(parser.request());
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t first = data[0];
  const size_t later = 1 + data[1];
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  HttpLimits limits;
  limits.header_bytes = 512;
  limits.header_count = 8;
  limits.target_bytes = 64;
  limits.body_bytes = 128;
  const Outcome whole = Parse(bytes, limits, bytes.size(), 1);
  const Outcome pieces = Parse(bytes, limits, first, later);
  // A refusal may come sooner in one piece than in many; a request may not come of one only.
  Require(whole.done == pieces.done);
  if (!whole.done) return 0;
  Require(whole.used == pieces.used);
  const HttpRequest& request = whole.request;
  Require(request.path == pieces.request.path && request.query == pieces.request.query &&
          request.method == pieces.request.method && request.body == pieces.request.body &&
          request.headers == pieces.request.headers);
  Require(request.path.starts_with('/') && foretoken::IsValidUtf8(request.path) &&
          request.path.find('\0') == std::string::npos);
  Require(request.body.size() <= limits.body_bytes);
  Require(request.headers.size() <= limits.header_count);
  for (const auto& [name, value] : request.headers) {
    Require(!name.empty() && value.find_first_of("\r\n") == std::string::npos);
  }

  // Whatever a client wrote, sent back in a header, stays one line.
  foretoken::HttpResponse response;
  response.headers = {{"x-echo", std::string(bytes)}, {std::string(bytes.substr(0, 9)), "x"}};
  foretoken::ResponseFraming framing;
  const std::string id = foretoken::RequestIdOf(request.headers);
  framing.request_id = id;
  const std::string head = foretoken::SerializeResponseHead(response, framing);
  Require(head.find("\r\n\r\n") == head.size() - 4);
  const auto lines = std::count(head.begin(), head.end(), '\n');
  Require(lines >= 9 && lines <= 10);
  return 0;
}
