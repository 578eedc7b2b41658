#include "server/http_request_id.h"

#include <gtest/gtest.h>

#include <string>

namespace foretoken {
namespace {

bool IsOurs(const std::string& id) {
  return id.size() == 32 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

TEST(HttpRequestIdTest, AWellFormedIdOfTheClientsIsKept) {
  EXPECT_EQ(RequestIdOf({{"X-Request-ID", "run_7.a-B"}}), "run_7.a-B");
  const std::string longest(128, 'x');
  EXPECT_EQ(RequestIdOf({{"x-request-id", longest}}), longest);
}

TEST(HttpRequestIdTest, AnotherIsReplaced) {
  for (const std::string& sent : {std::string(), std::string(129, 'x'), std::string("a b"),
                                  std::string("a\"b"), std::string("a\xC3\xA9")}) {
    EXPECT_TRUE(IsOurs(RequestIdOf({{"x-request-id", sent}}))) << sent;
  }
}

TEST(HttpRequestIdTest, NewIdsDiffer) {
  const std::string id = RequestIdOf({});
  EXPECT_TRUE(IsOurs(id)) << id;
  EXPECT_NE(id, RequestIdOf({}));
}

}  // namespace
}  // namespace foretoken
