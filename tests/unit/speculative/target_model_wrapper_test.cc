#include "speculative/target_model_wrapper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

Draft DraftOf(const Tokens& tokens) {
  Draft draft;
  draft.source = DraftSourceKind::kSuffix;
  draft.tokens = tokens;
  return draft;
}

TEST(TargetModelWrapperTest, OneForwardARoundAndRejectedTokensLeaveTheCache) {
  FakeSetup setup;
  TargetModelWrapper target("target", *setup.pool, std::nullopt);
  Session session = NewSession({3, 4, 5});
  EXPECT_EQ(target.MissingTokens(session), 3);
  const Tokens expected = Continuation(setup.options, NewSession({3, 4, 5}), 2);
  EXPECT_EQ(target.VerifyDraft(session, Draft())->tokens[0].id, expected[0]);
  EXPECT_EQ(setup.control->decodes, 1);
  EXPECT_EQ(setup.control->cells_in_use, 3);
  session.Commit(expected[0]);
  EXPECT_EQ(target.MissingTokens(session), 1);

  const auto verification = target.VerifyDraft(session, DraftOf({expected[1], 15, 15}));
  ASSERT_TRUE(verification.ok());
  EXPECT_EQ(setup.control->decodes, 2);
  EXPECT_GE(verification->accepted, 1);
  EXPECT_EQ(verification->tokens.size(), static_cast<size_t>(verification->accepted) + 1);
  EXPECT_EQ(verification->tokens[0].id, expected[1]);
  EXPECT_EQ(setup.control->cells_in_use, 4 + verification->accepted);
}

TEST(TargetModelWrapperTest, DraftsAreBoundedByTheBackEnd) {
  FakeSetup rows({.max_batch_rows = 6, .max_logits_rows = 9});
  EXPECT_EQ(TargetModelWrapper("t", *rows.pool, std::nullopt).max_draft_tokens(), 5);
  FakeSetup logits({.max_batch_rows = 9, .max_logits_rows = 3});
  EXPECT_EQ(TargetModelWrapper("t", *logits.pool, std::nullopt).max_draft_tokens(), 2);
  FakeSetup recurrent({.can_truncate = false});
  EXPECT_EQ(TargetModelWrapper("t", *recurrent.pool, std::nullopt).max_draft_tokens(), 0);
}

