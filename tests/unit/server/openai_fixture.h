#ifndef FORETOKEN_UNIT_SERVER_OPENAI_FIXTURE_H_
#define FORETOKEN_UNIT_SERVER_OPENAI_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>

#include "server/openai_request.h"

namespace foretoken {

// A body that is wrong, and what is said of it.
struct WrongRequest {
  std::string body;
  std::string param;
  std::string code;
  std::string message;
};

template <typename Request>
void ExpectWrong(const WireResult<Request>& parsed, const WrongRequest& expected) {
  ASSERT_FALSE(parsed.ok()) << expected.body;
  const WireError& error = parsed.error();
  EXPECT_EQ(error.http_status, 400) << expected.body;
  EXPECT_EQ(error.type, "invalid_request_error") << expected.body;
  EXPECT_EQ(error.param, expected.param) << expected.body;
  EXPECT_EQ(error.code, expected.code) << expected.body;
  EXPECT_EQ(error.message, expected.message) << expected.body;
}

template <typename Request>
Request ExpectRight(WireResult<Request> parsed) {
  EXPECT_TRUE(parsed.ok()) << parsed.error().param << ": " << parsed.error().message;
  return parsed.ok() ? std::move(parsed).value() : Request();
}

// A chat request of one message, with more fields.
inline std::string ChatBody(const std::string& fields) {
  return R"({"model": "m", "messages": [{"role": "user", "content": "hi"}])" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_OPENAI_FIXTURE_H_
