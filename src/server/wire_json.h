#ifndef FORETOKEN_SERVER_WIRE_JSON_H_
#define FORETOKEN_SERVER_WIRE_JSON_H_

#include <string_view>

#include <nlohmann/json.hpp>

#include "server/wire_error.h"

namespace foretoken {

// The JSON object that a request's body is. Anything else is an error that says where it stops
// being one: other JSON, invalid UTF-8, deeper than kMaxJsonDepth (base/json_depth.h), a number
// past a double's range. Of equal keys in one object the last counts, as in other readers.
WireResult<nlohmann::json> ParseJsonObject(std::string_view body);

// "a string", "an object", ...: for messages.
std::string_view JsonTypeName(const nlohmann::json& value);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WIRE_JSON_H_
