#include "speculative/suffix_store_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using testing::TempDirectory;

const SuffixStoreIdentity kIdentity{"tenant a", 0x0123456789abcdef, 1000};
const std::vector<StoredText> kTexts = {{{1, 2, 3, 999}, 0}, {{}, 0}, {{5, 6, 7}, 2}, {{0}, 1}};
constexpr size_t kDigestBytes = 64;
constexpr size_t kTextsOffset = 32 + 8;  // header and name

std::string Encoded() {
  return EncodeSuffixStore(kIdentity, kTexts);
}

// The same file with `bytes` at `offset` and a checksum that holds.
std::string Forged(size_t offset, const std::string& bytes) {
  std::string file = Encoded();
  file.resize(file.size() - kDigestBytes);
  file.replace(offset, bytes.size(), bytes);
  SealSuffixStore(file);
  return file;
}

Status Decode(std::string_view bytes, const SuffixStoreIdentity& identity = kIdentity) {
  return DecodeSuffixStore(bytes, identity).status();
}

void ExpectStatus(const Status& status, StatusCode code, const std::string& part) {
  EXPECT_EQ(status.code(), code) << status.ToString();
  EXPECT_NE(status.message().find(part), std::string::npos) << status.ToString();
}

size_t FileCount(const TempDirectory& directory) {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator(directory.path()), {}));
}

TEST(SuffixStoreFileTest, WhatIsEncodedIsDecoded) {
  const auto texts = DecodeSuffixStore(Encoded(), kIdentity);
  ASSERT_TRUE(texts.ok()) << texts.status().ToString();
  ASSERT_EQ(texts->size(), kTexts.size());
  for (size_t i = 0; i < kTexts.size(); ++i) {
    EXPECT_EQ((*texts)[i].tokens, kTexts[i].tokens);
    EXPECT_EQ((*texts)[i].context_tokens, kTexts[i].context_tokens);
  }
  EXPECT_EQ(EncodeSuffixStore(kIdentity, *texts), Encoded());
  EXPECT_TRUE(DecodeSuffixStore(EncodeSuffixStore(kIdentity, {}), kIdentity)->empty());
}

TEST(SuffixStoreFileTest, TheFormatStaysAsItIs) {
  const std::string file = Encoded();
  EXPECT_EQ(file.substr(0, 8), "FTSUFFIX");
  EXPECT_EQ(file.substr(8, 8), std::string("\1\0\0\0\10\0\0\0", 8));
  EXPECT_EQ(file.substr(24, 16), "\xef\xcd\xab\x89\x67\x45\x23\x01tenant a");
  EXPECT_EQ(file.substr(40, 16), std::string("\4\0\0\0\4\0\0\0\0\0\0\0\1\0\0\0", 16));
  EXPECT_EQ(file.size(), 40u + 4 + 4 * 8 + 8 * 4 + 64);
}

TEST(SuffixStoreFileTest, EveryTruncationIsRefused) {
  const std::string file = Encoded();
  for (size_t size = 0; size < file.size(); ++size) {
    ExpectStatus(Decode(std::string_view(file).substr(0, size)), StatusCode::kDataLoss, "at byte");
  }
  ExpectStatus(Decode(file + "x"), StatusCode::kDataLoss, "the header says");
}

TEST(SuffixStoreFileTest, EveryFlippedBitIsRefused) {
  for (size_t offset = 0; offset < Encoded().size(); ++offset) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string file = Encoded();
      file[offset] = static_cast<char>(file[offset] ^ (1 << bit));
      const Status status = Decode(file);
      const bool is_version = offset >= 8 && offset < 12;
      ASSERT_EQ(status.code(), is_version ? StatusCode::kFailedPrecondition : StatusCode::kDataLoss)
          << offset << " " << status.ToString();
    }
  }
}

