#include "model/gguf_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "base/utf8.h"

namespace foretoken {

static_assert(std::endian::native == std::endian::little, "values are copied as they lie");

namespace {

// Copies bytes [offset, offset + into.size()) of the file, which has them.
using ReadAt = std::function<Status(uint64_t offset, std::span<char> into)>;

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// What a file that is no GGUF seems to be, for the message.
std::string DescribeStart(std::string_view start) {
  if (start.starts_with("version ")) return "a Git LFS pointer, not the file it points to";
  if (start.starts_with("<")) return "a web page";
  if (start.starts_with("PK")) return "a zip archive or a PyTorch checkpoint";
  if (start == "lmgg" || start == "fmgg" || start == "tjgg") return "a GGML file of before GGUF";
  std::string hex;
  for (const char byte : start) {
    hex += fmt::format("{}{:02x}", hex.empty() ? "" : " ", static_cast<unsigned char>(byte));
  }
  return "bytes " + hex;
}

}  // namespace

// Walks the file once from its start, loading it as it goes.
class GgufParser {
 public:
  GgufParser(ReadAt read, uint64_t file_bytes, std::string name) : read_(std::move(read)) {
    file_.file_bytes_ = file_bytes;
    file_.name_ = std::move(name);
  }

  Result<GgufFile> Run() {
    FORETOKEN_RETURN_IF_ERROR(ReadHeader());
    for (uint64_t i = 0; i < key_count_; ++i) FORETOKEN_RETURN_IF_ERROR(ReadKeyValue(i));
    FORETOKEN_RETURN_IF_ERROR(ReadAlignment());
    for (uint64_t i = 0; i < tensor_count_; ++i) FORETOKEN_RETURN_IF_ERROR(ReadTensor(i));
    FORETOKEN_RETURN_IF_ERROR(PlaceTensors());
    return std::move(file_);
  }

 private:
  Status Broken(uint64_t at, std::string_view message) const {
    return DataLossError(fmt::format("{}: byte {}: {}", file_.name_, at, message));
  }

  // The next `bytes` bytes are in the file and in memory.
  Status Need(uint64_t bytes, std::string_view what) {
    if (bytes > file_.file_bytes_ - position_) {
      return Broken(position_,
                    fmt::format("{} needs {} bytes, but the file ends after {} (at {}); "
                                "it is cut off or corrupt, fetch it again",
                                what, bytes, file_.file_bytes_ - position_, file_.file_bytes_));
    }
    const uint64_t end = position_ + bytes;
    if (end > kMaxGgufMetadataBytes) {
      return Broken(position_, fmt::format("{} ends past {} MiB, the most that is read as metadata",
                                           what, kMaxGgufMetadataBytes >> 20));
    }
    const uint64_t loaded = file_.metadata_.size();
    if (end <= loaded) return OkStatus();
    const uint64_t chunk = std::max<uint64_t>(loaded, uint64_t{64} << 10);
    const uint64_t target = std::min(file_.file_bytes_, std::max(end, loaded + chunk));
    file_.metadata_.resize(target);
    return read_(loaded, std::span<char>(file_.metadata_).subspan(loaded));
  }

  template <typename T>
  Status Read(T& value, std::string_view what) {
    FORETOKEN_RETURN_IF_ERROR(Need(sizeof(T), what));
    value = Load<T>(file_.metadata_.data() + position_);
    position_ += sizeof(T);
    return OkStatus();
  }

  // A length and that many bytes; they stay where they are.
  Status SkipString(uint64_t& length, std::string_view what) {
    // Vocabularies have hundreds of thousands; nearly all of them are in memory already.
    const uint64_t loaded = file_.metadata_.size();
    if (loaded - position_ >= sizeof(length)) {
      length = Load<uint64_t>(file_.metadata_.data() + position_);
      if (length <= loaded - position_ - sizeof(length)) {
        position_ += sizeof(length) + length;
        return OkStatus();
      }
    }
    FORETOKEN_RETURN_IF_ERROR(Read(length, what));
    FORETOKEN_RETURN_IF_ERROR(Need(length, what));
    position_ += length;
    return OkStatus();
  }

