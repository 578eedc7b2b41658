#include "speculative/suffix_store_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/macros.h"
#include "base/sha256.h"

namespace foretoken {
namespace {

constexpr std::string_view kMagic = "FTSUFFIX";
constexpr uint32_t kVersion = 1;
constexpr size_t kFileBytesOffset = 16;
constexpr size_t kHeaderBytes = 32;  // up to the tenant's name
constexpr size_t kDigestBytes = 64;

template <typename Number>
void AppendNumber(std::string& bytes, Number number) {
  for (size_t i = 0; i < sizeof(Number); ++i) {
    bytes.push_back(static_cast<char>(static_cast<uint64_t>(number) >> (8 * i)));
  }
}

std::string Digest(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes.data(), bytes.size());
  return hash.HexDigest();
}

// Takes numbers and strings off the front; absent where not enough bytes are left.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::optional<std::string_view> Take(size_t count) {
    if (count > left()) return std::nullopt;
    offset_ += count;
    return bytes_.substr(offset_ - count, count);
  }
  template <typename Number>
  std::optional<Number> TakeNumber() {
    const std::optional<std::string_view> taken = Take(sizeof(Number));
    if (!taken) return std::nullopt;
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(Number); ++i) {
      number |= uint64_t{static_cast<unsigned char>((*taken)[i])} << (8 * i);
    }
    return static_cast<Number>(number);
  }

  size_t offset() const { return offset_; }
  size_t left() const { return bytes_.size() - offset_; }

 private:
  std::string_view bytes_;
  size_t offset_ = 0;
};

Status WrongAt(size_t offset, const std::string& what) {
  return DataLossError(fmt::format("suffix store: {} at byte {}", what, offset));
}

// That the bytes are the ones that were written, whatever they mean.
Status CheckSeal(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return WrongAt(0, "no suffix store file: other first bytes");
  if (bytes.size() < kHeaderBytes + kDigestBytes) {
    return WrongAt(bytes.size(), "the file ends in its header");
  }
  Reader reader(bytes);
  reader.Take(kMagic.size());
  const auto version = reader.TakeNumber<uint32_t>();
  if (version != kVersion) {
    return FailedPreconditionError(fmt::format(
        "suffix store: the file has version {}, this build reads {}", *version, kVersion));
  }
  Reader size_reader(bytes.substr(kFileBytesOffset));
  const auto file_bytes = size_reader.TakeNumber<uint64_t>();
  if (file_bytes != bytes.size()) {
    return WrongAt(kFileBytesOffset, fmt::format("the header says {} bytes and there are {}",
                                                 *file_bytes, bytes.size()));
  }
  const size_t body_bytes = bytes.size() - kDigestBytes;
  if (bytes.substr(body_bytes) != Digest(bytes.substr(0, body_bytes))) {
    return WrongAt(body_bytes, "the content is not what its checksum says:");
  }
  return OkStatus();
}

Status CheckIdentity(Reader& reader, const SuffixStoreIdentity& identity) {
  reader.Take(kMagic.size() + sizeof(kVersion));
  const auto tenant_bytes = reader.TakeNumber<uint32_t>();
  reader.Take(sizeof(uint64_t));  // the file's size
  const auto fingerprint = reader.TakeNumber<uint64_t>();
  const std::optional<std::string_view> tenant = reader.Take(*tenant_bytes);
  if (!tenant) return WrongAt(kMagic.size() + 4, fmt::format("a name of {} bytes", *tenant_bytes));
  if (*tenant != identity.tenant) {
    return FailedPreconditionError(
        fmt::format("suffix store: the file is tenant {}'s, not {}'s", *tenant, identity.tenant));
  }
  if (*fingerprint != identity.vocabulary_fingerprint) {
    return FailedPreconditionError(
        fmt::format("suffix store: the file's tokens are of vocabulary {:016x}, not {:016x}",
                    *fingerprint, identity.vocabulary_fingerprint));
  }
  return OkStatus();
}

