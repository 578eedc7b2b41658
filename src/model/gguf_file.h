#ifndef FORETOKEN_MODEL_GGUF_FILE_H_
#define FORETOKEN_MODEL_GGUF_FILE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf_types.h"

namespace foretoken {

struct GgufTensor {
  std::string name;
  const GgmlType* type = nullptr;
  std::vector<uint64_t> shape;  // innermost first; 0 to 4 dimensions, none of them 0
  uint64_t elements = 0;
  uint64_t offset = 0;  // from the start of the file
  uint64_t bytes = 0;
};

// The elements of an array value. A view into its GgufFile.
class GgufArray {
 public:
  GgufArray(GgufValueType element_type, uint64_t size, std::string_view payload)
      : element_type_(element_type), size_(size), payload_(payload) {}

  GgufValueType element_type() const { return element_type_; }
  uint64_t size() const { return size_; }
  // Preconditions: index < size(), and an integer type; uint64 above the range of int64 wraps.
  int64_t Integer(uint64_t index) const;
  // All elements, 16 bytes of memory each. Precondition: a string type.
  std::vector<std::string_view> Strings() const;

 private:
  GgufValueType element_type_;
  uint64_t size_;
  std::string_view payload_;  // the elements as they lie in the file
};

// The metadata and the tensor table of a GGUF file, as ReadGgufFile has checked them. Says nothing
// about the weights. Immutable; any thread may read it. The file may go away meanwhile.
class GgufFile {
 public:
  GgufFile(GgufFile&&) noexcept = default;
  GgufFile& operator=(GgufFile&&) noexcept = default;

  const std::string& name() const { return name_; }
  uint32_t version() const { return version_; }
  uint64_t file_bytes() const { return file_bytes_; }
  uint64_t data_offset() const { return data_offset_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* FindTensor(std::string_view name) const;

  bool Has(std::string_view key) const { return values_.contains(key); }
  std::optional<GgufValueType> TypeOf(std::string_view key) const;
  // Absent when the key is, or when its value is of another kind.
  std::optional<std::string_view> GetString(std::string_view key) const;
  std::optional<int64_t> GetInteger(std::string_view key) const;  // any width that fits in int64
  std::optional<double> GetFloat(std::string_view key) const;     // float32 or float64
  std::optional<bool> GetBool(std::string_view key) const;
  std::optional<GgufArray> GetArray(std::string_view key) const;

 private:
  friend class GgufParser;
  struct Value {
    GgufValueType type;
    GgufValueType element_type;  // of an array; otherwise `type`
    uint64_t count;              // elements of an array; bytes of a string; otherwise 1
    uint64_t offset;             // of the first element or byte
    uint64_t bytes;
  };

  GgufFile() = default;
  std::string_view Payload(const Value& value) const;
  const Value* Find(std::string_view key) const;

  std::string name_;
  std::vector<char> metadata_;  // the file up to some point past the tensor table
  std::map<std::string, Value, std::less<>> values_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
  uint32_t version_ = 0;
  uint64_t file_bytes_ = 0;
  uint64_t data_offset_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_GGUF_FILE_H_
