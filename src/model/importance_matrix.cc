#include "model/importance_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include "base/macros.h"
#include "model/gguf_reader.h"

namespace foretoken {
namespace {

static_assert(std::endian::native == std::endian::little, "both formats are little-endian");

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

Status Broken(const std::string& path, const std::string& reason) {
  return DataLossError(fmt::format("{} is no importance matrix: {}", path, reason));
}

// The numbers of a file, as long as there are any.
class Numbers {
 public:
  explicit Numbers(const std::string& path) : file_(path, std::ios::binary | std::ios::ate) {
    if (file_) left_ = static_cast<uint64_t>(file_.tellg());
    file_.seekg(0);
  }

  bool is_open() const { return file_.is_open(); }
  uint64_t left() const { return left_; }
  void Seek(uint64_t offset) { file_.seekg(static_cast<std::streamoff>(offset)); }

  std::optional<int32_t> Next() {
    int32_t number = 0;
    if (!Read(&number, sizeof(number))) return std::nullopt;
    return number;
  }
  std::optional<std::string> NextText(int32_t bytes) {
    if (bytes < 0 || static_cast<uint64_t>(bytes) > left_) return std::nullopt;
    std::string text(static_cast<size_t>(bytes), '\0');
    if (!Read(text.data(), text.size())) return std::nullopt;
    return text;
  }
  std::optional<std::vector<float>> NextFloats(uint64_t count) {
    if (count > left_ / sizeof(float)) return std::nullopt;
    std::vector<float> values(count);
    if (!Read(values.data(), count * sizeof(float))) return std::nullopt;
    return values;
  }

 private:
  bool Read(void* to, size_t bytes) {
    if (bytes > left_ || !file_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes))) {
      return false;
    }
    left_ -= bytes;
    return true;
  }

  std::ifstream file_;
  uint64_t left_ = 0;
};

// Entries of (name, calls, values), the values being sums over the calls.
Result<ImportanceMatrix> ReadOlder(const std::string& path) {
  Numbers numbers(path);
  ImportanceMatrix matrix;
  const std::optional<int32_t> entries = numbers.Next();
  if (!entries || *entries < 1) return Broken(path, "it has no entries");
  for (int32_t i = 0; i < *entries; ++i) {
    const std::optional<int32_t> name_bytes = numbers.Next();
    std::optional<std::string> name;
    if (name_bytes && *name_bytes > 0) name = numbers.NextText(*name_bytes);
    const std::optional<int32_t> calls = numbers.Next();
    const std::optional<int32_t> count = numbers.Next();
    std::optional<std::vector<float>> values;
    if (count && *count > 0) values = numbers.NextFloats(static_cast<uint64_t>(*count));
    if (!name || !values) return Broken(path, fmt::format("entry {} is not whole", i + 1));
    if (*calls > 0) {
      for (float& value : *values) value /= static_cast<float>(*calls);
    }
    matrix[*std::move(name)] = *std::move(values);
  }
  return matrix;
}

Result<std::vector<float>> ReadTensor(const GgufFile& file, const GgufTensor& tensor) {
  Numbers numbers(file.name());
  if (tensor.type->name != "F32") return Broken(file.name(), tensor.name + " is not in F32");
  numbers.Seek(tensor.offset);
  auto values = numbers.NextFloats(tensor.elements);
  if (!values) return Broken(file.name(), tensor.name + " cannot be read");
  return *std::move(values);
}

// Two tensors for each: sums of squares, and the number of summands for each expert.
Result<ImportanceMatrix> ReadGguf(const std::string& path) {
  FORETOKEN_ASSIGN_OR_RETURN(const GgufFile file, ReadGgufFile(path));
  ImportanceMatrix matrix;
  for (const GgufTensor& tensor : file.tensors()) {
    if (!tensor.name.ends_with(kSums)) continue;
    std::string name = tensor.name.substr(0, tensor.name.size() - kSums.size());
    const GgufTensor* const counted = file.FindTensor(name + std::string(kCounts));
    if (counted == nullptr || tensor.elements % counted->elements != 0) {
      return Broken(path, fmt::format("{} has no counts that fit", tensor.name));
    }
    FORETOKEN_ASSIGN_OR_RETURN(std::vector<float> values, ReadTensor(file, tensor));
    FORETOKEN_ASSIGN_OR_RETURN(const std::vector<float> counts, ReadTensor(file, *counted));
    const size_t columns = values.size() / counts.size();
    for (size_t i = 0; i < values.size(); ++i) {
      const float count = counts[i / columns];
      // An expert that nothing went through: all of it matters the same.
      values[i] = count > 0 ? values[i] / count : 1.0F;
    }
    matrix[std::move(name)] = std::move(values);
  }
  if (matrix.empty()) return Broken(path, fmt::format("no tensor's name ends in '{}'", kSums));
  return matrix;
}

}  // namespace

Result<ImportanceMatrix> ReadImportanceMatrix(const std::string& path) {
  Numbers numbers(path);
  if (!numbers.is_open()) {
    const std::string message = fmt::format("{}: {}", path, std::strerror(errno));
    return errno == EACCES ? PermissionDeniedError(message) : NotFoundError(message);
  }
  const bool is_gguf = numbers.NextText(4) == "GGUF";
  FORETOKEN_ASSIGN_OR_RETURN(ImportanceMatrix matrix, is_gguf ? ReadGguf(path) : ReadOlder(path));
  for (const auto& [name, values] : matrix) {
    if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
      return Broken(path, fmt::format("what it has for {} is not finite", name));
    }
  }
  return matrix;
}

}  // namespace foretoken
