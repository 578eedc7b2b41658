#ifndef FORETOKEN_ENGINE_ACTIVE_REQUEST_H_
#define FORETOKEN_ENGINE_ACTIVE_REQUEST_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/ledger.h"
#include "engine/engine_request.h"
#include "engine/event_sink.h"
#include "speculative/speculative_decoder.h"

namespace foretoken {

// The state of a generation that gave up its cells, in host memory.
struct SavedState {
  std::vector<uint8_t> bytes;
  int32_t tokens = 0;
  Reservation reservation;  // of the bytes
};

// `start` and so many milliseconds; the end of time where that is beyond it.
inline std::chrono::steady_clock::time_point AddMilliseconds(
    std::chrono::steady_clock::time_point start, int64_t milliseconds) {
  constexpr auto kEnd = std::chrono::steady_clock::time_point::max();
  const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(kEnd - start).count();
  return milliseconds >= most ? kEnd : start + std::chrono::milliseconds(milliseconds);
}

// A request in an engine, from submission to its last event. It waits without a decoder, runs with
// one, and is paused with one whose target cache is empty. Plain data; engine's thread.
struct ActiveRequest {
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kLongStall{1};

  ActiveRequest(EngineRequest r, const Vocabulary& vocabulary,
                std::shared_ptr<StreamChannel> channel)
      : request(std::move(r)), sink(request.options, vocabulary, std::move(channel)) {}

  TenantKey tenant() const { return request.tenant->key; }
  const AdapterPtr& adapter() const { return request.adapter; }
  Session& session() { return decoder->session(); }
  CachedSequence& cache() { return decoder->target().cache(); }
  // Its reader has let it wait for so long that what it holds is for others who need it.
  bool IsStalled(Clock::time_point now) const {
    return stalled_since && now >= *stalled_since + kLongStall && !sink.channel().HasRoom();
  }

  const EngineRequest request;
  EventSink sink;
  std::optional<SpeculativeDecoder> decoder;
  uint64_t arrival = 0;  // order of submission: the smaller, the older
  Clock::time_point submitted;
  std::optional<Clock::time_point> deadline;
  Clock::time_point admitted;
  // Since when its reader has let it wait.
  std::optional<Clock::time_point> stalled_since;
  std::optional<SavedState> saved;
  int32_t reused_prompt_tokens = 0;
  int64_t last_step = 0;      // that it took part in; at first the one before it was admitted
  int32_t starved_steps = 0;  // in a row, in which the back end had no room for it
  // A forward that it shared failed, and nobody knows whose fault that was: it runs alone until it
  // has committed a token.
  bool is_suspect = false;
  // Microseconds of the phases that it took part in.
  int64_t prompt_us = 0;
  int64_t draft_us = 0;
  int64_t verify_us = 0;
  int64_t sample_us = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ACTIVE_REQUEST_H_
