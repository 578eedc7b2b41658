#ifndef FORETOKEN_UNIT_SERVER_RAW_WEBSOCKET_CLIENT_H_
#define FORETOKEN_UNIT_SERVER_RAW_WEBSOCKET_CLIENT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "unit/server/raw_http_client.h"

namespace foretoken {

// Opcodes of RFC 6455.
constexpr int kContinuation = 0;
constexpr int kText = 1;
constexpr int kBinary = 2;
constexpr int kClose = 8;
constexpr int kPing = 9;
constexpr int kPong = 10;

struct RawFrame {
  int opcode = -1;  // -1: the connection ended
  bool final = false;
  std::string payload;
  // Of a close frame; 0 without one.
  int close_code() const {
    if (opcode != kClose || payload.size() < 2) return 0;
    return static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]);
  }
};

// A client that writes its frames itself, right or wrong.
class RawWebSocketClient : public RawHttpClient {
 public:
  using RawHttpClient::RawHttpClient;

  // Asks for an upgrade with the key of RFC 6455's example.
  RawResponse Upgrade(const std::string& path, const std::string& more_headers = "",
                      const std::string& version = "13") {
    Send("GET " + path +
         " HTTP/1.1\r\nHost: h.example\r\nConnection: keep-alive, Upgrade\r\n"
         "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
         "Sec-WebSocket-Version: " +
         version + "\r\n" + more_headers + "\r\n");
    return ReadResponse();
  }

  bool SendFrame(int opcode, std::string_view payload, bool final = true, bool masked = true) {
    std::string frame(1, static_cast<char>((final ? 0x80 : 0) | opcode));
    const int mask_bit = masked ? 0x80 : 0;
    const size_t size = payload.size();
    const int length_bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
    frame += static_cast<char>(mask_bit | (length_bytes == 0   ? static_cast<int>(size)
                                           : length_bytes == 2 ? 126
                                                               : 127));
    for (int i = length_bytes - 1; i >= 0; --i) frame += static_cast<char>(size >> (8 * i) & 0xff);
    const std::string_view mask = "\x12\x34\x56\x78";
    if (masked) frame += mask;
    for (size_t i = 0; i < size; ++i) {
      frame += masked ? static_cast<char>(payload[i] ^ mask[i % 4]) : payload[i];
    }
    return Send(frame);
  }
  bool SendClose(int code) {
    return SendFrame(kClose,
                     std::string{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)});
  }

  RawFrame ReadFrame() {
    RawFrame frame;
    const std::string start = ReadBytes(2);
    if (start.size() < 2) return frame;
    uint64_t size = static_cast<unsigned char>(start[1]);
    if (size >= 126) {
      const std::string length = ReadBytes(size == 126 ? 2 : 8);
      size = 0;
      for (const char c : length) size = size << 8 | static_cast<unsigned char>(c);
    }
    frame.payload = ReadBytes(size);
    if (frame.payload.size() != size) return RawFrame();
    frame.opcode = start[0] & 0x0f;
    frame.final = (start[0] & 0x80) != 0;
    return frame;
  }
  // The next text message, put together of its frames; what else comes before it is dropped.
  std::string ReadText() {
    std::string text;
    while (true) {
      const RawFrame frame = ReadFrame();
      if (frame.opcode == -1 || frame.opcode == kClose) return "<end>";
      if (frame.opcode > kText) continue;
      text += frame.payload;
      if (frame.final) return text;
    }
  }
  // The code that the server closes with; what comes before is dropped.
  int ReadCloseCode() {
    while (true) {
      const RawFrame frame = ReadFrame();
      if (frame.opcode == -1 || frame.opcode == kClose) return frame.close_code();
    }
  }
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_RAW_WEBSOCKET_CLIENT_H_
