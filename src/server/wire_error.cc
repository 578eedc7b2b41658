#include "server/wire_error.h"

#include <nlohmann/json.hpp>

namespace foretoken {
namespace {

struct Mapping {
  int http_status;
  const char* type;
  const char* code;
};

Mapping MappingOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
    case StatusCode::kInternal:
      break;
    case StatusCode::kInvalidArgument:
      return {400, "invalid_request_error", "invalid_value"};
    case StatusCode::kNotFound:
      return {404, "invalid_request_error", "not_found"};
    case StatusCode::kFailedPrecondition:
      return {409, "invalid_request_error", "failed_precondition"};
    case StatusCode::kResourceExhausted:
      return {503, "server_error", "overloaded"};
    case StatusCode::kCancelled:
      return {499, "server_error", "cancelled"};
    case StatusCode::kDeadlineExceeded:
      return {504, "server_error", "deadline_exceeded"};
    case StatusCode::kUnavailable:
      return {503, "server_error", "unavailable"};
    case StatusCode::kDataLoss:
      return {500, "server_error", "data_loss"};
    case StatusCode::kPermissionDenied:
      return {403, "permission_error", "permission_denied"};
    case StatusCode::kUnimplemented:
      return {501, "invalid_request_error", "unimplemented"};
  }
  return {500, "server_error", "internal_error"};
}

nlohmann::json OrNull(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

}  // namespace

WireError WireErrorOf(const Status& status) {
  const Mapping mapping = MappingOf(status.code());
  return {mapping.http_status, mapping.type, "", mapping.code, status.message()};
}

std::string WireErrorBody(const WireError& error) {
  const nlohmann::json body = {{"error",
                                {{"message", error.message},
                                 {"type", error.type},
                                 {"param", OrNull(error.param)},
                                 {"code", OrNull(error.code)}}}};
  // A message may quote bytes of the client's that are no UTF-8.
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace foretoken
