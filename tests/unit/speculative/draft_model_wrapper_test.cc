#include "speculative/draft_model_wrapper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

void Commit(Session& session, const Tokens& tokens) {
  for (const TokenId token : tokens) session.Commit(token);
}

TEST(DraftModelWrapperTest, ProposesWhatTheModelItselfWouldSayWithTheSameNoise) {
  FakeSetup setup;
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({3, 4, 5});
  session.stream = 2;
  const auto draft = draft_model.GenerateDraft(session, 4);
  ASSERT_TRUE(draft.ok());
  ASSERT_EQ(draft->tokens.size(), 4u);
  EXPECT_EQ(draft->source, DraftSourceKind::kDraftModel);
  EXPECT_EQ(draft_model.kind(), DraftSourceKind::kDraftModel);
  EXPECT_TRUE(draft->laws.empty());
  // The session is as it was.
  EXPECT_EQ(session.tokens.size(), 3u);
  EXPECT_EQ(session.history.output_size(), 0u);
  // Token by token from fresh caches, with the noise of each position.
  EXPECT_EQ(draft->tokens, Continuation(setup.options, std::move(session), 4));
}

TEST(DraftModelWrapperTest, AcceptedPositionsAreNotRunAgain) {
  FakeSetup setup;
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({3, 4, 5});
  auto draft = draft_model.GenerateDraft(session, 3).value();
  EXPECT_EQ(setup.control->rows, 3 + 2);  // the prompt and all but the last proposal
  // Accepted whole, and a bonus token.
  Commit(session, draft.tokens);
  session.Commit(1);
  EXPECT_EQ(draft_model.CatchUpTokens(session), 0);
  draft = draft_model.GenerateDraft(session, 2).value();
  EXPECT_EQ(setup.control->rows, 5 + 2 + 1);  // the last proposal and the bonus; one proposal
  // The first proposal is rejected: the correction replaces it.
  session.Commit(draft.tokens[0] == 1 ? 2 : 1);
  ASSERT_TRUE(draft_model.GenerateDraft(session, 1).ok());
  EXPECT_EQ(setup.control->rows, 8 + 1);
}

TEST(DraftModelWrapperTest, StopsAtTheEndOfItsContext) {
  FakeSetup setup({.context_tokens = 5});
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({1, 2, 3, 4});
  for (const int32_t expected : {2, 1, 0, 0}) {
    EXPECT_EQ(draft_model.MaxDraftTokens(session), expected);
    EXPECT_EQ(draft_model.GenerateDraft(session, 8)->tokens.size(), static_cast<size_t>(expected));
    session.Commit(5);
  }
}

TEST(DraftModelWrapperTest, UnderRejectionSamplingTheLawsComeAlongAndNoiseIsFresh) {
  FakeSetup setup;
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({3, 4, 5});
  session.rule = VerifyRule::kMaxAcceptance;
  bool differs = false;
  const auto first = draft_model.GenerateDraft(session, 3).value();
  for (session.rounds = 1; session.rounds < 20; ++session.rounds) {
    const auto draft = draft_model.GenerateDraft(session, 3).value();
    ASSERT_EQ(draft.laws.size(), 3u);
    double sum = 0;
    for (const double p : *draft.laws[0]) sum += p;
    EXPECT_NEAR(sum, 1.0, 1e-12);
    EXPECT_EQ(draft.laws[0], first.laws[0]);
    differs |= draft.tokens != first.tokens;
  }
  EXPECT_TRUE(differs);
}

TEST(DraftModelWrapperTest, AFailureNamesTheModelAndTheNextCallStartsOver) {
  FakeSetup setup;
  setup.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode == 1 ? ResourceExhaustedError("full") : OkStatus();
  };
  DraftModelWrapper draft_model("tiny", *setup.pool);
  Session session = NewSession({3, 4});
  const auto failed = draft_model.GenerateDraft(session, 3);
  EXPECT_EQ(failed.status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(failed.status().message(), "draft model tiny: full");
  EXPECT_EQ(session.history.output_size(), 0u);
  EXPECT_EQ(draft_model.GenerateDraft(session, 3)->tokens.size(), 3u);
}

TEST(DraftModelWrapperTest, SaysHowFarItsCacheIsBehind) {
  FakeSetup setup;
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({1, 2});
  EXPECT_EQ(draft_model.CatchUpTokens(session), 0);
  session.Commit(3);
  EXPECT_EQ(draft_model.CatchUpTokens(session), 1);
  ASSERT_TRUE(draft_model.GenerateDraft(session, 1).ok());
  EXPECT_EQ(draft_model.CatchUpTokens(session), 0);
  Commit(session, {4, 5, 6, 7});  // from another source
  EXPECT_EQ(draft_model.CatchUpTokens(session), 2);
}

