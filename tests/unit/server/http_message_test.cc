#include "server/http_message.h"

#include <gtest/gtest.h>

namespace foretoken {
namespace {

TEST(HttpMessageTest, AHeaderIsFoundWhateverItsCase) {
  const HttpHeaders headers = {{"Content-Type", "text/plain"}, {"X-A", "1"}, {"x-a", "2"}};
  EXPECT_EQ(FindHeader(headers, "content-TYPE"), "text/plain");
  EXPECT_EQ(FindHeader(headers, "x-a"), "1");
  EXPECT_EQ(FindHeader(headers, "x"), std::nullopt);
  EXPECT_EQ(FindHeader(headers, "x-ab"), std::nullopt);
}

}  // namespace
}  // namespace foretoken
