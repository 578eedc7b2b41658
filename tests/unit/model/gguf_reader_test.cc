#include "model/gguf_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstring>
#include <random>
#include <string>

#include "model/gguf_model_check.h"
#include "model/model_facts.h"
#include "testing/gguf_writer.h"
#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::SmallGguf;

Status ParseStatus(std::string_view bytes) {
  return ParseGguf(bytes, "test").status();
}

void ExpectError(const std::string& bytes, StatusCode code, const std::string& words) {
  const Status status = ParseStatus(bytes);
  EXPECT_EQ(status.code(), code) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr(words));
  EXPECT_THAT(status.message(), HasSubstr("test"));
}

// Everything that is ever done with a file that parses: none of it may crash.
void Exercise(std::string_view bytes, const GgufFile& other) {
  const auto file = ParseGguf(bytes, "test");
  if (!file.ok()) {
    EXPECT_FALSE(file.status().message().empty());
    return;
  }
  static_cast<void>(CheckGgufModel(*file));
  EXPECT_EQ(CollectModelFacts(*file).file_bytes, bytes.size());
  static_cast<void>(CheckPair(*file, other));
}

// Less than any hostile count would take, more than the address sanitizer keeps of freed memory.
constexpr int64_t kMuchMemoryKib = 256 * 1024;

int64_t PeakMemoryKib() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

std::string PutUint64(std::string bytes, size_t at, uint64_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
  return bytes;
}

TEST(GgufReaderTest, ReadsAValidFile) {
  const auto file = ParseGguf(SmallGguf().Bytes(), "test");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->name(), "test");
  EXPECT_EQ(file->tensors().size(), 1u);
  GgufWriter old = SmallGguf();
  old.version = 2;
  EXPECT_TRUE(ParseStatus(old.Bytes()).ok());
}

TEST(GgufReaderTest, EveryTruncationIsAnErrorThatSaysWhatToDo) {
  const std::string bytes = SmallGguf().Bytes();
  for (size_t length = 0; length < bytes.size(); ++length) {
    ExpectError(bytes.substr(0, length), StatusCode::kDataLoss, "fetch it again");
  }
}

TEST(GgufReaderTest, EveryFlippedByteIsReadOrRefused) {
  const std::string bytes = SmallGguf().Bytes();
  const auto original = ParseGguf(bytes, "original");
  ASSERT_TRUE(original.ok());
  const int64_t before_kib = PeakMemoryKib();
  int refused = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const int mask : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF}) {
      std::string broken = bytes;
      broken[at] = static_cast<char>(broken[at] ^ mask);
      Exercise(broken, *original);
      refused += ParseStatus(broken).ok() ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 1000) << "most of the header carries structure";
  EXPECT_LT(PeakMemoryKib() - before_kib, kMuchMemoryKib);
}

TEST(GgufReaderTest, HostileCountsCostNoMemory) {
  const std::string bytes = SmallGguf().Bytes();
  const auto original = ParseGguf(bytes, "original");
  ASSERT_TRUE(original.ok());
  const size_t tokens = bytes.find("tokenizer.ggml.tokens") + strlen("tokenizer.ggml.tokens") + 8;
  const size_t name = bytes.find("general.name") + strlen("general.name") + 4;
  const size_t shape = bytes.find("token_embd.weight") + strlen("token_embd.weight") + 4;
  const int64_t before_kib = PeakMemoryKib();
  for (int bit = 10; bit < 64; ++bit) {
    for (const uint64_t value : {uint64_t{1} << bit, (uint64_t{1} << bit) - 1, ~uint64_t{0}}) {
      // Tensors, keys, a key's length, elements of an array, a string's length, two extents.
      for (const size_t at : {size_t{8}, size_t{16}, size_t{24}, tokens, name, shape, shape + 8}) {
        const std::string hostile = PutUint64(bytes, at, value);
        EXPECT_FALSE(ParseStatus(hostile).ok()) << value << " at " << at;
        Exercise(hostile, *original);
      }
      // An offset of the data, aligned.
      const uint64_t offset = value & ~uint64_t{31};
      EXPECT_FALSE(ParseStatus(PutUint64(bytes, shape + 20, offset)).ok()) << offset;
    }
  }
  EXPECT_LT(PeakMemoryKib() - before_kib, kMuchMemoryKib);
}

