#include "model/gguf_file.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/gguf_reader.h"
#include "testing/gguf_writer.h"

namespace foretoken {
namespace {

using testing::GgufWriter;
using testing::SmallGguf;

std::string Bytes(int64_t value, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

TEST(GgufFileTest, GivesEveryIntegerType) {
  GgufWriter writer = SmallGguf();
  writer.AddRaw("u8", GgufValueType::kUint8, Bytes(200, 1));
  writer.AddRaw("i8", GgufValueType::kInt8, Bytes(-5, 1));
  writer.AddRaw("u16", GgufValueType::kUint16, Bytes(65'000, 2));
  writer.AddRaw("i16", GgufValueType::kInt16, Bytes(-300, 2));
  writer.AddRaw("i32", GgufValueType::kInt32, Bytes(-70'000, 4));
  writer.AddRaw("u64", GgufValueType::kUint64, Bytes(int64_t{1} << 40, 8));
  writer.AddRaw("i64", GgufValueType::kInt64, Bytes(-(int64_t{1} << 40), 8));
  writer.AddRaw("large", GgufValueType::kUint64, Bytes(-1, 8));
  const auto file = ParseGguf(writer.Bytes(), "test");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->GetInteger("u8"), 200);
  EXPECT_EQ(file->GetInteger("i8"), -5);
  EXPECT_EQ(file->GetInteger("u16"), 65'000);
  EXPECT_EQ(file->GetInteger("i16"), -300);
  EXPECT_EQ(file->GetInteger("i32"), -70'000);
  EXPECT_EQ(file->GetInteger("u64"), int64_t{1} << 40);
  EXPECT_EQ(file->GetInteger("i64"), -(int64_t{1} << 40));
  EXPECT_EQ(file->GetInteger("large"), std::nullopt) << "2^64 - 1 has no int64";
}

TEST(GgufFileTest, GivesTheOtherTypesAndOnlyAsWhatTheyAre) {
  GgufWriter writer = SmallGguf();
  writer.SetFloat("float", 0.5f);
  writer.AddRaw("double", GgufValueType::kFloat64, std::string("\0\0\0\0\0\0\xD0\x3F", 8));
  writer.SetBool("yes", true);
  writer.SetBool("no", false);
  writer.SetInts("ints", {3, -4});
  writer.SetStrings("strings", {"", "two", std::string("n\0l", 3)});
  writer.SetStrings("none", {});
  const auto file = ParseGguf(writer.Bytes(), "test");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->GetFloat("float"), 0.5);
  EXPECT_EQ(file->GetFloat("double"), 0.25);
  EXPECT_EQ(file->GetBool("yes"), true);
  EXPECT_EQ(file->GetBool("no"), false);
  EXPECT_EQ(file->GetString("general.name"), "Small");
  const auto ints = file->GetArray("ints");
  ASSERT_TRUE(ints.has_value());
  ASSERT_EQ(ints->size(), 2u);
  EXPECT_EQ(ints->Integer(0), 3);
  EXPECT_EQ(ints->Integer(1), -4);
  const auto strings = file->GetArray("strings");
  ASSERT_TRUE(strings.has_value());
  EXPECT_EQ(strings->Strings(),
            (std::vector<std::string_view>{"", "two", std::string_view("n\0l", 3)}));
  EXPECT_TRUE(file->GetArray("none")->Strings().empty());

  EXPECT_FALSE(file->Has("missing"));
  EXPECT_EQ(file->TypeOf("missing"), std::nullopt);
  EXPECT_EQ(file->TypeOf("ints"), GgufValueType::kArray);
  EXPECT_EQ(file->GetInteger("float"), std::nullopt);
  EXPECT_EQ(file->GetFloat("yes"), std::nullopt);
  EXPECT_EQ(file->GetString("ints"), std::nullopt);
  EXPECT_EQ(file->GetBool("general.name"), std::nullopt);
  EXPECT_EQ(file->GetArray("general.name"), std::nullopt);
}

TEST(GgufFileTest, PlacesTensorsInTheFile) {
  GgufWriter writer = SmallGguf();
  writer.AddTensor("quantised", 8, {64, 2}, std::string(4 * 34, '\1'));
  const std::string bytes = writer.Bytes();
  const auto file = ParseGguf(bytes, "test");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->data_offset(), writer.HeaderBytes().size());
  EXPECT_EQ(file->file_bytes(), bytes.size());
  const GgufTensor* tensor = file->FindTensor("quantised");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->type->name, "Q8_0");
  EXPECT_EQ(tensor->shape, (std::vector<uint64_t>{64, 2}));
  EXPECT_EQ(tensor->elements, 128u);
  EXPECT_EQ(tensor->bytes, 4u * 34u);
  EXPECT_EQ(tensor->offset, file->data_offset() + 64);
  EXPECT_EQ(bytes.substr(tensor->offset, tensor->bytes), std::string(4 * 34, '\1'));
  EXPECT_EQ(file->FindTensor("other"), nullptr);
}

// Views lie in the file's own copy, which moves with it.
TEST(GgufFileTest, OutlivesItsSourceAndMoves) {
  std::string bytes = SmallGguf().Bytes();
  auto parsed = ParseGguf(bytes, "test");
  ASSERT_TRUE(parsed.ok());
  bytes.assign(bytes.size(), 'x');
  const GgufFile moved = std::move(parsed).value();
  EXPECT_EQ(moved.GetString("general.architecture"), "llama");
}

}  // namespace
}  // namespace foretoken
