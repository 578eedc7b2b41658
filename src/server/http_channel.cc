#include "server/http_channel.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace foretoken {
namespace {

template <typename Action>
class OnExit {
 public:
  explicit OnExit(Action action) : action_(std::move(action)) {}
  ~OnExit() { action_(); }
  OnExit(const OnExit&) = delete;
  OnExit& operator=(const OnExit&) = delete;

 private:
  Action action_;
};

}  // namespace

HttpChannel::HttpChannel(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls,
                         std::chrono::milliseconds slow_reader_time)
    : stream_(std::move(socket), std::move(tls)),
      slow_reader_time_(slow_reader_time),
      read_event_(stream_.get_executor()),
      read_deadline_(stream_.get_executor(), [this] { ExpireReading(); }),
      write_event_(stream_.get_executor()),
      write_deadline_(stream_.get_executor(), [this] {
        Abort(DeadlineExceededError("the client did not read its answer"));
      }) {}

asio::awaitable<HttpChannel::ReadOutcome> HttpChannel::Read() {
  const size_t before = input_.size();
  while (input_.size() == before) {
    if (read_timed_out_) co_return ReadOutcome::kTimedOut;
    if (peer_closed_) co_return ReadOutcome::kClosed;
    StartRead();
    co_await read_event_.Wait();
  }
  co_return ReadOutcome::kBytes;
}

void HttpChannel::SetReadDeadline(std::chrono::steady_clock::time_point when) {
  read_deadline_.ArmAt(when);
}

void HttpChannel::ClearReadDeadline() {
  read_deadline_.Disarm();
}

void HttpChannel::ExpireReading() {
  read_timed_out_ = true;
  if (lingering_) stream_.Close();
  read_event_.NotifyAll();
}

void HttpChannel::Watch(std::function<void()> on_closed) {
  on_closed_ = std::move(on_closed);
  if (peer_closed_) {
    OnPeerClosed();
  } else if (input_.empty()) {
    StartRead();
  }
}

void HttpChannel::StartRead() {
  if (reading_ || peer_closed_) return;
  reading_ = true;
  stream_.async_read_some(asio::buffer(read_buffer_),
                          [self = shared_from_this()](const boost::system::error_code& error,
                                                      size_t size) { self->OnRead(error, size); });
}

void HttpChannel::OnRead(const boost::system::error_code& error, size_t size) {
  reading_ = false;
  bytes_in_ += size;
  input_.append(read_buffer_.data(), size);
  if (error) {
    // An end of the stream leaves the other direction open; anything else has broken both.
    if (error != asio::error::eof && status_.ok()) {
      status_ = CancelledError("the connection broke: " + error.message());
    }
    OnPeerClosed();
  }
  read_event_.NotifyAll();
}

void HttpChannel::OnPeerClosed() {
  peer_closed_ = true;
  if (!on_closed_) return;
  const std::function<void()> callback = std::exchange(on_closed_, nullptr);
  callback();
}

asio::awaitable<Status> HttpChannel::Write(std::string bytes) {
  while (writing_) co_await write_event_.Wait();
  writing_ = true;
  co_return co_await WriteNow(std::move(bytes));
}

void HttpChannel::WriteIfIdle(std::string bytes) {
  if (writing_ || !status_.ok()) return;
  writing_ = true;
  asio::co_spawn(
      executor(),
      [self = shared_from_this(), bytes = std::move(bytes)]() mutable -> asio::awaitable<void> {
        const Status ignored = co_await self->WriteNow(std::move(bytes));  // status() has it
        static_cast<void>(ignored);
      },
      asio::detached);
}

asio::awaitable<Status> HttpChannel::WriteNow(std::string bytes) {
  size_t written = 0;
  // Also where the writing coroutine is cancelled half-way.
  const OnExit turn([this, &written, &bytes] {
    if (written < bytes.size() && status_.ok()) status_ = CancelledError("a write was given up");
    write_deadline_.Disarm();
    writing_ = false;
    write_event_.NotifyAll();
  });
  while (written < bytes.size() && status_.ok()) {
    write_deadline_.ArmAfter(slow_reader_time_);
    const auto [error, size] = co_await stream_.async_write_some(
        asio::buffer(bytes.data() + written, bytes.size() - written),
        asio::as_tuple(asio::use_awaitable));
    written += size;
    bytes_out_ += size;
    if (error && status_.ok()) {
      status_ = CancelledError("the client closed the connection: " + error.message());
      OnPeerClosed();
    }
  }
  co_return written == bytes.size() ? OkStatus() : status_;
}

asio::awaitable<void> HttpChannel::Close(bool unread_request,
                                         std::chrono::milliseconds linger_time) {
  while (writing_) co_await write_event_.Wait();
  if (status_.ok() && !peer_closed_) {
    lingering_ = true;
    read_deadline_.ArmAfter(linger_time);
    // A peer that is still sending would not see a TLS goodbye before all of it was read.
    co_await stream_.ShutdownSend(!unread_request);
    while (!peer_closed_) {
      input_.clear();
      StartRead();
      co_await read_event_.Wait();
    }
  }
  read_deadline_.Disarm();
  stream_.Close();
}

void HttpChannel::Abort(Status why) {
  if (status_.ok()) status_ = std::move(why);
  stream_.Close();
  // A pending read ends by the close; without one nobody would hear of it.
  if (!reading_) OnPeerClosed();
  read_event_.NotifyAll();
}

}  // namespace foretoken