// Sessions that draft with one model, and the same alone.
class DraftTogetherTest : public testing::Test {
 protected:
  explicit DraftTogetherTest(const FakeModelOptions& options = {.max_batch_rows = 32,
                                                                .max_logits_rows = 32})
      : setup_(options) {}

  void Add(const Tokens& prompt, VerifyRule rule = VerifyRule::kCoupled,
           int32_t vocabulary_size = 16) {
    sessions_.push_back(NewSession(prompt, {.temperature = 0.9f, .repetition_penalty = 1.2f},
                                   100 + sessions_.size(), vocabulary_size));
    sessions_.back().rule = rule;
    sessions_.back().rounds = sessions_.size();
    models_.emplace_back("draft " + std::to_string(models_.size()), *setup_.pool);
  }

  std::vector<ModelDraftTask> Tasks(const std::vector<int32_t>& ks) {
    std::vector<ModelDraftTask> tasks;
    for (size_t i = 0; i < ks.size(); ++i) {
      tasks.push_back({.model = &models_[i], .session = &sessions_[i], .k = ks[i]});
    }
    return tasks;
  }

  // What session `i` drafts with a model of its own.
  Draft Alone(size_t i, int32_t k) {
    FakeModelOptions options = setup_.options;
    FakeSetup alone(options);
    DraftModelWrapper model("alone", *alone.pool);
    return model.GenerateDraft(sessions_[i], k).value();
  }

  void ExpectAsAlone(const ModelDraftTask& task, size_t i) {
    SCOPED_TRACE("task " + std::to_string(i));
    EXPECT_TRUE(task.status.ok()) << task.status.ToString();
    const Draft alone = Alone(i, task.k);
    EXPECT_EQ(task.draft.tokens, alone.tokens);
    EXPECT_EQ(task.draft.laws, alone.laws);
    EXPECT_EQ(task.draft.source, DraftSourceKind::kDraftModel);
  }

  // Nothing of a draft stays in a session.
  void ExpectSessionsAsCommitted() const {
    for (const Session& session : sessions_) {
      int32_t counted = 0;
      for (const auto& [token, counts] : session.history.counts()) {
        counted += counts.prompt + counts.output;
      }
      EXPECT_EQ(static_cast<size_t>(counted), session.tokens.size());
    }
  }

  FakeSetup setup_;
  WorkerPool workers_{3};
  std::deque<Session> sessions_;
  std::deque<DraftModelWrapper> models_;
};

std::vector<int32_t> RowsOf(const std::vector<ForwardReport>& reports) {
  std::vector<int32_t> rows;
  for (const ForwardReport& report : reports) rows.push_back(report.rows);
  return rows;
}

TEST_F(DraftTogetherTest, OneForwardADepthWhichTasksLeaveWhenTheyAreDone) {
  Add({1, 2, 3});
  Add({4});
  Add({5, 6}, VerifyRule::kMaxAcceptance);
  Add({7, 8});
  Add({9, 9, 9});
  std::vector<ModelDraftTask> tasks = Tasks({4, 1, 3, 0, 2});
  const std::vector<ForwardReport> forwards = DraftTogether(tasks, workers_);
  // Prompts but that of the fourth, then those that want a second, third and fourth token.
  EXPECT_EQ(RowsOf(forwards), (std::vector<int32_t>{3 + 1 + 2 + 3, 3, 2, 1}));
  EXPECT_EQ(setup_.control->decodes, 4);
  for (const ForwardReport& report : forwards) EXPECT_EQ(report.forwards, 1);
  for (size_t i = 0; i < tasks.size(); ++i) {
    EXPECT_EQ(static_cast<int32_t>(tasks[i].draft.tokens.size()), tasks[i].k);
    EXPECT_EQ(sessions_[i].history.output_size(), 0u);
    ExpectAsAlone(tasks[i], i);
  }
  EXPECT_EQ(tasks[2].draft.laws.size(), 3u);
  EXPECT_TRUE(tasks[0].draft.laws.empty());
  EXPECT_EQ(models_[3].cache().sequence(), nullptr);
  ExpectSessionsAsCommitted();
}

TEST_F(DraftTogetherTest, NothingToDraftIsNoForward) {
  EXPECT_TRUE(DraftTogether({}, workers_).empty());
  Add({1});
  Add(Tokens(66, 1));  // beyond the context
  std::vector<ModelDraftTask> tasks = Tasks({0, 3});
  EXPECT_TRUE(DraftTogether(tasks, workers_).empty());
  EXPECT_EQ(setup_.control->decodes, 0);
  for (const ModelDraftTask& task : tasks) {
    EXPECT_TRUE(task.status.ok());
    EXPECT_TRUE(task.draft.tokens.empty());
  }
}