TEST(TargetModelWrapperTest, APrefillIsSplitIntoBatchesAndTheRowsWithLogitsStayTogether) {
  FakeSetup setup({.max_batch_rows = 4, .max_logits_rows = 4});
  TargetModelWrapper target("t", *setup.pool, std::nullopt);
  Session session = NewSession({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(target.VerifyDraft(session, DraftOf({1, 2, 3, 4})).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(setup.control->decodes, 0);
  const Tokens expected = Continuation(setup.options, NewSession(session.tokens), 4);
  const auto verification =
      target.VerifyDraft(session, DraftOf({expected[0], expected[1], expected[2]}));
  ASSERT_TRUE(verification.ok()) << verification.status().ToString();
  EXPECT_EQ(verification->accepted, 3);
  EXPECT_EQ(verification->tokens[3].id, expected[3]);
  EXPECT_EQ(setup.control->decodes, 6);  // the draft leaves room for one token at a time
  TargetModelWrapper plain("t", *setup.pool, std::nullopt);
  ASSERT_TRUE(plain.VerifyDraft(session, Draft()).ok());
  EXPECT_EQ(setup.control->decodes, 6 + 2);  // 4 + 2
}

TEST(TargetModelWrapperTest, FailuresNameTheModel) {
  FakeSetup setup;
  setup.control->before_decode = [](int64_t, std::span<const BatchRow>) {
    return InternalError("broken");
  };
  TargetModelWrapper target("big", *setup.pool, std::nullopt);
  Session session = NewSession({3});
  EXPECT_EQ(target.VerifyDraft(session, Draft()).status(), InternalError("model big: broken"));
}

TEST(TargetModelWrapperTest, AMemoryThatCannotBeCutIsRebuiltAfterARejection) {
  FakeSetup setup({.can_truncate = false});
  TargetModelWrapper target("t", *setup.pool, std::nullopt);
  Session session = NewSession({3, 4});
  const Tokens expected = Continuation(setup.options, NewSession({3, 4}), 2);
  const Draft wrong = DraftOf({expected[0] == 1 ? 2 : 1});
  WorkerPool alone(1);
  VerifyTask task{.target = &target, .session = &session, .draft = &wrong};
  VerifyTogether({&task, 1}, alone);
  EXPECT_TRUE(task.status.ok()) << task.status.ToString();
  ASSERT_TRUE(task.verification);
  EXPECT_EQ(task.verification->tokens[0].id, expected[0]);
  EXPECT_EQ(setup.control->cells_in_use, 0);
  session.Commit(expected[0]);
  EXPECT_EQ(target.VerifyDraft(session, Draft())->tokens[0].id, expected[1]);
}

// A generation that takes part in a VerifyTogether.
struct Generation {
  Generation(SequencePool& pool, const Tokens& prompt, uint64_t seed, VerifyRule rule,
             int32_t vocabulary_size = 16)
      : target("target", pool, 2),
        session(NewSession(prompt, {.temperature = 0.8f, .repetition_penalty = 1.3f}, seed,
                           vocabulary_size)) {
    session.rule = rule;
  }

  TargetModelWrapper target;
  Session session;
  Draft draft;
};

class VerifyTogetherTest : public testing::Test {
 protected:
  Generation& Add(const Tokens& prompt, const Draft& draft = {},
                  VerifyRule rule = VerifyRule::kCoupled, int32_t vocabulary_size = 16) {
    Generation& generation = generations_.emplace_back(
        *setup_.pool, prompt, 50 + generations_.size(), rule, vocabulary_size);
    generation.draft = draft;
    return generation;
  }

  // One that has run all but the last of its tokens.
  Generation& AddDecoding(const Tokens& tokens, const Draft& draft = {},
                          VerifyRule rule = VerifyRule::kCoupled) {
    Generation& generation = Add(tokens, draft, rule);
    ForwardPart fill{.cache = &generation.target.cache(),
                     .tokens = Tokens(tokens.begin(), tokens.end() - 1)};
    ForwardPart* part = &fill;
    RunForward(*setup_.backend, {&part, 1}, [](auto) {});
    return generation;
  }

  std::vector<VerifyTask> Tasks() {
    std::vector<VerifyTask> tasks;
    for (Generation& generation : generations_) {
      tasks.push_back({.target = &generation.target,
                       .session = &generation.session,
                       .draft = &generation.draft});
    }
    return tasks;
  }

  // What the model says to generation `i` alone, its whole prompt run for it.
  Verification Alone(size_t i, const Draft& draft) {
    FakeSetup setup({.max_batch_rows = 64, .max_logits_rows = 64});
    const Session& session = generations_[i].session;
    Generation alone(*setup.pool, session.tokens, 50 + i, session.rule);
    return alone.target.VerifyDraft(alone.session, draft).value();
  }

  void ExpectVerified(const VerifyTask& task, size_t i, const Draft& draft) {
    SCOPED_TRACE("task " + std::to_string(i));
    EXPECT_TRUE(task.status.ok()) << task.status.ToString();
    ASSERT_TRUE(task.verification);
    const Verification alone = Alone(i, draft);
    EXPECT_EQ(task.verification->accepted, alone.accepted);
    ASSERT_EQ(task.verification->tokens.size(), alone.tokens.size());
    for (size_t t = 0; t < alone.tokens.size(); ++t) {
      const VerifiedToken& token = task.verification->tokens[t];
      EXPECT_EQ(token.id, alone.tokens[t].id);
      EXPECT_EQ(token.origin, alone.tokens[t].origin);
      ASSERT_TRUE(token.logprobs);
      EXPECT_EQ(token.logprobs->chosen, alone.tokens[t].logprobs->chosen);
    }
    // The session is as it was, and the cache holds what is kept.
    const Session& session = generations_[i].session;
    EXPECT_EQ(session.history.output_size(), 0u);
    Tokens kept = session.tokens;
    for (int32_t t = 0; t < alone.accepted; ++t) {
      kept.push_back(alone.tokens[static_cast<size_t>(t)].id);
    }
    EXPECT_TRUE(std::ranges::equal(generations_[i].target.cache().tokens(), kept));
  }

  // The first tokens that the target says to `tokens`, and then a wrong one.
  Draft RightThenWrong(size_t i, const Tokens& tokens, int32_t right) {
    Session session = NewSession(tokens, {.temperature = 0.8f, .repetition_penalty = 1.3f}, 50 + i);
    Tokens guess = Continuation(setup_.options, std::move(session), right + 1);
    guess.back() = guess.back() == 1 ? 2 : 1;
    return DraftOf(guess);
  }

  void ExpectCells() const {
    int32_t cells = 0;
    for (const Generation& g : generations_) cells += g.target.cache().cached_tokens();
    EXPECT_EQ(setup_.pool->used_cells(), cells);
    EXPECT_EQ(setup_.control->cells_in_use, cells);
  }

  FakeSetup setup_{{.max_batch_rows = 32, .max_logits_rows = 32}};
  WorkerPool workers_{3};
  std::deque<Generation> generations_;
};

TEST_F(VerifyTogetherTest, PromptsDecodingAndDraftsShareOneForward) {
  Add({1, 2, 3, 4, 5, 6});                                  // a chunk of a prompt
  Add({7, 8, 9});                                           // a whole prompt
  AddDecoding({4, 4});                                      // plain
  AddDecoding({5, 6, 7}, RightThenWrong(3, {5, 6, 7}, 2));  // accepted in part
  AddDecoding({5, 5}, RightThenWrong(4, {5, 5}, 0));        // rejected
  Draft right = RightThenWrong(5, {9, 1}, 3);
  right.tokens.pop_back();
  AddDecoding({9, 1}, right);  // accepted whole
  std::vector<VerifyTask> tasks = Tasks();
  tasks[0].max_committed_rows = 4;
  const int64_t decodes = setup_.control->decodes;
  const ForwardReport report = VerifyTogether(tasks, workers_);
  EXPECT_EQ(setup_.control->decodes - decodes, 1);
  EXPECT_EQ(report.forwards, 1);
  EXPECT_EQ(report.rows, 4 + 3 + 1 + 4 + 2 + 4);
  EXPECT_TRUE(tasks[0].status.ok());
  EXPECT_FALSE(tasks[0].verification);
  EXPECT_EQ(generations_[0].target.MissingTokens(generations_[0].session), 2);
  for (size_t i = 1; i < tasks.size(); ++i) ExpectVerified(tasks[i], i, generations_[i].draft);
  EXPECT_EQ(tasks[3].verification->accepted, 2);
  EXPECT_EQ(tasks[4].verification->accepted, 0);
  EXPECT_EQ(tasks[5].verification->accepted, 3);
  EXPECT_EQ(tasks[1].verification->tokens[0].origin, TokenOrigin::kPlain);
  EXPECT_EQ(tasks[4].verification->tokens[0].origin, TokenOrigin::kCorrected);
  EXPECT_EQ(tasks[5].verification->tokens[3].origin, TokenOrigin::kBonus);
  ExpectCells();
}

TEST_F(VerifyTogetherTest, NoTasksIsNoForward) {
  EXPECT_EQ(VerifyTogether({}, workers_).forwards, 0);
}

TEST_F(VerifyTogetherTest, APromptInChunksOfAnySizeGivesWhatItGivesWhole) {
  const Tokens prompt = {1, 2, 3, 4, 5, 6, 7};
  for (int32_t chunk = 1; chunk <= 8; ++chunk) {
    generations_.clear();
    Add(prompt);
    int32_t forwards = 0;
    while (true) {
      std::vector<VerifyTask> tasks = Tasks();
      tasks[0].max_committed_rows = chunk;
      VerifyTogether(tasks, workers_);
      ASSERT_TRUE(tasks[0].status.ok());
      EXPECT_EQ(generations_[0].target.cache().cached_tokens(), std::min(++forwards * chunk, 7));
      if (!tasks[0].verification) continue;
      ExpectVerified(tasks[0], 0, {});
      break;
    }
    EXPECT_EQ(forwards, (7 + chunk - 1) / chunk);
  }
}

TEST_F(VerifyTogetherTest, WhoFailsFailsAlone) {
  for (size_t bad = 0; bad < 4; ++bad) {
    SCOPED_TRACE(bad);
    generations_.clear();
    Add({1, 2, 3});
    AddDecoding({4, 4});
    AddDecoding({5, 6}, RightThenWrong(2, {5, 6}, 1));
    AddDecoding({7, 7}, RightThenWrong(3, {7, 7}, 2));
    const int32_t cached = generations_[bad].target.cache().cached_tokens();
    setup_.control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
      const Sequence* sequence = generations_[bad].target.cache().sequence();
      return sequence != nullptr && SequencesOf(rows).contains(sequence->id())
                 ? InternalError("injected")
                 : OkStatus();
    };
    std::vector<VerifyTask> tasks = Tasks();
    VerifyTogether(tasks, workers_);
    setup_.control->before_decode = nullptr;
    for (size_t i = 0; i < 4; ++i) {
      if (i != bad) {
        ExpectVerified(tasks[i], i, generations_[i].draft);
        EXPECT_TRUE(tasks[i].verification->dropped.ok());
        continue;
      }
      EXPECT_EQ(tasks[i].status, InternalError("model target: injected"));
      EXPECT_FALSE(tasks[i].verification);
      EXPECT_EQ(generations_[i].target.cache().cached_tokens(), cached);
    }
    ExpectCells();
    // It can go on from there.
    std::vector<VerifyTask> again = {Tasks()[bad]};
    VerifyTogether(again, workers_);
    ExpectVerified(again[0], bad, generations_[bad].draft);
  }
}

TEST_F(VerifyTogetherTest, ADraftIsDroppedBeforeItsTaskFails) {
  AddDecoding({1, 1}, RightThenWrong(0, {1, 1}, 2));
  AddDecoding({2, 2}, RightThenWrong(1, {2, 2}, 2));
  const SequenceId bad = generations_[1].target.cache().sequence()->id();
  setup_.control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
    const auto of_bad = std::count_if(rows.begin(), rows.end(),
                                      [&](const BatchRow& row) { return row.sequences[0] == bad; });
    return of_bad > 1 ? ResourceExhaustedError("no room for guesses") : OkStatus();
  };
  std::vector<VerifyTask> tasks = Tasks();
  VerifyTogether(tasks, workers_);
  ExpectVerified(tasks[0], 0, generations_[0].draft);
  ExpectVerified(tasks[1], 1, {});
  EXPECT_EQ(tasks[1].verification->dropped, ResourceExhaustedError("no room for guesses"));
  EXPECT_EQ(tasks[1].verification->tokens[0].origin, TokenOrigin::kPlain);
  ExpectCells();
}

TEST_F(VerifyTogetherTest, WhoCannotBeJudgedFailsAloneAndMissesItsLastToken) {
  AddDecoding({1, 1}, RightThenWrong(0, {1, 1}, 1));
  Add({2, 2}, DraftOf({3, 3}), VerifyRule::kCoupled, /*vocabulary_size=*/9);  // not the model's
  AddDecoding({3, 3});
  std::vector<VerifyTask> tasks = Tasks();
  VerifyTogether(tasks, workers_);
  ExpectVerified(tasks[0], 0, generations_[0].draft);
  ExpectVerified(tasks[2], 2, {});
  EXPECT_EQ(tasks[1].status.code(), StatusCode::kInternal);
  EXPECT_EQ(tasks[1].status.message().find("model target: "), 0u);
  EXPECT_FALSE(tasks[1].verification);
  EXPECT_EQ(generations_[1].session.history.output_size(), 0u);
  EXPECT_EQ(generations_[1].target.MissingTokens(generations_[1].session), 1);
  ExpectCells();
}

TEST_F(VerifyTogetherTest, CancelledLeavesAllAsTheyWere) {
  Add({1, 2, 3});
  AddDecoding({4, 4, 4}, RightThenWrong(1, {4, 4, 4}, 1));
  setup_.control->before_decode = [](int64_t, std::span<const BatchRow>) {
    return CancelledError("enough");
  };
  std::vector<VerifyTask> tasks = Tasks();
  const ForwardReport report = VerifyTogether(tasks, workers_);
  EXPECT_EQ(report.forwards, 1);
  for (const VerifyTask& task : tasks) {
    EXPECT_EQ(task.status.code(), StatusCode::kCancelled);
    EXPECT_FALSE(task.verification);
  }
  EXPECT_EQ(generations_[0].target.MissingTokens(generations_[0].session), 3);
  EXPECT_EQ(generations_[1].target.MissingTokens(generations_[1].session), 1);
  ExpectCells();
  setup_.control->before_decode = nullptr;
  tasks = Tasks();
  VerifyTogether(tasks, workers_);
  for (size_t i = 0; i < 2; ++i) ExpectVerified(tasks[i], i, generations_[i].draft);
}

TEST_F(VerifyTogetherTest, RandomMixturesGiveWhatEachGivesAlone) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto up_to = [&](int32_t n) { return static_cast<int32_t>(random() % (n + 1)); };
    generations_.clear();
    const auto count = static_cast<size_t>(up_to(5)) + 1;
    for (size_t i = 0; i < count; ++i) {
      Tokens tokens(static_cast<size_t>(up_to(6)) + 2);
      for (TokenId& token : tokens) token = up_to(15);
      const VerifyRule rule = up_to(1) == 0 ? VerifyRule::kCoupled : VerifyRule::kMaxAcceptance;
      Draft draft;
      if (up_to(2) > 0) draft = RightThenWrong(i, tokens, up_to(3));
      if (up_to(3) == 0) {
        Add(tokens, draft, rule);
      } else {
        AddDecoding(tokens, draft, rule);
      }
    }
    std::vector<VerifyTask> tasks = Tasks();
    VerifyTogether(tasks, workers_);
    for (size_t i = 0; i < count; ++i) ExpectVerified(tasks[i], i, generations_[i].draft);
    ExpectCells();
  }
}

}  // namespace
}  // namespace foretoken
