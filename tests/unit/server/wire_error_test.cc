#include "server/wire_error.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace foretoken {
namespace {

TEST(WireErrorTest, EveryCodeHasAnHttpStatus) {
  EXPECT_EQ(WireErrorOf(InvalidArgumentError("x")).http_status, 400);
  EXPECT_EQ(WireErrorOf(PermissionDeniedError("x")).http_status, 403);
  EXPECT_EQ(WireErrorOf(NotFoundError("x")).http_status, 404);
  EXPECT_EQ(WireErrorOf(FailedPreconditionError("x")).http_status, 409);
  EXPECT_EQ(WireErrorOf(CancelledError("x")).http_status, 499);
  EXPECT_EQ(WireErrorOf(InternalError("x")).http_status, 500);
  EXPECT_EQ(WireErrorOf(DataLossError("x")).http_status, 500);
  EXPECT_EQ(WireErrorOf(UnimplementedError("x")).http_status, 501);
  EXPECT_EQ(WireErrorOf(ResourceExhaustedError("x")).http_status, 503);
  EXPECT_EQ(WireErrorOf(UnavailableError("x")).http_status, 503);
  EXPECT_EQ(WireErrorOf(DeadlineExceededError("x")).http_status, 504);
}

TEST(WireErrorTest, TheBodyHasOpenAisShape) {
  WireError error = WireErrorOf(InvalidArgumentError("temperature is 3; 0 to 2 is allowed"));
  error.param = "temperature";
  const auto body = nlohmann::json::parse(WireErrorBody(error));
  EXPECT_EQ(body, nlohmann::json::parse(R"({"error": {
    "message": "temperature is 3; 0 to 2 is allowed", "type": "invalid_request_error",
    "param": "temperature", "code": "invalid_value"}})"));
}

TEST(WireErrorTest, BytesThatAreNoUtf8DoNotReachTheClient) {
  const auto body = nlohmann::json::parse(WireErrorBody(WireErrorOf(InternalError("\xff!"))));
  EXPECT_EQ(body["error"]["message"], "\xEF\xBF\xBD!");
  EXPECT_TRUE(body["error"]["param"].is_null());
}

}  // namespace
}  // namespace foretoken
