#include "server/wire_json.h"

#include <string>

#include <fmt/format.h>

#include "base/json_depth.h"
#include "base/utf8.h"

namespace foretoken {
namespace {

WireError BadBody(std::string message) {
  return {400, "invalid_request_error", "", "invalid_json", std::move(message)};
}

}  // namespace

WireResult<nlohmann::json> ParseJsonObject(std::string_view body) {
  if (body.empty()) return BadBody("the body is empty; a JSON object is expected");
  if (!IsValidUtf8(body)) return BadBody("the body is not UTF-8");
  if (IsJsonTooDeep(body)) {
    return BadBody(fmt::format(
        "the body has objects and arrays more than {} deep inside each other", kMaxJsonDepth));
  }
  try {
    nlohmann::json parsed = nlohmann::json::parse(body);
    if (!parsed.is_object()) {
      return BadBody(fmt::format("the body is {}; it must be a JSON object", JsonTypeName(parsed)));
    }
    return parsed;
  } catch (const nlohmann::json::parse_error& error) {
    return BadBody(fmt::format("the body is not JSON: it goes wrong at byte {}", error.byte));
  } catch (const nlohmann::json::exception&) {
    return BadBody("the body has a number that is too large for a double");
  }
}

std::string_view JsonTypeName(const nlohmann::json& value) {
  switch (value.type()) {
    case nlohmann::json::value_t::null:
      return "null";
    case nlohmann::json::value_t::boolean:
      return "a boolean";
    case nlohmann::json::value_t::string:
      return "a string";
    case nlohmann::json::value_t::array:
      return "an array";
    case nlohmann::json::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

}  // namespace foretoken