// A checksum is no proof of good will.
TEST(SuffixStoreFileTest, NoNumberIsBelievedUnchecked) {
  const std::string huge = "\xff\xff\xff\xff";
  const auto expect_loss = [](const std::string& file, const std::string& part) {
    ExpectStatus(Decode(file), StatusCode::kDataLoss, part);
  };
  expect_loss(Forged(12, huge), "a name of 4294967295 bytes at byte 12");
  expect_loss(Forged(kTextsOffset, huge), "the file ends in a text");
  expect_loss(Forged(kTextsOffset, std::string("\1\0\0\0", 4)), "bytes behind the last text");
  expect_loss(Forged(kTextsOffset + 4, huge), "a text of 4294967295 tokens");
  expect_loss(Forged(kTextsOffset + 8, std::string("\5\0\0\0", 4)), "5 tokens of context in 4");
  expect_loss(Forged(kTextsOffset + 12, huge), "token -1 of a vocabulary of 1000 at byte 52");
  expect_loss(Forged(kTextsOffset + 12, std::string("\xe8\3\0\0", 4)), "token 1000");
  EXPECT_TRUE(Decode(Forged(kTextsOffset + 12, std::string("\xe7\3\0\0", 4))).ok());
  expect_loss(EncodeSuffixStore(kIdentity, {{std::vector<TokenId>(281, 1), 0}}), "281 tokens");
  // Every number of four bytes at every place: an error or a value, never a crash.
  for (size_t offset = 12; offset + 4 <= Encoded().size() - kDigestBytes; ++offset) {
    for (const std::string& number : {huge, std::string("\0\0\0\x80", 4), std::string(4, '\0')}) {
      static_cast<void>(Decode(Forged(offset, number)));
    }
  }
}

TEST(SuffixStoreFileTest, ANameWithoutTextsIsRefused) {
  std::string file = EncodeSuffixStore(kIdentity, {});
  file.resize(file.size() - kDigestBytes - 4);
  SealSuffixStore(file);
  ExpectStatus(Decode(file), StatusCode::kDataLoss, "the file ends before its texts");
}

TEST(SuffixStoreFileTest, WhatBelongsToOthersIsRefused) {
  SuffixStoreIdentity identity = kIdentity;
  identity.tenant = "tenant b";
  ExpectStatus(Decode(Encoded(), identity), StatusCode::kFailedPrecondition, "tenant b");
  identity = kIdentity;
  identity.vocabulary_fingerprint ^= 1;
  ExpectStatus(Decode(Encoded(), identity), StatusCode::kFailedPrecondition, "0123456789abcdee");
  ExpectStatus(Decode(Forged(8, std::string("\2\0\0\0", 4))), StatusCode::kFailedPrecondition,
               "version 2");
}

TEST(SuffixStoreFileTest, AFileIsReplacedAndReadByItsOwnerOnly) {
  const TempDirectory directory;
  const std::string path = directory.Write("store", "old");
  ASSERT_TRUE(ReplaceFile(path, "new content").ok());
  EXPECT_EQ(ReadWholeFile(path, 100).value(), "new content");
  EXPECT_EQ(FileCount(directory), 1u);
  struct stat facts {};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

// In a child process: the limit cannot be raised again.
TEST(SuffixStoreFileTest, AFullDiskLeavesTheOldFile) {
  const TempDirectory directory;
  const std::string path = directory.Write("store", "old");
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status status = ReplaceFile(path, std::string(5000, 'x'));
    _exit(status.code() == StatusCode::kResourceExhausted &&
                  status.message().find(path) != std::string::npos
              ? 0
              : 1);
  }
  int ended = -1;
  ASSERT_EQ(waitpid(child, &ended, 0), child);
  EXPECT_EQ(ended, 0);
  EXPECT_EQ(ReadWholeFile(path, 100).value(), "old");
  EXPECT_EQ(FileCount(directory), 1u);
}

TEST(SuffixStoreFileTest, WhatCannotBeWrittenIsNamed) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/none/store";
  ExpectStatus(ReplaceFile(path, "x"), StatusCode::kNotFound, path);
  // A directory is in the way.
  ExpectStatus(ReplaceFile(directory.path(), "x"), StatusCode::kInternal, directory.path());
}

TEST(SuffixStoreFileTest, WhatCannotBeReadIsNamed) {
  const TempDirectory directory;
  const std::string path = directory.Write("store", "12345");
  EXPECT_EQ(ReadWholeFile(path, 5).value(), "12345");
  ExpectStatus(ReadWholeFile(path, 4).status(), StatusCode::kFailedPrecondition, "5 bytes");
  ExpectStatus(ReadWholeFile(path + "2", 5).status(), StatusCode::kNotFound, path + "2");
  ExpectStatus(ReadWholeFile(directory.path(), 5).status(), StatusCode::kFailedPrecondition,
               "no regular file");
  const std::string pipe = directory.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ExpectStatus(ReadWholeFile(pipe, 5).status(), StatusCode::kFailedPrecondition, pipe);
}

}  // namespace
}  // namespace foretoken
