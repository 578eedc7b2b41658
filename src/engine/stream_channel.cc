#include "engine/stream_channel.h"

#include <utility>

namespace foretoken {
namespace {

class ChannelStream : public GenerationStream {
 public:
  explicit ChannelStream(std::shared_ptr<StreamChannel> channel) : channel_(std::move(channel)) {}
  ~ChannelStream() override { channel_->Cancel(); }

  std::optional<StreamEvent> Next() override { return channel_->Next(); }
  void Cancel() override { channel_->Cancel(); }

 private:
  std::shared_ptr<StreamChannel> channel_;
};

}  // namespace

bool StreamChannel::Start() {
  MutexLock lock(mutex_);
  started_ = true;
  return !cancelled_;
}

bool StreamChannel::Push(StreamEvent event) {
  MutexLock lock(mutex_);
  while (events_.size() >= capacity_ && !cancelled_ && !finished_) changed_.Wait(mutex_);
  if (cancelled_ || finished_) return false;
  events_.push_back(std::move(event));
  changed_.NotifyAll();
  return true;
}

void StreamChannel::Finish(FinishedEvent event) {
  MutexLock lock(mutex_);
  if (finished_) return;
  finished_ = true;
  events_.push_back(std::move(event));
  changed_.NotifyAll();
}

std::optional<StreamEvent> StreamChannel::Next() {
  MutexLock lock(mutex_);
  while (events_.empty() && !finished_) changed_.Wait(mutex_);
  if (events_.empty()) return std::nullopt;
  StreamEvent event = std::move(events_.front());
  events_.pop_front();
  changed_.NotifyAll();
  return event;
}

void StreamChannel::Cancel() {
  MutexLock lock(mutex_);
  cancelled_ = true;
  if (!started_ && !finished_) {
    finished_ = true;
    FinishedEvent event;
    event.status = CancelledError("cancelled before it started");
    event.reason = FinishReason::kCancelled;
    events_.push_back(std::move(event));
  }
  changed_.NotifyAll();
}

std::unique_ptr<GenerationStream> NewChannelStream(std::shared_ptr<StreamChannel> channel) {
  return std::make_unique<ChannelStream>(std::move(channel));
}

}  // namespace foretoken
