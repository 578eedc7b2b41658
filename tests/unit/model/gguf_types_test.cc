#include "model/gguf_types.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#ifdef FORETOKEN_TEST_WITH_GGML
#include <ggml.h>
#endif

namespace foretoken {
namespace {

TEST(GgufTypesTest, KnowsCommonTypes) {
  const GgmlType* type = FindGgmlType(12);
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->name, "Q4_K");
  EXPECT_EQ(type->block_elements, 256u);
  EXPECT_EQ(type->block_bytes, 144u);
  EXPECT_EQ(GgufFileTypeName(15), "Q4_K_M");
  EXPECT_EQ(GgufFileTypeName(-1), "");
  EXPECT_EQ(GgufValueBytes(GgufValueType::kUint64), 8u);
  EXPECT_EQ(GgufValueBytes(GgufValueType::kBool), 1u);
  EXPECT_EQ(GgufValueTypeName(GgufValueType::kFloat64), "float64");
}

TEST(GgufTypesTest, RefusesRetiredAndUnknownTypes) {
  for (const uint32_t id : {4u, 5u, 9u, 15u, 31u, 36u, 1000u, 0xFFFFFFFFu}) {
    EXPECT_EQ(FindGgmlType(id), nullptr) << id;
  }
}

#ifdef FORETOKEN_TEST_WITH_GGML
TEST(GgufTypesTest, AgreesWithGgml) {
  for (int id = 0; id < GGML_TYPE_COUNT; ++id) {
    const auto ggml_id = static_cast<ggml_type>(id);
    const GgmlType* ours = FindGgmlType(static_cast<uint32_t>(id));
    if (ours == nullptr) {
      const bool intermediate = ggml_id == GGML_TYPE_Q8_1 || ggml_id == GGML_TYPE_Q8_K;
      EXPECT_TRUE(intermediate || ggml_blck_size(ggml_id) == 0) << "ggml knows type " << id;
      continue;
    }
    std::string name = ggml_type_name(ggml_id);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    EXPECT_EQ(ours->name, name);
    EXPECT_EQ(ours->block_elements, ggml_blck_size(ggml_id)) << name;
    EXPECT_EQ(ours->block_bytes, ggml_type_size(ggml_id)) << name;
  }
}
#endif

}  // namespace
}  // namespace foretoken