TEST(GgufReaderTest, RandomBytesAreRefused) {
  std::mt19937 random(7);
  const auto original = ParseGguf(SmallGguf().Bytes(), "original");
  ASSERT_TRUE(original.ok());
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = round % 2 == 0 ? "" : std::string("GGUF\3\0\0\0", 8);
    if (round % 4 == 3) bytes += std::string("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 16);
    for (size_t size = random() % 300; size > 0; --size) bytes += static_cast<char>(random());
    EXPECT_FALSE(ParseStatus(bytes).ok());
    Exercise(bytes, *original);
  }
}

TEST(GgufReaderTest, OtherKindsOfFilesAreNamed) {
  ExpectError("version https://git-lfs.github.com/spec/v1\n", StatusCode::kDataLoss, "Git LFS");
  ExpectError("<!DOCTYPE html><html>", StatusCode::kDataLoss, "web page");
  ExpectError("PK\3\4 and more", StatusCode::kDataLoss, "zip archive");
  ExpectError("tjgg and more", StatusCode::kDataLoss, "before GGUF");
  ExpectError(std::string(64, '\0'), StatusCode::kDataLoss, "bytes 00 00 00 00");
}

TEST(GgufReaderTest, OtherVersionsAreRefused) {
  GgufWriter writer = SmallGguf();
  for (const uint32_t version : {0u, 1u, 4u, 99u}) {
    writer.version = version;
    ExpectError(writer.Bytes(), StatusCode::kUnimplemented, fmt::format("version {}", version));
  }
  writer.version = 0x03000000;
  ExpectError(writer.Bytes(), StatusCode::kUnimplemented, "big-endian");
}

TEST(GgufReaderTest, KeysAreCheckedOneByOne) {
  GgufWriter twice = SmallGguf();
  twice.AddRaw("general.name", GgufValueType::kUint8, "x");
  ExpectError(twice.Bytes(), StatusCode::kDataLoss, "key 'general.name' is there twice");
  GgufWriter empty = SmallGguf();
  empty.AddRaw("", GgufValueType::kUint8, "x");
  ExpectError(empty.Bytes(), StatusCode::kDataLoss, "has 0 bytes; 1 to 65535 are right");
  for (const std::string& name :
       {std::string("a\xFF"), std::string("a\0b", 3), std::string("\x1B")}) {
    GgufWriter odd = SmallGguf();
    odd.AddRaw(name, GgufValueType::kUint8, "x");
    ExpectError(odd.Bytes(), StatusCode::kDataLoss, "not plain UTF-8");
  }
  GgufWriter type = SmallGguf();
  type.AddRaw("odd", static_cast<GgufValueType>(13), "x");
  ExpectError(type.Bytes(), StatusCode::kDataLoss, "value type 13; 0 to 12 are known");
  GgufWriter boolean = SmallGguf();
  boolean.AddRaw("odd", GgufValueType::kBool, "\2");
  ExpectError(boolean.Bytes(), StatusCode::kDataLoss, "boolean 2");
  GgufWriter nested = SmallGguf();
  nested.AddRaw("odd", GgufValueType::kArray, std::string("\x09\0\0\0\1\0\0\0\0\0\0\0", 12));
  ExpectError(nested.Bytes(), StatusCode::kUnimplemented, "array of arrays");
}

TEST(GgufReaderTest, AlignmentIsAPowerOfTwo) {
  GgufWriter writer = SmallGguf();
  for (const uint32_t alignment : {0u, 3u, 33u}) {
    writer.SetUint32("general.alignment", alignment);
    ExpectError(writer.Bytes(), StatusCode::kDataLoss, "a power of two is right");
  }
  writer.SetUint32("general.alignment", 32);
  EXPECT_TRUE(ParseStatus(writer.Bytes()).ok());
  writer.SetUint32("general.alignment", 1u << 31);
  ExpectError(writer.Bytes(), StatusCode::kDataLoss, "fetch it again");
  writer.SetFloat("general.alignment", 32);
  ExpectError(writer.Bytes(), StatusCode::kDataLoss, "uint32 is right");
}

