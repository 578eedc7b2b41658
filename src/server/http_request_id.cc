#include "server/http_request_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>

namespace foretoken {
namespace {

constexpr size_t kMaxIdLength = 128;

bool IsIdCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

// The system's generator: ids must not collide between replicas or restarts.
uint64_t Random64() {
  thread_local std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

std::string RequestIdOf(const HttpHeaders& headers) {
  const std::optional<std::string_view> sent = FindHeader(headers, "x-request-id");
  if (sent && !sent->empty() && sent->size() <= kMaxIdLength &&
      std::all_of(sent->begin(), sent->end(), IsIdCharacter)) {
    return std::string(*sent);
  }
  return fmt::format("{:016x}{:016x}", Random64(), Random64());
}

}  // namespace foretoken
