#ifndef FORETOKEN_UNIT_SERVER_RAW_HTTP_CLIENT_H_
#define FORETOKEN_UNIT_SERVER_RAW_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace foretoken {

// What a client makes of an answer; `status` is 0 where none came.
struct RawResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool complete = false;  // the body ended as its framing says
};

// A blocking client that sends and reads plain bytes, well-formed or not, and shares no code with
// the server. Reads give up after 20 s, so that a test fails instead of hanging.
class RawHttpClient {
 public:
  explicit RawHttpClient(uint16_t port, int receive_buffer_bytes = 0) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                   sizeof receive_buffer_bytes);
    }
    const timeval patience = {.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawHttpClient() { Close(); }
  RawHttpClient(const RawHttpClient&) = delete;
  RawHttpClient& operator=(const RawHttpClient&) = delete;

  bool connected() const { return connected_; }
  int socket() const { return socket_; }

  // False when the server does not take all of it.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void ShutdownSend() { ::shutdown(socket_, SHUT_WR); }
  void Close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  // Closes with a reset instead of an orderly end.
  void Reset() {
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    Close();
  }

  // Everything until the server closes (its reset counts as that).
  std::string ReadAll() {
    while (Fill()) {
    }
    return std::exchange(buffer_, "");
  }
  // `count` bytes, or fewer where the connection ends.
  std::string ReadBytes(size_t count) {
    while (buffer_.size() < count && Fill()) {
    }
    return Take(count);
  }
  // Until `end` has come, and with it.
  std::string ReadUntil(std::string_view end) {
    while (buffer_.find(end) == std::string::npos) {
      if (!Fill()) return std::exchange(buffer_, "");
    }
    return Take(buffer_.find(end) + end.size());
  }

  // One answer. `to_head`: to a HEAD request, so without a body.
  RawResponse ReadResponse(bool to_head = false) {
    RawResponse response;
    const std::string head = ReadUntil("\r\n\r\n");
    if (!head.starts_with("HTTP/1.1 ")) return response;
    response.status = std::atoi(head.c_str() + 9);
    for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
      const size_t end = head.find("\r\n", at);
      const size_t colon = head.find(": ", at);
      std::string name = head.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      response.headers[name] = head.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    if (to_head) {
      response.complete = true;
    } else if (response.headers.contains("content-length")) {
      const size_t length = std::stoul(response.headers["content-length"]);
      response.body = ReadBytes(length);
      response.complete = response.body.size() == length;
    } else if (response.headers.contains("transfer-encoding")) {
      while (const std::optional<std::string> chunk = ReadChunk()) {
        response.complete = chunk->empty();
        if (response.complete) break;
        response.body += *chunk;
      }
    } else if (response.status >= 200 && response.status != 204) {
      response.body = ReadAll();
      response.complete = true;
    }
    return response;
  }
  // The data of one chunk, empty for the last; nothing where the connection ends instead.
  std::optional<std::string> ReadChunk() {
    const std::string line = ReadUntil("\r\n");
    if (!line.ends_with("\r\n")) return std::nullopt;
    const size_t size = std::stoul(line, nullptr, 16);
    const std::string data = ReadBytes(size + 2);
    if (data.size() != size + 2) return std::nullopt;
    return data.substr(0, size);
  }

 private:
  bool Fill() {
    char bytes[16 * 1024];
    const ssize_t size = ::recv(socket_, bytes, sizeof bytes, 0);
    if (size <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }
  std::string Take(size_t count) {
    std::string taken = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return taken;
  }

  int socket_ = -1;
  bool connected_ = false;
  std::string buffer_;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_RAW_HTTP_CLIENT_H_