TEST_F(DraftTogetherTest, ATaskThatFailsAtAnyDepthFailsAlone) {
  for (size_t bad = 0; bad < 4; ++bad) {
    for (int32_t depth = 0; depth < 3; ++depth) {
      SCOPED_TRACE(std::to_string(bad) + " at depth " + std::to_string(depth));
      FakeSetup setup({.max_batch_rows = 32, .max_logits_rows = 32});
      std::deque<DraftModelWrapper> models;
      std::vector<ModelDraftTask> tasks;
      for (size_t i = 0; i < 4; ++i) {
        if (sessions_.size() < 4) Add({static_cast<TokenId>(i), 2, 3});
        models.emplace_back("number " + std::to_string(i), *setup.pool);
        tasks.push_back({.model = &models[i], .session = &sessions_[i], .k = 3});
      }
      setup.control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
        for (const BatchRow& row : rows) {
          const Sequence* sequence = models[bad].cache().sequence();
          if (sequence != nullptr && row.sequences[0] == sequence->id() &&
              row.position == 2 + depth) {
            return InternalError("injected");
          }
        }
        return OkStatus();
      };
      DraftTogether(tasks, workers_);
      for (size_t i = 0; i < 4; ++i) {
        if (i != bad) {
          ExpectAsAlone(tasks[i], i);
          continue;
        }
        EXPECT_EQ(tasks[i].status,
                  InternalError("draft model number " + std::to_string(i) + ": injected"));
        EXPECT_TRUE(tasks[i].draft.tokens.empty());
      }
      ExpectSessionsAsCommitted();
      // The next call starts over.
      setup.control->before_decode = nullptr;
      std::vector<ModelDraftTask> again = {
          {.model = &models[bad], .session = &sessions_[bad], .k = 3}};
      DraftTogether(again, workers_);
      ExpectAsAlone(again[0], bad);
    }
  }
}

TEST_F(DraftTogetherTest, ATaskThatCannotChooseFailsAlone) {
  Add({1, 2});
  Add({3}, VerifyRule::kCoupled, /*vocabulary_size=*/9);  // not the model's
  Add({4}, VerifyRule::kMaxAcceptance);
  std::vector<ModelDraftTask> tasks = Tasks({2, 2, 2});
  DraftTogether(tasks, workers_);
  ExpectAsAlone(tasks[0], 0);
  ExpectAsAlone(tasks[2], 2);
  EXPECT_EQ(tasks[1].status.code(), StatusCode::kInternal);
  EXPECT_EQ(tasks[1].status.message().find("draft model draft 1: "), 0u);
  EXPECT_TRUE(tasks[1].draft.tokens.empty());
  ExpectSessionsAsCommitted();
}

TEST_F(DraftTogetherTest, CancelledEndsAllTasksAndHarmsNone) {
  for (int64_t cancelled = 0; cancelled < 3; ++cancelled) {
    FakeSetup setup;
    sessions_.clear();
    std::deque<DraftModelWrapper> models;
    std::vector<ModelDraftTask> tasks;
    for (TokenId i = 1; i <= 2; ++i) {
      Add({i, i});
      models.emplace_back("d", *setup.pool);
      tasks.push_back({.model = &models.back(), .session = &sessions_.back(), .k = 3});
    }
    setup.control->before_decode = [&](int64_t decode, std::span<const BatchRow>) {
      return decode == cancelled ? CancelledError("enough") : OkStatus();
    };
    DraftTogether(tasks, workers_);
    for (ModelDraftTask& task : tasks) {
      EXPECT_EQ(task.status.code(), StatusCode::kCancelled);
      EXPECT_TRUE(task.draft.tokens.empty());
      task.status = OkStatus();
    }
    EXPECT_EQ(setup.control->decodes, cancelled);
    ExpectSessionsAsCommitted();
    setup.control->before_decode = nullptr;
    DraftTogether(tasks, workers_);
    for (size_t i = 0; i < 2; ++i) ExpectAsAlone(tasks[i], i);
  }
}

class SmallBatchDraftTogetherTest : public DraftTogetherTest {
 protected:
  SmallBatchDraftTogetherTest() : DraftTogetherTest({.max_batch_rows = 4, .max_logits_rows = 2}) {}
};

TEST_F(SmallBatchDraftTogetherTest, WhatDoesNotFitIntoOneForwardTakesSeveral) {
  Add({1, 2, 3, 4, 5, 6, 7, 8, 9});
  Add({4, 5});
  Add({6});
  std::vector<ModelDraftTask> tasks = Tasks({2, 3, 2});
  const std::vector<ForwardReport> forwards = DraftTogether(tasks, workers_);
  for (size_t i = 0; i < 3; ++i) ExpectAsAlone(tasks[i], i);
  int32_t rows = 0;
  int32_t decodes = 0;
  for (const ForwardReport& report : forwards) {
    rows += report.rows;
    decodes += report.forwards;
  }
  EXPECT_EQ(rows, 9 + 1 + 2 + 2 + 1 + 1);
  EXPECT_EQ(rows, setup_.control->rows);
  EXPECT_EQ(decodes, setup_.control->decodes);
}

