#ifndef FORETOKEN_SERVER_HTTP_CHANNEL_H_
#define FORETOKEN_SERVER_HTTP_CHANNEL_H_

#include <array>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "foretoken/status.h"
#include "server/http_stream.h"
#include "server/http_timers.h"

namespace foretoken {

// The bytes of one connection, both ways. It reads while a request is answered, so that a peer that
// goes away is noticed; the first bytes that come instead are kept, and no more are taken before
// they are used. Everything but construction runs on the stream's strand. Once broken (status()),
// it stays so.
class HttpChannel : public std::enable_shared_from_this<HttpChannel> {
 public:
  enum class ReadOutcome { kBytes, kClosed, kTimedOut };

  HttpChannel(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls,
              std::chrono::milliseconds slow_reader_time);

  asio::any_io_executor executor() { return stream_.get_executor(); }
  HttpStream& stream() { return stream_; }

  // Bytes that were read and not yet taken: take them from the front.
  std::string& input() { return input_; }
  // Waits until input() has grown, no more will come, or the read deadline is over.
  asio::awaitable<ReadOutcome> Read();
  // The moment at which Read gives up; nothing moves it on by itself.
  void SetReadDeadline(std::chrono::steady_clock::time_point when);
  void ClearReadDeadline();
  // Makes a Read that waits, and the next ones, return kTimedOut.
  void ExpireReading();

  // Calls `on_closed` once when the peer closes, until StopWatching; a peer that has sent something
  // else first is noticed by the next write only.
  void Watch(std::function<void()> on_closed);
  void StopWatching() { on_closed_ = nullptr; }
  // Whether no read is under way and nothing unread is left.
  bool quiet() const { return !reading_ && input_.empty(); }

  // Completes when the socket has taken all of `bytes`. Writers take turns.
  asio::awaitable<Status> Write(std::string bytes);
  // The same in the background, left out when somebody is writing.
  void WriteIfIdle(std::string bytes);
  bool writing() const { return writing_; }
  // Why nothing can be written any more; OK while it can.
  const Status& status() const { return status_; }

  // Ends the connection so that the peer can read what was sent: says that no more comes, then
  // drops what still arrives until the peer closes or `linger_time` is over.
  asio::awaitable<void> Close(bool unread_request, std::chrono::milliseconds linger_time);
  // Ends it at once.
  void Abort(Status why);

  uint64_t bytes_in() const { return bytes_in_; }
  uint64_t bytes_out() const { return bytes_out_; }

 private:
  void StartRead();
  void OnRead(const boost::system::error_code& error, size_t size);
  void OnPeerClosed();
  // Precondition: writing_ was set for this call.
  asio::awaitable<Status> WriteNow(std::string bytes);

  HttpStream stream_;
  const std::chrono::milliseconds slow_reader_time_;
  Status status_;

  std::array<char, 16 * 1024> read_buffer_;
  std::string input_;
  bool reading_ = false;
  bool peer_closed_ = false;
  bool read_timed_out_ = false;
  bool lingering_ = false;
  std::function<void()> on_closed_;  // set while watching
  StrandEvent read_event_;
  Deadline read_deadline_;

  bool writing_ = false;
  StrandEvent write_event_;
  Deadline write_deadline_;

  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_CHANNEL_H_
