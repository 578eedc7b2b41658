#include "testing/gguf_writer.h"

#include <gtest/gtest.h>

#include "model/gguf_model_check.h"
#include "model/gguf_reader.h"

namespace foretoken::testing {
namespace {

TEST(GgufWriterTest, WritesWhatTheReaderAndTheCheckAccept) {
  for (const GgufWriter& writer : {SmallGguf(), TinyLlamaGguf(3)}) {
    const auto file = ParseGguf(writer.Bytes(), "test");
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    EXPECT_EQ(CheckGgufModel(*file), OkStatus());
    EXPECT_EQ(file->data_offset(), writer.HeaderBytes().size());
  }
}

TEST(GgufWriterTest, TheSeedDecidesTheWeights) {
  EXPECT_EQ(TinyLlamaGguf(3).Bytes(), TinyLlamaGguf(3).Bytes());
  EXPECT_NE(TinyLlamaGguf(3).Bytes(), TinyLlamaGguf(4).Bytes());
  EXPECT_EQ(TinyLlamaGguf(3).HeaderBytes(), TinyLlamaGguf(4).HeaderBytes());
}

TEST(GgufWriterTest, ASecondValueReplacesTheFirst) {
  GgufWriter writer = SmallGguf();
  writer.SetString("general.name", "New");
  EXPECT_EQ(ParseGguf(writer.Bytes(), "test")->GetString("general.name"), "New");
}

}  // namespace
}  // namespace foretoken::testing
