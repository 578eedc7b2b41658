#include "console.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fmt/format.h>

namespace foretoken {
namespace {

std::string SystemReason(int error) {
  return std::generic_category().message(error);
}

Status FileError(const std::string& path, int error) {
  std::string message = fmt::format("{}: {}", path, SystemReason(error));
  if (error == ENOENT || error == ENOTDIR) return NotFoundError(std::move(message));
  if (error == EACCES || error == EPERM) return PermissionDeniedError(std::move(message));
  return InternalError(std::move(message));
}

// The bytes of a well-formed sequence that starts `text`, or 0.
size_t Utf8SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;   // no overlong forms
    if (lead == 0xED) high = 0x9F;  // no surrogates
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;  // nothing above U+10FFFF
  }
  if (length == 0 || text.size() < length) return 0;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

}  // namespace

void PrintError(std::string_view message) {
  PrintNote(fmt::format("foretoken: {}", message));
}

void PrintWarning(std::string_view message) {
  PrintNote(fmt::format("foretoken: warning: {}", message));
}

void PrintNote(std::string_view line) {
  // One call for the whole line: lines of several threads do not mix.
  const std::string whole = std::string(line) + "\n";
  std::fwrite(whole.data(), 1, whole.size(), stderr);
}

Status WriteOutput(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return OkStatus();
  const int error = errno;
  std::clearerr(stdout);
  if (error == EPIPE) return CancelledError("standard output was closed");
  return InternalError("cannot write to standard output: " + SystemReason(error));
}

Result<std::string> ReadInput(const std::string& path) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  const int file = standard_input ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return FileError(name, errno);
  std::string text;
  std::array<char, 65536> buffer;
  Status status;
  while (true) {
    const ssize_t bytes = read(file, buffer.data(), buffer.size());
    if (bytes > 0) {
      text.append(buffer.data(), static_cast<size_t>(bytes));
    } else if (bytes == 0) {
      break;
    } else if (errno != EINTR) {
      status = FileError(name, errno);
      break;
    }
  }
  if (!standard_input) close(file);
  if (!status.ok()) return status;
  return text;
}

std::optional<size_t> FindInvalidUtf8(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const size_t length = Utf8SequenceLength(text.substr(offset));
    if (length == 0) return offset;
    offset += length;
  }
  return std::nullopt;
}

}  // namespace foretoken