TEST(GgufReaderTest, TensorsAreCheckedOneByOne) {
  const std::string data(256, '\0');
  const std::vector<float> four(4, 0.0f);
  struct Case {
    std::string words;
    StatusCode code;
    void (*add)(GgufWriter&);
  };
  const Case cases[] = {
      {"tensor 'token_embd.weight' is there twice", StatusCode::kDataLoss,
       [](GgufWriter& w) { w.AddTensor("token_embd.weight", 0, {1}, std::string(4, '\0')); }},
      {"5 dimensions; 0 to 4 are right", StatusCode::kDataLoss,
       [](GgufWriter& w) {
         w.AddTensor("x", 0, {1, 1, 1, 1, 1}, std::string(4, '\0'));
       }},
      {"no dimension may be 0", StatusCode::kDataLoss,
       [](GgufWriter& w) {
         w.AddTensor("x", 0, {4, 0}, "");
       }},
      {"too many elements", StatusCode::kDataLoss,
       [](GgufWriter& w) {
         w.AddTensor("x", 0, {1ull << 32, 1ull << 32}, "");
       }},
      {"too many bytes", StatusCode::kDataLoss,
       [](GgufWriter& w) { w.AddTensor("x", 28, {1ull << 62}, ""); }},
      {"not a multiple of Q4_K's block of 256", StatusCode::kDataLoss,
       [](GgufWriter& w) {
         w.AddTensor("x", 12, {128, 2}, std::string(144, '\0'));
       }},
      {"ggml type 15", StatusCode::kUnimplemented,
       [](GgufWriter& w) { w.AddTensor("x", 15, {256}, std::string(292, '\0')); }},
      {"ggml type 4294967295", StatusCode::kUnimplemented,
       [](GgufWriter& w) { w.AddTensor("x", 0xFFFFFFFF, {4}, std::string(16, '\0')); }},
      {"has 64 bytes; 1 to 63 are right", StatusCode::kDataLoss,
       [](GgufWriter& w) { w.AddTensor(std::string(64, 'x'), 0, {1}, std::string(4, '\0')); }},
      {"'token_embd.weight' and 'x' overlap", StatusCode::kDataLoss,
       [](GgufWriter& w) {
         w.AddTensor("x", 0, {4}, std::string(16, '\0'));
         w.MoveLastTensor(32);
       }},
      {"not at a multiple of the file's alignment of 32", StatusCode::kDataLoss,
       [](GgufWriter& w) {
         w.AddTensor("x", 0, {4}, std::string(16, '\0'));
         w.MoveLastTensor(72);
       }},
      {"fetch it again", StatusCode::kDataLoss,
       [](GgufWriter& w) { w.AddTensor("x", 0, {1 << 20}, std::string(16, '\0')); }},
  };
  for (const Case& wrong : cases) {
    GgufWriter writer = SmallGguf();
    wrong.add(writer);
    ExpectError(writer.Bytes(), wrong.code, wrong.words);
  }
  GgufWriter scalar = SmallGguf();
  scalar.AddTensor("scalar", 0, {}, std::string(4, '\0'));
  EXPECT_TRUE(ParseStatus(scalar.Bytes()).ok());
}

TEST(GgufReaderTest, ReadsFilesAndNamesWhatIsNone) {
  const testing::TempDirectory directory;
  const std::string bytes = testing::TinyLlamaGguf(1).Bytes();
  const auto file = ReadGgufFile(directory.Write("model.gguf", bytes));
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->file_bytes(), bytes.size());
  EXPECT_EQ(file->GetString("general.name"), "Tiny");
  EXPECT_EQ(file->tensors().size(), 12u);

  const std::string missing = directory.path() + "/missing.gguf";
  const Status no_file = ReadGgufFile(missing).status();
  EXPECT_EQ(no_file.code(), StatusCode::kNotFound);
  EXPECT_THAT(no_file.message(), HasSubstr(missing));
  EXPECT_EQ(ReadGgufFile(directory.path()).status().code(), StatusCode::kInvalidArgument);
  const std::string pipe = directory.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(ReadGgufFile(pipe).status().code(), StatusCode::kInvalidArgument);
  const Status empty = ReadGgufFile(directory.Write("empty.gguf", "")).status();
  EXPECT_EQ(empty.code(), StatusCode::kDataLoss) << empty.ToString();
}

// Larger than one chunk of reading, with the tensor table past the first.
TEST(GgufReaderTest, ReadsMetadataOfManyChunks) {
  GgufWriter writer = SmallGguf();
  writer.SetStrings("filler", std::vector<std::string>(40'000, "0123456789"));
  writer.SetString("after", "found");
  const testing::TempDirectory directory;
  const auto file = ReadGgufFile(directory.Write("large.gguf", writer.Bytes()));
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->GetString("after"), "found");
  const auto filler = file->GetArray("filler")->Strings();
  EXPECT_EQ(filler.size(), 40'000u);
  EXPECT_EQ(filler.back(), "0123456789");
}

}  // namespace
}  // namespace foretoken
