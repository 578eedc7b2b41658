#include "bench_load_generator.h"

#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "base/mutex.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

// What the threads of one load share. Any thread may call it.
class LoadRun {
 public:
  explicit LoadRun(std::span<const GenerateRequest> requests) : requests_(requests) {}

  double Now() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  }
  Clock::time_point At(double ms) const {
    return start_ + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double, std::milli>(ms));
  }

  // Sends a prompt and reads its answer to the end.
  void Answer(const LoadClient& client, size_t prompt, double due_ms);

  // Cuts off what runs; what follows is not sent.
  void Stop() FORETOKEN_EXCLUDES(mutex_);
  bool stopped() FORETOKEN_EXCLUDES(mutex_);
  void WaitForFirstToken() FORETOKEN_EXCLUDES(mutex_);
  Result<LoadRecord> Take(double window_begin_ms, double window_end_ms) FORETOKEN_EXCLUDES(mutex_);

 private:
  // A stream while it is read, so that Stop() reaches it.
  bool Register(GenerationStream* stream) FORETOKEN_EXCLUDES(mutex_);
  void Finish(GenerationStream* stream, LoadAnswer answer) FORETOKEN_EXCLUDES(mutex_);
  void Fail(Status status) FORETOKEN_EXCLUDES(mutex_);
  void StopLocked() FORETOKEN_REQUIRES(mutex_);
  void NoteToken() FORETOKEN_EXCLUDES(mutex_);

  const std::span<const GenerateRequest> requests_;
  const Clock::time_point start_ = Clock::now();
  Mutex mutex_;
  CondVar changed_;
  std::set<GenerationStream*> streams_ FORETOKEN_GUARDED_BY(mutex_);
  std::vector<LoadAnswer> answers_ FORETOKEN_GUARDED_BY(mutex_);
  Status status_ FORETOKEN_GUARDED_BY(mutex_);
  bool stopped_ FORETOKEN_GUARDED_BY(mutex_) = false;
  bool has_token_ FORETOKEN_GUARDED_BY(mutex_) = false;
};

void LoadRun::Answer(const LoadClient& client, size_t prompt, double due_ms) {
  LoadAnswer answer = {.prompt = prompt, .tenant = client.tenant, .due_ms = due_ms};
  auto stream = client.runtime->GenerateStream(requests_[prompt]);
  if (!stream.ok()) return Fail(stream.status());
  if (!Register(stream->get())) return;
  while (std::optional<StreamEvent> event = (*stream)->Next()) {
    if (auto* finish = std::get_if<FinishedEvent>(&*event)) {
      answer.finish = std::move(*finish);
      continue;
    }
    const auto& tokens = std::get<TokensEvent>(*event).tokens;
    if (tokens.empty()) continue;  // text that was held back
    answer.arrivals.push_back({Now(), static_cast<int32_t>(tokens.size())});
    for (const GeneratedToken& token : tokens) answer.tokens.push_back(token.id);
    if (answer.arrivals.size() == 1) NoteToken();
  }
  Finish(stream->get(), std::move(answer));
}

bool LoadRun::Register(GenerationStream* stream) {
  MutexLock lock(mutex_);
  if (!stopped_) streams_.insert(stream);
  return !stopped_;
}

void LoadRun::Finish(GenerationStream* stream, LoadAnswer answer) {
  MutexLock lock(mutex_);
  streams_.erase(stream);
  if (!answer.finish.status.ok() && !stopped_) {
    status_ = answer.finish.status;
    StopLocked();
  }
  answers_.push_back(std::move(answer));
}

void LoadRun::Fail(Status status) {
  MutexLock lock(mutex_);
  if (stopped_) return;
  status_ = std::move(status);
  StopLocked();
}

void LoadRun::Stop() {
  MutexLock lock(mutex_);
  StopLocked();
}

void LoadRun::StopLocked() {
  stopped_ = true;
  for (GenerationStream* stream : streams_) stream->Cancel();
  changed_.NotifyAll();
}

