#include "engine/adapter_turn.h"

#include <algorithm>
#include <chrono>

#include "base/macros.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

// A turn lasts so many times what switching costs, so that switching takes a small part of the
// time; but within bounds that keep the others' wait short and switches few.
constexpr double kTurnPerSwitch = 20.0;
constexpr double kMinTurnUs = 100'000;
constexpr double kMaxTurnUs = 1'000'000;

}  // namespace

AdapterPtr ChooseAdapter(const EngineState& state, const std::vector<ActiveRequest*>& ready) {
  const AdapterPtr& current = state.adapter_turn.adapter;
  bool current_is_ready = false;
  const ActiveRequest* longest_waiting = nullptr;  // of the other adapters' requests
  for (const ActiveRequest* request : ready) {
    if (request->adapter() == current) {
      current_is_ready = true;
    } else if (longest_waiting == nullptr || request->last_step < longest_waiting->last_step ||
               (request->last_step == longest_waiting->last_step &&
                request->arrival < longest_waiting->arrival)) {
      longest_waiting = request;
    }
  }
  if (longest_waiting == nullptr) return current;
  const double turn_us =
      std::clamp(kTurnPerSwitch * state.adapter_turn.switch_us, kMinTurnUs, kMaxTurnUs);
  const bool turn_is_over =
      Clock::now() - state.adapter_turn.since >= std::chrono::duration<double, std::micro>(turn_us);
  return current_is_ready && !turn_is_over ? current : longest_waiting->adapter();
}

Status UseAdapter(EngineState& state, const AdapterPtr& adapter) {
  AdapterTurn& turn = state.adapter_turn;
  if (adapter == turn.adapter) return OkStatus();
  const Clock::time_point start = Clock::now();
  FORETOKEN_RETURN_IF_ERROR(
      state.backend.UseAdapter(adapter != nullptr ? adapter->weights.get() : nullptr,
                               adapter != nullptr ? adapter->scale : 1.0f));
  turn.switch_us = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  turn.adapter = adapter;
  turn.since = start;
  ++turn.switches;
  return OkStatus();
}

}  // namespace foretoken