  // A name: valid UTF-8 without control characters, because llama.cpp takes it as a C string and
  // we print it.
  Status ReadName(std::string& name, uint64_t max_bytes, const std::string& what) {
    const uint64_t start = position_;
    uint64_t length = 0;
    FORETOKEN_RETURN_IF_ERROR(Read(length, what));
    if (length == 0 || length > max_bytes) {
      return Broken(start,
                    fmt::format("{} has {} bytes; 1 to {} are right", what, length, max_bytes));
    }
    FORETOKEN_RETURN_IF_ERROR(Need(length, what));
    name.assign(file_.metadata_.data() + position_, length);
    position_ += length;
    const bool has_control =
        std::any_of(name.begin(), name.end(), [](unsigned char byte) { return byte < 0x20; });
    if (has_control || !IsValidUtf8(name)) {
      return Broken(start + sizeof(length), what + " is not plain UTF-8 text");
    }
    return OkStatus();
  }

  Status ReadHeader();
  Status ReadKeyValue(uint64_t number);
  Status ReadValueType(GgufValueType& type, const std::string& what);
  Status ReadArray(GgufFile::Value& value, const std::string& what);
  Status CheckBools(const GgufFile::Value& value, const std::string& what) const;
  Status ReadAlignment();
  Status ReadTensor(uint64_t number);
  Status ReadShape(GgufTensor& tensor);
  Status PlaceTensors();

