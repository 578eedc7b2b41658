#include "engine/stream_channel.h"

#include <utility>

namespace foretoken {
namespace {

class ChannelStream : public GenerationStream {
 public:
  explicit ChannelStream(std::shared_ptr<StreamChannel> channel) : channel_(std::move(channel)) {}
  ~ChannelStream() override {
    channel_->NotifyWhenReady(nullptr);
    channel_->Cancel();
  }

  std::optional<StreamEvent> Next() override { return channel_->Next(); }
  std::optional<StreamEvent> TryNext() override { return channel_->TryNext(); }
  void NotifyWhenReady(std::function<void()> ready) override {
    channel_->NotifyWhenReady(std::move(ready));
  }
  void Cancel() override { channel_->Cancel(); }

 private:
  std::shared_ptr<StreamChannel> channel_;
};

}  // namespace

bool StreamChannel::HasRoom() const {
  MutexLock lock(mutex_);
  return events_.size() < capacity_;
}

std::function<void()> StreamChannel::Add(StreamEvent event) {
  events_.push_back(std::move(event));
  changed_.NotifyAll();
  return std::exchange(ready_, nullptr);
}

void StreamChannel::Push(StreamEvent event) {
  std::function<void()> ready;
  {
    MutexLock lock(mutex_);
    if (finished_) return;
    ready = Add(std::move(event));
  }
  if (ready) ready();
}

void StreamChannel::Finish(FinishedEvent event) {
  std::function<void()> ready;
  {
    MutexLock lock(mutex_);
    if (finished_) return;
    finished_ = true;
    ready = Add(std::move(event));
  }
  if (ready) ready();
}

std::optional<StreamEvent> StreamChannel::TakeFirst(bool& was_full) {
  if (events_.empty()) return std::nullopt;
  was_full = events_.size() >= capacity_;
  StreamEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

std::optional<StreamEvent> StreamChannel::Next() {
  std::optional<StreamEvent> event;
  bool was_full = false;
  {
    MutexLock lock(mutex_);
    while (events_.empty() && !finished_) changed_.Wait(mutex_);
    event = TakeFirst(was_full);
  }
  if (was_full) mailbox_->Wake();
  return event;
}

std::optional<StreamEvent> StreamChannel::TryNext() {
  std::optional<StreamEvent> event;
  bool was_full = false;
  {
    MutexLock lock(mutex_);
    event = TakeFirst(was_full);
  }
  if (was_full) mailbox_->Wake();
  return event;
}

void StreamChannel::NotifyWhenReady(std::function<void()> ready) {
  {
    MutexLock lock(mutex_);
    if (events_.empty() && !finished_) {
      ready_ = std::move(ready);
      return;
    }
    ready_ = nullptr;
  }
  if (ready) ready();
}

void StreamChannel::Cancel() {
  if (!cancelled_.exchange(true)) mailbox_->Wake();
}

std::unique_ptr<GenerationStream> NewChannelStream(std::shared_ptr<StreamChannel> channel) {
  return std::make_unique<ChannelStream>(std::move(channel));
}

}  // namespace foretoken
