#include "server/sse_writer.h"

#include <utility>

namespace foretoken {

std::string SseEvent(std::string_view data, std::string_view name) {
  std::string event;
  if (!name.empty()) event.append("event: ").append(name).append("\n");
  while (true) {
    const size_t end = data.find_first_of("\r\n");
    event.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    data.remove_prefix(data.substr(end).starts_with("\r\n") ? end + 2 : end + 1);
  }
  event += "\n";
  return event;
}

asio::awaitable<Status> SseWriter::Begin(HttpHeaders headers) {
  HttpResponse head;
  head.headers = std::move(headers);
  head.headers.emplace_back("content-type", "text/event-stream; charset=utf-8");
  head.headers.emplace_back("cache-control", "no-cache");
  head.headers.emplace_back("x-accel-buffering", "no");  // asks nginx not to collect events
  StreamHeartbeat heartbeat;
  heartbeat.interval = heartbeat_;
  heartbeat.bytes = ":\n\n";
  co_return co_await exchange_.BeginStream(std::move(head), std::move(heartbeat));
}

asio::awaitable<Status> SseWriter::Send(std::string_view data, std::string_view name) {
  const std::string event = SseEvent(data, name);
  co_return co_await exchange_.Write(event);
}

asio::awaitable<Status> SseWriter::Comment(std::string_view text) {
  std::string line = ": ";
  line.append(text).append("\n\n");
  co_return co_await exchange_.Write(line);
}

asio::awaitable<Status> SseWriter::End() {
  co_return co_await exchange_.EndStream();
}

}  // namespace foretoken
