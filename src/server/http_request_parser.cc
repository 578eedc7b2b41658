#include "server/http_request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <cstdint>
#include <utility>

#include "server/http_target.h"

namespace foretoken {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

// "0\r\n\r\n", the shortest end of a chunked body.
constexpr size_t kShortestChunkEnd = 5;
constexpr size_t kMaxMethodBytes = 32;
constexpr size_t kMaxMethodAndVersionBytes = 64;
constexpr uint64_t kMaxChunkExtensionBytes = 16 * 1024;

std::string_view View(beast::string_view text) {
  return {text.data(), text.size()};
}

bool IsDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The characters of a host and a port; the rest could mean another thing to someone else.
bool IsHost(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~!$&'()*+,;=:[]%").find(c) != std::string_view::npos;
  });
}

}  // namespace

class HttpRequestParser::Impl final : public http::basic_parser<true> {
 public:
  explicit Impl(const HttpLimits& limits) : limits_(limits) {
    header_limit(limits.header_bytes);
    body_limit(limits.body_bytes);
  }

  size_t Feed(std::string_view bytes) {
    size_t used = 0;
    if (!got_some()) {
      // RFC 9112, 2.2: an empty line before the request line is ignored. One, not any number.
      if (!skipped_line_ && bytes == "\r") return 0;
      if (!skipped_line_ && bytes.starts_with("\r\n")) {
        skipped_line_ = true;
        used = 2;
      }
    }
    const bool head_was_done = is_header_done();
    while (used < bytes.size() && !is_done() && !refusal_ && is_header_done() == head_was_done) {
      const std::string_view rest = bytes.substr(used);
      // Every chunk's head is followed by this much at least; with less, Beast has assertions that
      // a peer can reach.
      const bool at_chunk_head = AtChunkHead();
      if (at_chunk_head && rest.size() < kShortestChunkEnd) break;
      beast::error_code error;
      const size_t taken = put(boost::asio::buffer(rest.data(), rest.size()), error);
      used += taken;
      if (!head_was_done) header_bytes_ += taken;
      if (at_chunk_head && taken > limits_.header_bytes) RefuseTrailers();
      if (error == http::error::need_more) {
        LimitUnread(bytes.substr(used));
        break;
      }
      if (error && !refusal_) RefuseFor(error, bytes.substr(used));
    }
    if (!refusal_ && !head_was_done && header_bytes_ > limits_.header_bytes) RefuseHeaderBytes();
    return used;
  }

  bool failed() const { return refusal_.has_value(); }
  const std::optional<HttpRefusal>& refusal() const { return refusal_; }
  HttpRequest& request() { return request_; }
  bool http_1_1() const { return http_1_1_; }

  bool expects_continue() const {
    const auto expect = FindHeader(request_.headers, "expect");
    return http_1_1_ && expect && beast::iequals("100-continue", {expect->data(), expect->size()});
  }

  bool asks_for_websocket() const {
    const auto protocol = FindHeader(request_.headers, "upgrade");
    return upgrade() && http_1_1_ && request_.method == "GET" && is_done() && protocol &&
           beast::iequals("websocket", {protocol->data(), protocol->size()});
  }

 private:
  bool AtChunkHead() const {
    return is_header_done() && chunked() && !is_done() && chunk_bytes_left_ == 0;
  }

  void Refuse(int status, std::string message, beast::error_code& error) {
    refusal_ = HttpRefusal{status, std::move(message)};
    error = http::error::bad_value;  // stops Beast; the refusal says more
  }

  void RefuseHeaderBytes() {
    refusal_ = {431,
                fmt::format("the request's head is larger than {} bytes", limits_.header_bytes)};
  }

  // What Beast leaves to its caller to keep: a head or a chunk's head that does not end.
  void LimitUnread(std::string_view unread) {
    if (is_header_done()) {
      if (unread.size() >= limits_.header_bytes) RefuseTrailers();
    } else if (IsLongTarget(unread)) {
      RefuseTarget();
    } else if (header_bytes_ + unread.size() > limits_.header_bytes) {
      RefuseHeaderBytes();
    }
  }

  // Whether the request line goes on past any target that is allowed.
  bool IsLongTarget(std::string_view unread) const {
    const size_t longest = limits_.target_bytes + kMaxMethodAndVersionBytes;
    return request_.method.empty() && unread.size() > longest &&
           unread.substr(0, longest).find('\n') == std::string_view::npos;
  }

  void RefuseTrailers() { refusal_ = {400, "a chunk's head or the trailers are too large"}; }

  void RefuseTarget() {
    refusal_ = {414,
                fmt::format("the request target is longer than {} bytes", limits_.target_bytes)};
  }

  void RefuseFor(const beast::error_code& error, std::string_view unread) {
    if (error == http::error::header_limit && IsLongTarget(unread)) {
      RefuseTarget();
    } else if (error == http::error::header_limit) {
      RefuseHeaderBytes();
    } else if (error == http::error::body_limit) {
      refusal_ = {413, fmt::format("the body is larger than {} bytes", limits_.body_bytes)};
    } else if (error == http::error::bad_version && NamesAVersion(unread)) {
      refusal_ = {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    } else {
      refusal_ = {400, fmt::format("the request is malformed: {}", error.message())};
    }
  }

  static bool NamesAVersion(std::string_view unread) {
    const std::string_view line = unread.substr(0, unread.find("\r\n"));
    const size_t at = line.rfind(" HTTP/");
    if (at == std::string_view::npos) return false;
    const std::string_view version = line.substr(at + 6);
    return version.size() == 3 && version[1] == '.' && IsDigits(version.substr(0, 1)) &&
           IsDigits(version.substr(2));
  }

  void on_request_impl(http::verb, beast::string_view method, beast::string_view target,
                       int version, beast::error_code& error) override {
    http_1_1_ = version == 11;
    request_.method = View(method);
    if (target.size() > limits_.target_bytes) {
      RefuseTarget();
      error = http::error::bad_target;
      return;
    }
    if (method == "CONNECT" || method.size() > kMaxMethodBytes) {
      return Refuse(501, "this method is not implemented", error);
    }
    Result<HttpTarget> parsed = ParseHttpTarget(View(target));
    if (!parsed.ok()) return Refuse(400, parsed.status().message(), error);
    request_.path = std::move(parsed->path);
    request_.query = std::move(parsed->query);
  }

  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}

