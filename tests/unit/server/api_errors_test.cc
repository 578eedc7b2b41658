#include "server/api_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ApiErrorsTest, StatusTypeAndCodeAreOpenAis) {
  const WireError invalid = InvalidRequestError("messages", "too long");
  EXPECT_EQ(invalid,
            (WireError{400, "invalid_request_error", "messages", "invalid_value", "too long"}));
  const WireError model = ModelNotFoundError("x");
  EXPECT_EQ(model.http_status, 404);
  EXPECT_EQ(model.code, "model_not_found");
  EXPECT_EQ(model.param, "model");
  EXPECT_THAT(model.message, HasSubstr("'x'"));
  EXPECT_EQ(UnauthorizedError().http_status, 401);
  EXPECT_EQ(UnauthorizedError().code, "invalid_api_key");
  EXPECT_EQ(QuotaError("full").http_status, 429);
  EXPECT_EQ(QuotaError("full").code, "rate_limit_exceeded");
  EXPECT_EQ(ClientGoneError().http_status, 499);
}

TEST(ApiErrorsTest, AModelThatCannotBeLoadedIsTheServersFaultAndHidesItsFiles) {
  for (const Status& status :
       {NotFoundError("/secret/a.gguf"), FailedPreconditionError("/secret/a.gguf"),
        ResourceExhaustedError("/secret/a.gguf"), InternalError("/secret/a.gguf")}) {
    const WireError error = ModelUnavailableError("m", status);
    EXPECT_GE(error.http_status, 500) << status.ToString();
    EXPECT_EQ(error.type, "server_error");
    EXPECT_EQ(error.code, "model_unavailable");
    EXPECT_THAT(error.message, HasSubstr("'m'"));
    EXPECT_THAT(error.message, Not(HasSubstr("/secret")));
  }
}

TEST(ApiErrorsTest, AnOverloadSaysWhenToComeBack) {
  HttpHeaders headers;
  EXPECT_EQ(OverloadedError("full", headers).http_status, 503);
  EXPECT_EQ(FindHeader(headers, "Retry-After"), "1");
}

TEST(ApiErrorsTest, AResponseKeepsItsHeadersAndNamesTheScheme) {
  const HttpResponse response = ErrorResponse(UnauthorizedError(), {{"x-a", "b"}});
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(FindHeader(response.headers, "x-a"), "b");
  EXPECT_EQ(FindHeader(response.headers, "www-authenticate"), "Bearer");
  EXPECT_EQ(FindHeader(response.headers, "content-type"), "application/json");
  const auto body = nlohmann::json::parse(response.body);
  EXPECT_EQ(body["error"]["code"], "invalid_api_key");
  EXPECT_EQ(FindHeader(ErrorResponse(QuotaError("")).headers, "www-authenticate"), std::nullopt);
}

TEST(ApiErrorsTest, AWrongMethodIsToldTheRightOnes) {
  const HttpResponse response = MethodNotAllowedResponse("PUT", "GET, HEAD");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(FindHeader(response.headers, "allow"), "GET, HEAD");
  EXPECT_EQ(nlohmann::json::parse(response.body)["error"]["code"], "method_not_allowed");
  EXPECT_THAT(response.body, HasSubstr("PUT is not possible here; use GET, HEAD"));
}

}  // namespace
}  // namespace foretoken