TEST_F(SmallBatchDraftTogetherTest, CatchingUpIsBoundedByRowsAndBatch) {
  Add({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  Add({5, 6, 7, 8, 9});
  std::vector<int32_t> behind;
  while (models_[0].CatchUpTokens(sessions_[0]) > 0) {
    behind.push_back(models_[0].CatchUpTokens(sessions_[0]));
    CatchUpTask task{
        .model = &models_[0], .session = &sessions_[0], .rows = behind.size() == 1 ? 2 : 9};
    const int64_t rows = setup_.control->rows;
    const ForwardReport report = CatchUpTogether({&task, 1});
    EXPECT_TRUE(task.status.ok()) << task.status.ToString();
    EXPECT_EQ(report.forwards, 1);
    EXPECT_EQ(report.rows, setup_.control->rows - rows);
  }
  // Two as was said, then no more than a batch holds.
  EXPECT_EQ(behind, (std::vector<int32_t>{9, 7, 3}));
  CatchUpTask both[] = {{.model = &models_[0], .session = &sessions_[0], .rows = 100},
                        {.model = &models_[1], .session = &sessions_[1], .rows = 3}};
  CatchUpTogether(both);
  EXPECT_TRUE(both[0].status.ok() && both[1].status.ok());
  EXPECT_EQ(models_[1].cache().cached_tokens(), 3);
  EXPECT_EQ(CatchUpTogether({}).forwards, 0);
  std::vector<ModelDraftTask> tasks = Tasks({3, 3});
  DraftTogether(tasks, workers_);
  for (size_t i = 0; i < 2; ++i) ExpectAsAlone(tasks[i], i);
}

TEST_F(DraftTogetherTest, WhoFailsToCatchUpFailsAlone) {
  Add({1, 2, 3, 4, 5});
  Add({5, 6, 7, 8, 9});
  setup_.control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
    return rows.front().token == 1 ? InternalError("injected") : OkStatus();
  };
  CatchUpTask tasks[] = {{.model = &models_[0], .session = &sessions_[0], .rows = 3},
                         {.model = &models_[1], .session = &sessions_[1], .rows = 2}};
  const ForwardReport report = CatchUpTogether(tasks);
  EXPECT_EQ(report.forwards, 3);
  EXPECT_EQ(report.rows, 2);
  EXPECT_EQ(tasks[0].status, InternalError("draft model draft 0: injected"));
  EXPECT_TRUE(tasks[1].status.ok());
  EXPECT_EQ(models_[0].cache().cached_tokens(), 0);
  EXPECT_EQ(models_[1].cache().cached_tokens(), 2);
}

// Whatever was accepted before and whoever else drafts: what is drafted is what would be drafted
// alone, and no token is run twice but rejected ones.
TEST_F(DraftTogetherTest, RandomRoundsDraftAsAloneAndNothingTwice) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto up_to = [&](int32_t n) { return static_cast<int32_t>(random() % (n + 1)); };
    models_.clear();
    sessions_.clear();
    setup_.control->rows = 0;
    int64_t allowed_rows = 0;
    for (int32_t i = 0; i < 4; ++i) {
      const Tokens prompt(static_cast<size_t>(up_to(5)) + 1, i);
      allowed_rows += static_cast<int64_t>(prompt.size());
      Add(prompt, up_to(1) == 0 ? VerifyRule::kCoupled : VerifyRule::kMaxAcceptance);
    }
    for (int round = 0; round < 8; ++round) {
      std::vector<ModelDraftTask> tasks = Tasks({up_to(4), up_to(4), up_to(4), up_to(4)});
      DraftTogether(tasks, workers_);
      for (size_t i = 0; i < tasks.size(); ++i) {
        ExpectAsAlone(tasks[i], i);
        const auto drafted = static_cast<int32_t>(tasks[i].draft.tokens.size());
        const int32_t accepted = up_to(drafted);
        Tokens committed(tasks[i].draft.tokens.begin(), tasks[i].draft.tokens.begin() + accepted);
        committed.push_back(accepted < drafted && tasks[i].draft.tokens[accepted] == 1 ? 2 : 1);
        Commit(sessions_[i], committed);
        ++sessions_[i].rounds;
        allowed_rows += accepted + 1 + (drafted - accepted);
      }
    }
    ExpectSessionsAsCommitted();
    EXPECT_LE(setup_.control->rows, allowed_rows);
  }
}

}  // namespace
}  // namespace foretoken
