#include "model/gguf_file.h"

#include <cstring>

namespace foretoken {
namespace {

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

int64_t LoadInteger(GgufValueType type, const char* from) {
  switch (type) {
    case GgufValueType::kUint8:
      return Load<uint8_t>(from);
    case GgufValueType::kInt8:
      return Load<int8_t>(from);
    case GgufValueType::kUint16:
      return Load<uint16_t>(from);
    case GgufValueType::kInt16:
      return Load<int16_t>(from);
    case GgufValueType::kUint32:
      return Load<uint32_t>(from);
    case GgufValueType::kInt32:
      return Load<int32_t>(from);
    case GgufValueType::kUint64:
    case GgufValueType::kInt64:
      return Load<int64_t>(from);
    default:
      return 0;
  }
}

bool IsInteger(GgufValueType type) {
  switch (type) {
    case GgufValueType::kUint8:
    case GgufValueType::kInt8:
    case GgufValueType::kUint16:
    case GgufValueType::kInt16:
    case GgufValueType::kUint32:
    case GgufValueType::kInt32:
    case GgufValueType::kUint64:
    case GgufValueType::kInt64:
      return true;
    default:
      return false;
  }
}

}  // namespace

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufFile::Value* GgufFile::Find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

std::string_view GgufFile::Payload(const Value& value) const {
  return {metadata_.data() + value.offset, value.bytes};
}

std::optional<GgufValueType> GgufFile::TypeOf(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) return std::nullopt;
  return value->type;
}

std::optional<std::string_view> GgufFile::GetString(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr || value->type != GgufValueType::kString) return std::nullopt;
  return Payload(*value);
}

std::optional<int64_t> GgufFile::GetInteger(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr || !IsInteger(value->type)) return std::nullopt;
  const int64_t number = LoadInteger(value->type, Payload(*value).data());
  if (value->type == GgufValueType::kUint64 && number < 0) return std::nullopt;
  return number;
}

std::optional<double> GgufFile::GetFloat(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufValueType::kFloat32) return Load<float>(Payload(*value).data());
  if (value->type == GgufValueType::kFloat64) return Load<double>(Payload(*value).data());
  return std::nullopt;
}

std::optional<bool> GgufFile::GetBool(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr || value->type != GgufValueType::kBool) return std::nullopt;
  return Payload(*value).front() != 0;
}

std::optional<GgufArray> GgufFile::GetArray(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr || value->type != GgufValueType::kArray) return std::nullopt;
  return GgufArray(value->element_type, value->count, Payload(*value));
}

int64_t GgufArray::Integer(uint64_t index) const {
  return LoadInteger(element_type_, payload_.data() + index * GgufValueBytes(element_type_));
}

std::vector<std::string_view> GgufArray::Strings() const {
  std::vector<std::string_view> strings;
  strings.reserve(size_);
  std::string_view rest = payload_;
  for (uint64_t i = 0; i < size_; ++i) {
    const uint64_t length = Load<uint64_t>(rest.data());
    strings.push_back(rest.substr(sizeof(length), length));
    rest.remove_prefix(sizeof(length) + length);
  }
  return strings;
}

}  // namespace foretoken