bool LoadRun::stopped() {
  MutexLock lock(mutex_);
  return stopped_;
}

void LoadRun::NoteToken() {
  MutexLock lock(mutex_);
  has_token_ = true;
  changed_.NotifyAll();
}

void LoadRun::WaitForFirstToken() {
  MutexLock lock(mutex_);
  while (!has_token_ && !stopped_) changed_.Wait(mutex_);
}

Result<LoadRecord> LoadRun::Take(double window_begin_ms, double window_end_ms) {
  MutexLock lock(mutex_);
  if (!status_.ok()) return status_;
  return LoadRecord{.window_begin_ms = window_begin_ms,
                    .window_end_ms = window_end_ms,
                    .answers = std::move(answers_)};
}

// Prompts for whoever is free. Any thread may call it.
class PromptQueue {
 public:
  PromptQueue(std::span<const size_t> prompts, bool repeats)
      : prompts_(prompts), repeats_(repeats) {}

  // Empty when none is left; the first time that happens is kept.
  std::optional<size_t> Next(const LoadRun& run) FORETOKEN_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (next_ == prompts_.size() && repeats_) next_ = 0;
    if (next_ < prompts_.size()) return prompts_[next_++];
    if (!emptied_ms_) emptied_ms_ = run.Now();
    return std::nullopt;
  }
  double emptied_ms() FORETOKEN_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return emptied_ms_.value_or(0);
  }

 private:
  const std::span<const size_t> prompts_;
  const bool repeats_;
  Mutex mutex_;
  size_t next_ FORETOKEN_GUARDED_BY(mutex_) = 0;
  std::optional<double> emptied_ms_ FORETOKEN_GUARDED_BY(mutex_);
};

// A thread for each client, until the queue is empty or the run stops.
std::vector<std::thread> StartClients(std::span<const LoadClient> clients, PromptQueue& queue,
                                      LoadRun& run) {
  std::vector<std::thread> threads;
  threads.reserve(clients.size());
  for (const LoadClient& client : clients) {
    threads.emplace_back([client, &queue, &run] {
      while (!run.stopped()) {
        const std::optional<size_t> prompt = queue.Next(run);
        if (!prompt) return;
        run.Answer(client, *prompt, run.Now());
      }
    });
  }
  return threads;
}

void Join(std::vector<std::thread>& threads) {
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

Result<LoadRecord> RunClosedLoad(const ClosedLoad& load) {
  LoadRun run(load.requests);
  PromptQueue queue(load.queue, /*repeats=*/false);
  PromptQueue flood_queue(load.flood_queue, /*repeats=*/true);
  std::vector<std::thread> flood = StartClients(load.flood, flood_queue, run);
  if (!flood.empty()) run.WaitForFirstToken();
  const double begin_ms = run.Now();
  std::vector<std::thread> clients = StartClients(load.clients, queue, run);
  Join(clients);
  run.Stop();
  Join(flood);
  return run.Take(begin_ms, queue.emptied_ms());
}

Result<LoadRecord> RunOpenLoad(const OpenLoad& load) {
  LoadRun run(load.requests);
  std::vector<std::thread> threads;
  threads.reserve(load.queue.size());
  for (size_t i = 0; i < load.queue.size() && !run.stopped(); ++i) {
    std::this_thread::sleep_until(run.At(load.due_ms[i]));
    threads.emplace_back([&load, &run, i] {
      run.Answer(load.senders[i % load.senders.size()], load.queue[i], load.due_ms[i]);
    });
  }
  Join(threads);
  return run.Take(0, run.Now());
}

std::vector<double> PoissonArrivals(double per_second, size_t count, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::vector<double> due_ms;
  double at_ms = 0;
  for (size_t i = 0; i < count; ++i) {
    due_ms.push_back(at_ms);
    // The inverse of the exponential law, by hand: the library's own differs between compilers.
    const double uniform = static_cast<double>(generator() >> 11) * 0x1p-53;
    at_ms -= std::log1p(-uniform) / per_second * 1000;
  }
  return due_ms;
}

}  // namespace foretoken
