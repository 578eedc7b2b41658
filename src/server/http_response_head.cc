#include "server/http_response_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/status.hpp>
#include <iterator>

namespace foretoken {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// Named as HttpHeaders has it, so that FindHeader compares them.
const HttpHeaders& OwnHeaders() {
  static const HttpHeaders headers = {{"connection", ""},  {"content-length", ""},
                                      {"date", ""},        {"keep-alive", ""},
                                      {"server", ""},      {"transfer-encoding", ""},
                                      {"upgrade", ""},     {"x-content-type-options", ""},
                                      {"x-request-id", ""}};
  return headers;
}

bool IsTokenCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), IsTokenCharacter);
}

std::string HeaderValue(std::string value) {
  for (char& c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return value;
}

std::string_view ReasonOf(int status) {
  namespace http = boost::beast::http;
  const auto known = http::int_to_status(static_cast<unsigned>(status));
  if (known == http::status::unknown) return "Unknown";
  const auto reason = http::obsolete_reason(known);
  return {reason.data(), reason.size()};
}

}  // namespace

bool StatusHasBody(int status) {
  return status >= 200 && status != 204 && status != 304;
}

std::string HttpDate(std::time_t time) {
  std::tm utc{};
  gmtime_r(&time, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                     kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

std::string SerializeResponseHead(const HttpResponse& response, const ResponseFraming& framing) {
  std::string head;
  auto out = std::back_inserter(head);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\n", response.status, ReasonOf(response.status));
  for (const auto& [name, value] : response.headers) {
    if (!IsToken(name) || FindHeader(OwnHeaders(), name)) continue;
    fmt::format_to(out, "{}: {}\r\n", name, HeaderValue(value));
  }
  fmt::format_to(out, "date: {}\r\nserver: foretoken\r\nx-content-type-options: nosniff\r\n",
                 HttpDate(std::time(nullptr)));
  fmt::format_to(out, "x-request-id: {}\r\n", framing.request_id);
  fmt::format_to(out, "connection: {}\r\n", framing.keep_alive ? "keep-alive" : "close");
  if (StatusHasBody(response.status)) {
    if (framing.body == BodyFraming::kLength) {
      fmt::format_to(out, "content-length: {}\r\n", framing.body_bytes);
    } else if (framing.body == BodyFraming::kChunked) {
      head += "transfer-encoding: chunked\r\n";
    }
  }
  head += "\r\n";
  return head;
}

}  // namespace foretoken
