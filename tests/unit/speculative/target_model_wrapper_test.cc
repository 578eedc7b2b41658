#include "speculative/target_model_wrapper.h"

#include <gtest/gtest.h>

#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

TEST(TargetModelWrapperTest, OneForwardARoundAndRejectedTokensLeaveTheCache) {
  FakeSetup setup;
  TargetModelWrapper target("target", *setup.pool, std::nullopt);
  Session session = NewSession({3, 4, 5});
  const TokenId first = target.VerifyDraft(session, Draft())->tokens[0].id;
  EXPECT_EQ(setup.control->decodes, 1);
  EXPECT_EQ(setup.control->cells_in_use, 3);
  session.Commit(first);

  // What the target will say next, from another copy of it.
  FakeSetup oracle;
  TargetModelWrapper plain("oracle", *oracle.pool, std::nullopt);
  Session ahead = NewSession({3, 4, 5});
  ahead.Commit(first);
  const TokenId second = plain.VerifyDraft(ahead, Draft())->tokens[0].id;

  Draft draft;
  draft.tokens = {second, 15, 15};
  const auto verification = target.VerifyDraft(session, draft);
  ASSERT_TRUE(verification.ok());
  EXPECT_EQ(setup.control->decodes, 2);
  EXPECT_GE(verification->accepted, 1);
  EXPECT_EQ(verification->tokens.size(), static_cast<size_t>(verification->accepted) + 1);
  EXPECT_EQ(verification->tokens[0].id, second);
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

TEST(TargetModelWrapperTest, FailuresNameTheModel) {
  FakeSetup setup;
  setup.control->before_decode = [](int64_t, std::span<const BatchRow>) {
    return InternalError("broken");
  };
  TargetModelWrapper target("big", *setup.pool, std::nullopt);
  Session session = NewSession({3});
  EXPECT_EQ(target.VerifyDraft(session, Draft()).status(), InternalError("model big: broken"));
}

}  // namespace
}  // namespace foretoken
