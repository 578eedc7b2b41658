#include "base/utf8.h"

#include <cstddef>
#include <cstdint>

namespace foretoken {

bool IsValidUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    size_t follow = 0;
    uint32_t least = 0;  // a smaller value is an overlong form
    if ((lead & 0xE0) == 0xC0) {
      follow = 1;
      least = 0x80;
    } else if ((lead & 0xF0) == 0xE0) {
      follow = 2;
      least = 0x800;
    } else if ((lead & 0xF8) == 0xF0) {
      follow = 3;
      least = 0x10000;
    } else {
      return false;
    }
    if (text.size() - i < follow) return false;
    uint32_t value = lead & (0x3Fu >> follow);
    for (; follow > 0; --follow) {
      const auto next = static_cast<unsigned char>(text[i++]);
      if ((next & 0xC0) != 0x80) return false;
      value = value << 6 | (next & 0x3F);
    }
    if (value < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return false;
  }
  return true;
}

}  // namespace foretoken