Result<StoredText> TakeText(Reader& reader, int32_t vocabulary_size) {
  const size_t start = reader.offset();
  const auto tokens = reader.TakeNumber<uint32_t>();
  const auto context_tokens = reader.TakeNumber<uint32_t>();
  if (!context_tokens) return WrongAt(start, "the file ends in a text");
  if (*tokens > kMaxStoredTextTokens || *tokens > reader.left() / sizeof(TokenId)) {
    return WrongAt(start, fmt::format("a text of {} tokens (at most {}) in {} bytes", *tokens,
                                      kMaxStoredTextTokens, reader.left()));
  }
  if (*context_tokens > *tokens) {
    return WrongAt(start + sizeof(uint32_t),
                   fmt::format("{} tokens of context in {}", *context_tokens, *tokens));
  }
  StoredText text;
  text.context_tokens = *context_tokens;
  text.tokens.reserve(*tokens);
  while (text.tokens.size() < *tokens) {
    const size_t offset = reader.offset();
    const TokenId token = *reader.TakeNumber<TokenId>();
    if (token < 0 || token >= vocabulary_size) {
      return WrongAt(offset, fmt::format("token {} of a vocabulary of {}", token, vocabulary_size));
    }
    text.tokens.push_back(token);
  }
  return text;
}

Status FileError(int error, const std::string& path) {
  std::string message = fmt::format("{}: {}", path, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return NotFoundError(std::move(message));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return PermissionDeniedError(std::move(message));
  }
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return ResourceExhaustedError(std::move(message));
  }
  return InternalError(std::move(message));
}

// An open file, closed when dropped.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// 0, or the error.
int WriteAndSync(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(descriptor) == 0 ? 0 : errno;
}

// A rename is durable only when its directory is. Where that cannot be had (some file systems
// refuse, some directories cannot be read), the file is there all the same.
void SyncDirectoryOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const Descriptor directory(
      open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) static_cast<void>(fsync(directory.get()));
}

}  // namespace

void SealSuffixStore(std::string& bytes) {
  std::string file_bytes;
  AppendNumber(file_bytes, uint64_t{bytes.size() + kDigestBytes});
  bytes.replace(kFileBytesOffset, file_bytes.size(), file_bytes);
  bytes += Digest(bytes);
}

std::string EncodeSuffixStore(const SuffixStoreIdentity& identity,
                              const std::vector<StoredText>& texts) {
  std::string bytes(kMagic);
  AppendNumber(bytes, kVersion);
  AppendNumber(bytes, static_cast<uint32_t>(identity.tenant.size()));
  AppendNumber(bytes, uint64_t{0});  // the file's size, set below
  AppendNumber(bytes, identity.vocabulary_fingerprint);
  bytes += identity.tenant;
  AppendNumber(bytes, static_cast<uint32_t>(texts.size()));
  for (const StoredText& text : texts) {
    AppendNumber(bytes, static_cast<uint32_t>(text.tokens.size()));
    AppendNumber(bytes, text.context_tokens);
    for (TokenId token : text.tokens) AppendNumber(bytes, token);
  }
  SealSuffixStore(bytes);
  return bytes;
}

Result<std::vector<StoredText>> DecodeSuffixStore(std::string_view bytes,
                                                  const SuffixStoreIdentity& identity) {
  FORETOKEN_RETURN_IF_ERROR(CheckSeal(bytes));
  Reader reader(bytes.substr(0, bytes.size() - kDigestBytes));
  FORETOKEN_RETURN_IF_ERROR(CheckIdentity(reader, identity));
  const auto text_count = reader.TakeNumber<uint32_t>();
  if (!text_count) return WrongAt(reader.offset(), "the file ends before its texts");
  std::vector<StoredText> texts;
  for (uint32_t i = 0; i < *text_count; ++i) {
    FORETOKEN_ASSIGN_OR_RETURN(StoredText text, TakeText(reader, identity.vocabulary_size));
    texts.push_back(std::move(text));
  }
  if (reader.left() > 0) return WrongAt(reader.offset(), "bytes behind the last text");
  return texts;
}

Status ReplaceFile(const std::string& path, std::string_view bytes) {
  std::string temporary = path + ".XXXXXX";
  const Descriptor file(mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) return FileError(errno, path);
  int error = WriteAndSync(file.get(), bytes);
  if (error == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    std::remove(temporary.c_str());
    return FileError(error, path);
  }
  SyncDirectoryOf(path);
  return OkStatus();
}

Result<std::string> ReadWholeFile(const std::string& path, uint64_t max_bytes) {
  // Without O_NONBLOCK a named pipe would wait for its writer.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return FileError(errno, path);
  struct stat facts {};
  if (fstat(file.get(), &facts) != 0) return FileError(errno, path);
  if (!S_ISREG(facts.st_mode)) return FailedPreconditionError(path + " is no regular file");
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (size > max_bytes) {
    return FailedPreconditionError(
        fmt::format("{} has {} bytes; at most {} are read", path, size, max_bytes));
  }
  std::string bytes(size, '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, path);
    if (got == 0) break;  // it became shorter: what is missing is the reader's finding
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace foretoken
