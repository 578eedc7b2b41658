#ifndef FORETOKEN_SERVER_HTTP_MESSAGE_H_
#define FORETOKEN_SERVER_HTTP_MESSAGE_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace foretoken {

// Names and values in the order in which they were sent. Names compare without regard to case.
using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// The first header of that name; empty when there is none.
std::optional<std::string_view> FindHeader(const HttpHeaders& headers, std::string_view name);

// A request that was read whole, within the listener's limits.
struct HttpRequest {
  std::string method;  // upper case
  std::string path;    // percent-decoded, without the query; begins with '/'
  std::string query;   // as sent, without the '?'
  HttpHeaders headers;
  std::string body;
  std::string remote_address;  // of the peer, without its port
  std::string request_id;      // the client's x-request-id where it is well-formed, else a new one
};

// What is sent back. The transport adds content-length, date, connection and x-request-id.
struct HttpResponse {
  int status = 200;
  HttpHeaders headers;
  std::string body;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_MESSAGE_H_
