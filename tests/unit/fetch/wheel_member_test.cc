#include "fetch/wheel_member.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "unit/fetch/temporary_directory.h"
#include "unit/fetch/test_wheel.h"

namespace foretoken {
namespace {

using testing::HasSubstr;

// Does not compress to nothing, so that damage can hit it.
std::string Content() {
  std::string content;
  uint32_t state = 1;
  for (int i = 0; i < 600'000; ++i) {
    state = state * 1664525u + 1013904223u;
    content.push_back(static_cast<char>(state >> 24));
  }
  return content;
}

class WheelMemberTest : public testing::Test {
 protected:
  WheelMemberTest() { WriteWheel(wheel_, "package/data/part01.bin", content_); }
  Status Read(const std::string& member, uint64_t bytes) {
    text_.clear();
    return ReadWheelMember(wheel_, member, bytes, [this](std::span<const char> data) {
      text_.append(data.data(), data.size());
      return refusal_;
    });
  }

  TemporaryDirectory directory_;
  const std::string wheel_ = directory_.Path("package-1.0-py3-none-any.whl");
  const std::string content_ = Content();
  std::string text_;
  Status refusal_;
};

TEST_F(WheelMemberTest, UnpacksOneFile) {
  ASSERT_EQ(Read("package/data/part01.bin", content_.size()), OkStatus());
  EXPECT_EQ(text_, content_);
}

TEST_F(WheelMemberTest, AMissingMemberIsNamed) {
  const Status status = Read("package/data/part02.bin", 1);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("package-1.0-py3-none-any.whl has no file"));
  EXPECT_THAT(status.message(), HasSubstr("part02.bin"));
}

TEST_F(WheelMemberTest, AnotherSizeIsFoundBeforeUnpacking) {
  EXPECT_EQ(Read("package/data/part01.bin", content_.size() + 1).code(), StatusCode::kDataLoss);
  EXPECT_EQ(text_, "");
}

TEST_F(WheelMemberTest, DamageIsFound) {
  std::string bytes = directory_.Read("package-1.0-py3-none-any.whl");
  bytes[bytes.size() / 2] ^= 1;
  directory_.Write("package-1.0-py3-none-any.whl", bytes);
  EXPECT_EQ(Read("package/data/part01.bin", content_.size()).code(), StatusCode::kDataLoss);

  directory_.Write("package-1.0-py3-none-any.whl", bytes.substr(0, bytes.size() / 2));
  EXPECT_EQ(Read("package/data/part01.bin", content_.size()).code(), StatusCode::kDataLoss);
}

TEST_F(WheelMemberTest, TheReadersErrorIsTheResult) {
  refusal_ = ResourceExhaustedError("no room here");
  EXPECT_EQ(Read("package/data/part01.bin", content_.size()), refusal_);
  EXPECT_LT(text_.size(), content_.size());
}

}  // namespace
}  // namespace foretoken