  ReadAt read_;
  GgufFile file_;
  uint64_t position_ = 0;
  uint64_t key_count_ = 0;
  uint64_t tensor_count_ = 0;
  uint64_t alignment_ = 32;
};

Status GgufParser::ReadHeader() {
  FORETOKEN_RETURN_IF_ERROR(Need(4, "the GGUF header"));
  const std::string_view start(file_.metadata_.data(), std::min<size_t>(file_.metadata_.size(), 8));
  if (!start.starts_with("GGUF")) {
    return Broken(
        0, fmt::format("not a GGUF file: it starts with {} where 'GGUF' is right",
                       DescribeStart(start.starts_with("version") ? start : start.substr(0, 4))));
  }
  position_ = 4;
  uint32_t version = 0;
  FORETOKEN_RETURN_IF_ERROR(Read(version, "the GGUF version"));
  if (version != 0 && (version & 0xFFFF) == 0) {
    return UnimplementedError(fmt::format(
        "{}: byte 4: a big-endian GGUF file; fetch or convert the little-endian one", file_.name_));
  }
  if (version < 2 || version > 3) {
    return UnimplementedError(fmt::format(
        "{}: byte 4: GGUF version {}; this build reads versions 2 and 3", file_.name_, version));
  }
  file_.version_ = version;
  FORETOKEN_RETURN_IF_ERROR(Read(tensor_count_, "the number of tensors"));
  FORETOKEN_RETURN_IF_ERROR(Read(key_count_, "the number of keys"));
  if (tensor_count_ > kMaxGgufTensors) {
    return Broken(8,
                  fmt::format("{} tensors; at most {} are read", tensor_count_, kMaxGgufTensors));
  }
  if (key_count_ > kMaxGgufKeys) {
    return Broken(16, fmt::format("{} keys; at most {} are read", key_count_, kMaxGgufKeys));
  }
  return OkStatus();
}

Status GgufParser::ReadValueType(GgufValueType& type, const std::string& what) {
  const uint64_t at = position_;
  uint32_t number = 0;
  FORETOKEN_RETURN_IF_ERROR(Read(number, what));
  if (number >= kGgufValueTypes) {
    return Broken(at, fmt::format("{} has the value type {}; 0 to {} are known", what, number,
                                  kGgufValueTypes - 1));
  }
  type = static_cast<GgufValueType>(number);
  return OkStatus();
}

Status GgufParser::ReadKeyValue(uint64_t number) {
  const uint64_t start = position_;
  std::string key;
  FORETOKEN_RETURN_IF_ERROR(ReadName(key, kMaxGgufKeyBytes, fmt::format("key {}", number)));
  const std::string what = fmt::format("key '{}'", key);
  GgufFile::Value value{};
  FORETOKEN_RETURN_IF_ERROR(ReadValueType(value.type, what));
  value.element_type = value.type;
  value.count = 1;
  if (value.type == GgufValueType::kArray) {
    FORETOKEN_RETURN_IF_ERROR(ReadArray(value, what));
  } else if (value.type == GgufValueType::kString) {
    FORETOKEN_RETURN_IF_ERROR(SkipString(value.count, what));
    value.bytes = value.count;
    value.offset = position_ - value.bytes;
  } else {
    value.bytes = GgufValueBytes(value.type);
    value.offset = position_;
    FORETOKEN_RETURN_IF_ERROR(Need(value.bytes, what));
    position_ += value.bytes;
  }
  FORETOKEN_RETURN_IF_ERROR(CheckBools(value, what));
  if (!file_.values_.emplace(std::move(key), value).second) {
    return Broken(start, what + " is there twice");
  }
  return OkStatus();
}

Status GgufParser::ReadArray(GgufFile::Value& value, const std::string& what) {
  const uint64_t at = position_;
  FORETOKEN_RETURN_IF_ERROR(ReadValueType(value.element_type, what));
  FORETOKEN_RETURN_IF_ERROR(Read(value.count, what));
  value.offset = position_;
  if (value.element_type == GgufValueType::kArray) {
    return UnimplementedError(
        fmt::format("{}: byte {}: {} is an array of arrays, which llama.cpp "
                    "cannot read",
                    file_.name_, at, what));
  }
  // A string takes at least the 8 bytes of its length; the division keeps the product in range.
  const bool strings = value.element_type == GgufValueType::kString;
  const uint64_t least_bytes = strings ? 8 : GgufValueBytes(value.element_type);
  if (value.count > (file_.file_bytes_ - position_) / least_bytes) {
    return Broken(at, fmt::format("{} has {} elements of at least {} bytes, but the file ends "
                                  "after {} bytes; it is cut off or corrupt, fetch it again",
                                  what, value.count, least_bytes, file_.file_bytes_ - position_));
  }
  if (strings) {
    for (uint64_t i = 0; i < value.count; ++i) {
      uint64_t length = 0;
      FORETOKEN_RETURN_IF_ERROR(SkipString(length, what));
    }
  } else {
    FORETOKEN_RETURN_IF_ERROR(Need(value.count * least_bytes, what));
    position_ += value.count * least_bytes;
  }
  value.bytes = position_ - value.offset;
  return OkStatus();
}

Status GgufParser::CheckBools(const GgufFile::Value& value, const std::string& what) const {
  if (value.element_type != GgufValueType::kBool) return OkStatus();
  for (uint64_t i = value.offset; i < value.offset + value.bytes; ++i) {
    if (static_cast<unsigned char>(file_.metadata_[i]) > 1) {
      return Broken(i, fmt::format("{} has the boolean {}; 0 or 1 is right", what,
                                   static_cast<unsigned char>(file_.metadata_[i])));
    }
  }
  return OkStatus();
}

Status GgufParser::ReadAlignment() {
  const GgufFile::Value* value = file_.Find("general.alignment");
  if (value == nullptr) return OkStatus();
  if (value->type != GgufValueType::kUint32) {
    return Broken(value->offset, fmt::format("key 'general.alignment' is of type {}; uint32 is "
                                             "right",
                                             GgufValueTypeName(value->type)));
  }
  alignment_ = Load<uint32_t>(file_.metadata_.data() + value->offset);
  if (!std::has_single_bit(alignment_)) {
    return Broken(
        value->offset,
        fmt::format("key 'general.alignment' is {}; a power of two is right", alignment_));
  }
  return OkStatus();
}

Status GgufParser::ReadTensor(uint64_t number) {
  const uint64_t start = position_;
  GgufTensor tensor;
  FORETOKEN_RETURN_IF_ERROR(
      ReadName(tensor.name, kMaxGgufTensorNameBytes, fmt::format("the name of tensor {}", number)));
  FORETOKEN_RETURN_IF_ERROR(ReadShape(tensor));
  const uint64_t offset_at = position_;
  FORETOKEN_RETURN_IF_ERROR(Read(tensor.offset, "a tensor's offset"));
  if (tensor.offset % alignment_ != 0) {
    return Broken(offset_at, fmt::format("tensor '{}' starts at {}, not at a multiple of the "
                                         "file's alignment of {}",
                                         tensor.name, tensor.offset, alignment_));
  }
  if (!file_.tensor_index_.emplace(tensor.name, file_.tensors_.size()).second) {
    return Broken(start, fmt::format("tensor '{}' is there twice", tensor.name));
  }
  file_.tensors_.push_back(std::move(tensor));
  return OkStatus();
}

Status GgufParser::ReadShape(GgufTensor& tensor) {
  const uint64_t at = position_;
  uint32_t dimensions = 0;
  FORETOKEN_RETURN_IF_ERROR(Read(dimensions, "a tensor's number of dimensions"));
  if (dimensions > kMaxGgufDimensions) {
    return Broken(at, fmt::format("tensor '{}' has {} dimensions; 0 to {} are right", tensor.name,
                                  dimensions, kMaxGgufDimensions));
  }
  tensor.elements = 1;
  tensor.shape.resize(dimensions);
  for (uint64_t& extent : tensor.shape) {
    FORETOKEN_RETURN_IF_ERROR(Read(extent, "a tensor's shape"));
    if (extent == 0 || extent > uint64_t{std::numeric_limits<int64_t>::max()} / tensor.elements) {
      return Broken(at, fmt::format("tensor '{}' has the shape [{}]: {}", tensor.name,
                                    fmt::join(tensor.shape, ", "),
                                    extent == 0 ? "no dimension may be 0" : "too many elements"));
    }
    tensor.elements *= extent;
  }
  const uint64_t type_at = position_;
  uint32_t type = 0;
  FORETOKEN_RETURN_IF_ERROR(Read(type, "a tensor's type"));
  tensor.type = FindGgmlType(type);
  if (tensor.type == nullptr) {
    return UnimplementedError(
        fmt::format("{}: byte {}: tensor '{}' is of ggml type {}, which this build does not know",
                    file_.name_, type_at, tensor.name, type));
  }
  const uint64_t row = tensor.shape.empty() ? 1 : tensor.shape[0];
  if (row % tensor.type->block_elements != 0) {
    return Broken(at,
                  fmt::format("tensor '{}' has rows of {} elements, not a multiple of {}'s "
                              "block of {}",
                              tensor.name, row, tensor.type->name, tensor.type->block_elements));
  }
  const uint64_t blocks = tensor.elements / tensor.type->block_elements;
  if (blocks > uint64_t{std::numeric_limits<int64_t>::max()} / tensor.type->block_bytes) {
    return Broken(at, fmt::format("tensor '{}' has the shape [{}]: too many bytes", tensor.name,
                                  fmt::join(tensor.shape, ", ")));
  }
  tensor.bytes = blocks * tensor.type->block_bytes;
  return OkStatus();
}

// Offsets become absolute; the data lies in the file and no two tensors share a byte of it.
Status GgufParser::PlaceTensors() {
  const uint64_t padding = (alignment_ - position_ % alignment_) % alignment_;
  file_.data_offset_ = position_ + padding;
  for (GgufTensor& tensor : file_.tensors_) {
    const uint64_t file_bytes = file_.file_bytes_;
    const uint64_t room = file_bytes > file_.data_offset_ ? file_bytes - file_.data_offset_ : 0;
    if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
      return DataLossError(fmt::format(
          "{}: tensor '{}' needs {} bytes from byte {} + {} on, but the file ends at byte {}; it "
          "is "
          "cut off or corrupt, fetch it again",
          file_.name_, tensor.name, tensor.bytes, file_.data_offset_, tensor.offset, file_bytes));
    }
    tensor.offset += file_.data_offset_;
  }
  std::vector<const GgufTensor*> by_offset;
  for (const GgufTensor& tensor : file_.tensors_) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const GgufTensor* a, const GgufTensor* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const GgufTensor& before = *by_offset[i - 1];
    if (before.offset + before.bytes > by_offset[i]->offset) {
      return Broken(by_offset[i]->offset,
                    fmt::format("tensors '{}' and '{}' overlap", before.name, by_offset[i]->name));
    }
  }
  return OkStatus();
}

