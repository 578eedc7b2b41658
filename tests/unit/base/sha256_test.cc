#include "base/sha256.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace foretoken {
namespace {

// FIPS 180-2, appendix B.
TEST(Sha256Test, KnownAnswers) {
  Sha256 hash;
  hash.Update("a", 1);
  hash.Update("bc", 2);
  EXPECT_EQ(hash.HexDigest(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().HexDigest(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256Test, HashesAFileAndReportsProgress) {
  const std::string path = testing::TempDir() + "/sha256_test.bin";
  std::FILE* file = std::fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fwrite("abc", 1, 3, file), 3u);
  std::fclose(file);
  uint64_t last = 0;
  auto digest = Sha256OfFile(path, [&last](uint64_t bytes) { last = bytes; });
  ASSERT_TRUE(digest.ok()) << digest.status().ToString();
  EXPECT_EQ(*digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(last, 3u);
  std::remove(path.c_str());
}

TEST(Sha256Test, AMissingFileIsNamed) {
  auto digest = Sha256OfFile("/no/such/file");
  EXPECT_EQ(digest.status().code(), StatusCode::kNotFound);
  EXPECT_NE(digest.status().message().find("/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace foretoken
