#ifndef FORETOKEN_SERVER_API_ERRORS_H_
#define FORETOKEN_SERVER_API_ERRORS_H_

#include <string>
#include <string_view>

#include "server/http_message.h"
#include "server/wire_error.h"

namespace foretoken {

// The API's own refusals. Each says what to change.

WireError InvalidRequestError(std::string param, std::string message);
// The same for a model that does not exist and one that the tenant may not use.
WireError ModelNotFoundError(std::string_view name);
WireError ModelUnavailableError(std::string_view name, const Status& status);
// 401. Says nothing of why: not whether a key exists.
WireError UnauthorizedError();
// 429.
WireError QuotaError(std::string message);
// 503, with Retry-After added to `headers`.
WireError OverloadedError(std::string message, HttpHeaders& headers);
// 499: nobody reads it.
WireError ClientGoneError();

HttpResponse ErrorResponse(const WireError& error, HttpHeaders headers = {});
// 405. `allowed`: the methods there are, as the header Allow has them.
HttpResponse MethodNotAllowedResponse(std::string_view method, std::string_view allowed);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_API_ERRORS_H_
