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

bool StreamChannel::HasRoom() const {
  MutexLock lock(mutex_);
  return events_.size() < capacity_;
}

void StreamChannel::Push(StreamEvent event) {
  MutexLock lock(mutex_);
  if (finished_) return;
  events_.push_back(std::move(event));
  changed_.NotifyAll();
}

void StreamChannel::Finish(FinishedEvent event) {
  MutexLock lock(mutex_);
  if (finished_) return;
  finished_ = true;
  events_.push_back(std::move(event));
  changed_.NotifyAll();
}

std::optional<StreamEvent> StreamChannel::Next() {
  std::optional<StreamEvent> event;
  bool was_full = false;
  {
    MutexLock lock(mutex_);
    while (events_.empty() && !finished_) changed_.Wait(mutex_);
    if (events_.empty()) return std::nullopt;
    was_full = events_.size() >= capacity_;
    event = std::move(events_.front());
    events_.pop_front();
  }
  if (was_full) mailbox_->Wake();
  return event;
}

void StreamChannel::Cancel() {
  if (!cancelled_.exchange(true)) mailbox_->Wake();
}

std::unique_ptr<GenerationStream> NewChannelStream(std::shared_ptr<StreamChannel> channel) {
  return std::make_unique<ChannelStream>(std::move(channel));
}

}  // namespace foretoken
