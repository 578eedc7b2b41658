#include "server/api_errors.h"

#include <utility>

#include <fmt/format.h>

namespace foretoken {

WireError InvalidRequestError(std::string param, std::string message) {
  WireError error = WireErrorOf(InvalidArgumentError(std::move(message)));
  error.param = std::move(param);
  return error;
}

WireError ModelNotFoundError(std::string_view name) {
  return {404, "invalid_request_error", "model", "model_not_found",
          fmt::format("the model '{}' does not exist or you have no access to it; GET /v1/models "
                      "lists those you can use",
                      name)};
}

WireError ModelUnavailableError(std::string_view name, const Status& status) {
  WireError error = WireErrorOf(status);
  // Whatever it is, the request is not wrong: the operator's files or memory are.
  if (error.http_status < 500) error.http_status = 503;
  error.type = "server_error";
  error.code = "model_unavailable";
  // The reason names files of the operator's, which are not the client's to know.
  error.message = fmt::format("the model '{}' cannot be loaded now", name);
  return error;
}

WireError UnauthorizedError() {
  return {401, "invalid_request_error", "", "invalid_api_key",
          "a valid API key is wanted: Authorization: Bearer KEY"};
}

WireError QuotaError(std::string message) {
  return {429, "rate_limit_error", "", "rate_limit_exceeded", std::move(message)};
}

WireError OverloadedError(std::string message, HttpHeaders& headers) {
  headers.emplace_back("retry-after", "1");
  return WireErrorOf(ResourceExhaustedError(std::move(message)));
}

WireError ClientGoneError() {
  return WireErrorOf(CancelledError("the client closed the connection"));
}

HttpResponse ErrorResponse(const WireError& error, HttpHeaders headers) {
  headers.emplace_back("content-type", "application/json");
  if (error.http_status == 401) headers.emplace_back("www-authenticate", "Bearer");
  return {error.http_status, std::move(headers), WireErrorBody(error)};
}

HttpResponse MethodNotAllowedResponse(std::string_view method, std::string_view allowed) {
  WireError error = WireErrorOf(
      InvalidArgumentError(fmt::format("{} is not possible here; use {}", method, allowed)));
  error.http_status = 405;
  error.code = "method_not_allowed";
  return ErrorResponse(error, {{"allow", std::string(allowed)}});
}

}  // namespace foretoken