  void on_field_impl(http::field, beast::string_view name, beast::string_view value,
                     beast::error_code& error) override {
    if (++header_count_ > limits_.header_count) {
      return Refuse(431, fmt::format("more than {} headers", limits_.header_count), error);
    }
    // A trailer must not pass for a header that was checked, and nobody here needs one.
    if (is_header_done()) return;
    request_.headers.emplace_back(View(name), View(value));
  }

  void on_header_impl(beast::error_code& error) override {
    std::string_view host;
    std::string_view length;
    std::string_view encoding;
    std::string_view expect;
    size_t hosts = 0;
    size_t lengths = 0;
    size_t encodings = 0;
    for (const auto& [name, value] : request_.headers) {
      if (beast::iequals(name, "host")) {
        host = value;
        ++hosts;
      } else if (beast::iequals(name, "content-length")) {
        length = value;
        ++lengths;
      } else if (beast::iequals(name, "transfer-encoding")) {
        encoding = value;
        ++encodings;
      } else if (beast::iequals(name, "expect")) {
        expect = value;
      }
    }
    if (hosts > 1 || (http_1_1_ && hosts == 0) || !IsHost(host)) {
      return Refuse(400, "a request needs one well-formed Host header", error);
    }
    if (lengths > 1 || (lengths == 1 && !IsDigits(length))) {
      return Refuse(400, "Content-Length must be one number", error);
    }
    if (encodings > 0) {
      if (lengths > 0) {
        return Refuse(400, "Content-Length and Transfer-Encoding exclude each other", error);
      }
      if (!http_1_1_ || encodings > 1) {
        return Refuse(400, "Transfer-Encoding must come once, in HTTP/1.1", error);
      }
      if (!beast::iequals("chunked", {encoding.data(), encoding.size()})) {
        return Refuse(501, "the only Transfer-Encoding understood is \"chunked\"", error);
      }
    }
    if (!expect.empty() && !beast::iequals("100-continue", {expect.data(), expect.size()})) {
      return Refuse(417, "the only expectation understood is \"100-continue\"", error);
    }
  }

  // The body grows as it comes: a length that is announced costs nothing.
  void on_body_init_impl(const boost::optional<uint64_t>&, beast::error_code&) override {}

  size_t on_body_impl(beast::string_view body, beast::error_code&) override {
    request_.body.append(body.data(), body.size());
    return body.size();
  }

  void on_chunk_header_impl(uint64_t size, beast::string_view extensions,
                            beast::error_code& error) override {
    chunk_bytes_left_ = size;
    chunk_extension_bytes_ += extensions.size();
    // Inside a quoted value Beast lets any byte pass, a line end among them.
    const bool printable = std::all_of(extensions.begin(), extensions.end(), [](char c) {
      return static_cast<unsigned char>(c) >= 0x20 || c == '\t';
    });
    if (!printable || chunk_extension_bytes_ > kMaxChunkExtensionBytes) {
      Refuse(400, "the chunk extensions are malformed or too large", error);
    }
  }

  size_t on_chunk_body_impl(uint64_t, beast::string_view body, beast::error_code&) override {
    request_.body.append(body.data(), body.size());
    chunk_bytes_left_ -= body.size();
    return body.size();
  }

  void on_finish_impl(beast::error_code&) override {}

  const HttpLimits limits_;
  HttpRequest request_;
  std::optional<HttpRefusal> refusal_;
  bool skipped_line_ = false;
  bool http_1_1_ = false;
  size_t header_bytes_ = 0;
  size_t header_count_ = 0;  // trailers included
  uint64_t chunk_bytes_left_ = 0;
  uint64_t chunk_extension_bytes_ = 0;
};

HttpRequestParser::HttpRequestParser(const HttpLimits& limits)
    : impl_(std::make_unique<Impl>(limits)) {}
HttpRequestParser::~HttpRequestParser() = default;
HttpRequestParser::HttpRequestParser(HttpRequestParser&&) noexcept = default;
HttpRequestParser& HttpRequestParser::operator=(HttpRequestParser&&) noexcept = default;

size_t HttpRequestParser::Feed(std::string_view bytes) {
  return impl_->Feed(bytes);
}
bool HttpRequestParser::head_done() const {
  return impl_->is_header_done() && !impl_->failed();
}
bool HttpRequestParser::done() const {
  return impl_->is_done() && !impl_->failed();
}
const std::optional<HttpRefusal>& HttpRequestParser::refusal() const {
  return impl_->refusal();
}
HttpRequest& HttpRequestParser::request() {
  return impl_->request();
}
bool HttpRequestParser::http_1_1() const {
  return impl_->http_1_1();
}
bool HttpRequestParser::keep_alive() const {
  return impl_->keep_alive();
}
bool HttpRequestParser::expects_continue() const {
  return impl_->expects_continue();
}
bool HttpRequestParser::asks_for_websocket() const {
  return impl_->asks_for_websocket();
}

}  // namespace foretoken
