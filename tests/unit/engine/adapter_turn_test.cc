#include "engine/adapter_turn.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

#include "unit/engine/engine_fixture.h"

namespace foretoken {
namespace {

class AdapterTurnTest : public EngineStateTest {
 protected:
  AdapterTurnTest() {
    model_options_.adapters = {{"formal", 11}, {"casual", 12}, {"terse", 13}};
    formal_ = NewAdapter("formal");
    casual_ = NewAdapter("casual");
    terse_ = NewAdapter("terse");
  }

  // A request that could take part in a step, and took part in `last_step` for the last time.
  ActiveRequest* NewActive(const AdapterPtr& adapter, int64_t last_step) {
    EngineRequest request = NewRequest(1, {1});
    request.adapter = adapter;
    active_.push_back(std::make_unique<ActiveRequest>(
        std::move(request), state().vocabulary, std::make_shared<StreamChannel>(1, mailbox_)));
    active_.back()->arrival = active_.size();
    active_.back()->last_step = last_step;
    return active_.back().get();
  }

  // The turn has just begun (its end is far ahead), or it is over, whatever it may last.
  void BeginTurn(const AdapterPtr& adapter) {
    ASSERT_TRUE(UseAdapter(state(), adapter).ok());
    state().adapter_turn.since = Clock::now() + std::chrono::hours(1);
  }
  void EndTurn() { state().adapter_turn.since = Clock::now() - std::chrono::hours(1); }

  AdapterPtr formal_;
  AdapterPtr casual_;
  AdapterPtr terse_;
  std::vector<std::unique_ptr<ActiveRequest>> active_;
};

TEST_F(AdapterTurnTest, TheOneOfNowIsKeptWhileNobodyWantsAnother) {
  BeginTurn(formal_);
  EndTurn();
  EXPECT_EQ(ChooseAdapter(state(), {NewActive(formal_, 1), NewActive(formal_, 2)}), formal_);
}

TEST_F(AdapterTurnTest, TheOneOfNowIsKeptForItsTurn) {
  BeginTurn(formal_);
  const std::vector<ActiveRequest*> ready = {NewActive(formal_, 9), NewActive(nullptr, 1)};
  EXPECT_EQ(ChooseAdapter(state(), ready), formal_);
  EndTurn();
  EXPECT_EQ(ChooseAdapter(state(), ready), nullptr);
}

TEST_F(AdapterTurnTest, ATurnIsBoundedWhateverASwitchCosts) {
  BeginTurn(formal_);
  state().adapter_turn.switch_us = 1e12;
  state().adapter_turn.since = Clock::now() - std::chrono::seconds(2);
  EXPECT_EQ(ChooseAdapter(state(), {NewActive(formal_, 9), NewActive(nullptr, 1)}), nullptr);
}

TEST_F(AdapterTurnTest, ATurnWithoutReadyRequestsIsGivenUp) {
  BeginTurn(formal_);
  EXPECT_EQ(ChooseAdapter(state(), {NewActive(casual_, 5)}), casual_);
}

TEST_F(AdapterTurnTest, TheLongestWaitingIsNext) {
  BeginTurn(formal_);
  EndTurn();
  std::vector<ActiveRequest*> ready = {NewActive(formal_, 9), NewActive(nullptr, 5),
                                       NewActive(casual_, 4)};
  EXPECT_EQ(ChooseAdapter(state(), ready), casual_);
  // Of those that have waited as long, the older.
  ready.push_back(NewActive(terse_, 4));
  EXPECT_EQ(ChooseAdapter(state(), ready), casual_);
  active_.back()->arrival = 0;
  EXPECT_EQ(ChooseAdapter(state(), ready), terse_);
}

TEST_F(AdapterTurnTest, SwitchesOnlyWhatIsNotInUse) {
  ASSERT_TRUE(UseAdapter(state(), nullptr).ok());
  EXPECT_EQ(control_->adapter_switches, 0);
  ASSERT_TRUE(UseAdapter(state(), formal_).ok());
  ASSERT_TRUE(UseAdapter(state(), formal_).ok());
  ASSERT_TRUE(UseAdapter(state(), nullptr).ok());
  EXPECT_EQ(control_->adapter_switches, 2);
  EXPECT_EQ(state().adapter_turn.switches, 2);
}

TEST_F(AdapterTurnTest, AFailedSwitchLeavesTheTurnAsItWas) {
  BeginTurn(formal_);
  const Clock::time_point since = state().adapter_turn.since;
  control_->before_call = [](FakeCall call) {
    return call == FakeCall::kUseAdapter ? InternalError("broken") : OkStatus();
  };
  EXPECT_EQ(UseAdapter(state(), casual_), InternalError("broken"));
  EXPECT_EQ(ChooseAdapter(state(), {NewActive(formal_, 1)}), formal_);
  EXPECT_EQ(state().adapter_turn.since, since);
  EXPECT_EQ(state().adapter_turn.switches, 1);
}

// Two adapters whose requests never end coming, and one whose single request needs many steps: it
// gets its turn after each of the others'.
TEST_F(AdapterTurnTest, NewRequestsOfOthersDoNotStarveAnOldOne) {
  options_.runtime.max_running = 200;
  EngineRequest old = NewRequest(1, {1, 2}, 30);
  old.adapter = terse_;
  const Submitted patient = Add(std::move(old));
  for (int step = 0; !IsOver(patient); ++step) {
    ASSERT_LT(step, 200) << "after " << patient.request->sink.tokens() << " tokens";
    EngineRequest fresh = NewRequest(1, {static_cast<TokenId>(1 + step % 15)}, 1);
    fresh.adapter = step % 2 == 0 ? formal_ : casual_;
    Add(std::move(fresh));
    EndTurn();
    RunSteps(1);
  }
  EXPECT_EQ(Read(patient).tokens.size(), 30u);
  RunToTheEnd();
}

}  // namespace
}  // namespace foretoken
