#include "server/http_target.h"

#include <optional>
#include <utility>

#include "base/utf8.h"

namespace foretoken {
namespace {

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

Result<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return InvalidArgumentError("the path ends inside a '%' escape");
      const std::optional<int> high = HexDigit(text[i + 1]);
      const std::optional<int> low = HexDigit(text[i + 2]);
      if (!high || !low) {
        return InvalidArgumentError("a '%' in the path is not followed by two hex digits");
      }
      c = static_cast<char>(*high * 16 + *low);
      i += 2;
    }
    if (c == '\0') return InvalidArgumentError("the path has a NUL");
    decoded.push_back(c);
  }
  if (!IsValidUtf8(decoded)) return InvalidArgumentError("the path is not UTF-8");
  return decoded;
}

// Cuts "http://host" off, as a client that believes to talk to a proxy sends it. The scheme is
// compared exactly: no client is known to send it in capitals.
std::string_view WithoutAuthority(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t end = target.find_first_of("/?");
    return end == std::string_view::npos ? "/" : target.substr(end);
  }
  return target;
}

}  // namespace

Result<HttpTarget> ParseHttpTarget(std::string_view target) {
  const std::string_view local = WithoutAuthority(target);
  if (local.find('#') != std::string_view::npos) {
    return InvalidArgumentError("the request target has a fragment");
  }
  const size_t question = local.find('?');
  std::string_view path = local.substr(0, question);
  if (path.empty() && local.size() < target.size()) path = "/";  // "http://host?query"
  if (!path.starts_with('/')) {
    return InvalidArgumentError("the request target must begin with '/'");
  }
  Result<std::string> decoded = PercentDecode(path);
  if (!decoded.ok()) return decoded.status();
  HttpTarget parsed;
  parsed.path = std::move(decoded).value();
  if (question != std::string_view::npos) parsed.query = local.substr(question + 1);
  return parsed;
}

}  // namespace foretoken
