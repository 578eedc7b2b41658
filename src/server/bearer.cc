#include "server/bearer.h"

#include <cstddef>

namespace foretoken {

std::string_view BearerOf(const HttpHeaders& headers) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view value = FindHeader(headers, "authorization").value_or("");
  if (value.size() <= kScheme.size()) return {};
  for (size_t i = 0; i < kScheme.size(); ++i) {
    if ((value[i] | 0x20) != kScheme[i]) return {};
  }
  std::string_view key = value.substr(kScheme.size());
  while (key.starts_with(' ')) key.remove_prefix(1);
  return key;
}

}  // namespace foretoken
