#ifndef FORETOKEN_MODEL_GGUF_TYPES_H_
#define FORETOKEN_MODEL_GGUF_TYPES_H_

#include <cstdint>
#include <string_view>

namespace foretoken {

// The types of metadata values, with their numbers in the file.
enum class GgufValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
inline constexpr uint32_t kGgufValueTypes = 13;

// Bytes of one value in the file; 0 for strings and arrays, whose values say their own length.
uint64_t GgufValueBytes(GgufValueType type);
std::string_view GgufValueTypeName(GgufValueType type);

// How ggml stores a tensor's elements: in blocks, each of one row.
struct GgmlType {
  uint32_t id;
  std::string_view name;  // as ggml prints it, upper case
  uint32_t block_elements;
  uint32_t block_bytes;
};

// The entry for a type's number in the file, or null for numbers that are unknown, retired, or
// used by ggml for intermediate results only (Q8_1, Q8_K).
const GgmlType* FindGgmlType(uint32_t id);

// "Q4_K_M" and so on for `general.file_type`; empty for numbers that are unknown.
std::string_view GgufFileTypeName(int64_t file_type);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_GGUF_TYPES_H_