Result<GgufFile> ParseGguf(std::string_view bytes, std::string name) {
  auto read = [bytes](uint64_t offset, std::span<char> into) {
    std::memcpy(into.data(), bytes.data() + offset, into.size());
    return OkStatus();
  };
  return GgufParser(read, bytes.size(), std::move(name)).Run();
}

Result<GgufFile> ReadGgufFile(const std::string& path) {
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) close(number);
    }
  };
  // O_NONBLOCK: opening a named pipe does not wait for its writer.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat facts {};
  if (file.number < 0 || fstat(file.number, &facts) != 0) {
    const std::string message = path + ": " + std::strerror(errno);
    if (errno == ENOENT || errno == ENOTDIR) return NotFoundError(message);
    if (errno == EACCES) return PermissionDeniedError(message);
    return InternalError(message);
  }
  if (!S_ISREG(facts.st_mode)) {
    return InvalidArgumentError(path + ": not a regular file; the path of a GGUF file is right");
  }
  // Read, not mapped: a file that shrinks meanwhile is then an error and not a SIGBUS.
  auto read = [&file, &path](uint64_t offset, std::span<char> into) {
    while (!into.empty()) {
      const ssize_t got = pread(file.number, into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return InternalError(path + ": read error: " + std::strerror(errno));
      if (got == 0) return DataLossError(path + ": the file shrank while it was read");
      offset += static_cast<uint64_t>(got);
      into = into.subspan(static_cast<size_t>(got));
    }
    return OkStatus();
  };
  return GgufParser(read, static_cast<uint64_t>(facts.st_size), path).Run();
}

}  // namespace foretoken
