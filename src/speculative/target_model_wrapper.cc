#include "speculative/target_model_wrapper.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "speculative/judge_draft.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

// Judges a part that ran.
void Judge(VerifyTask& task, ForwardPart& part) {
  static const Draft kNoDraft;
  const Draft& draft = part.dropped.ok() ? *task.draft : kNoDraft;
  const Clock::time_point start = Clock::now();
  auto tokens = JudgeDraft(*task.session, draft, part.logits, task.target->logprobs());
  if (!tokens.ok()) {
    task.status = tokens.status();
    return;
  }
  Verification& verification = task.verification.emplace();
  verification.tokens = std::move(*tokens);
  verification.accepted = static_cast<int32_t>(verification.tokens.size()) - 1;
  verification.sample_us =
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

}  // namespace

int32_t TargetModelWrapper::max_draft_tokens() const {
  const BackendDescription& description = cache_.description();
  if (!description.can_truncate) return 0;
  return std::min(description.max_batch_rows, description.max_logits_rows) - 1;
}

int32_t TargetModelWrapper::MissingTokens(const Session& session) const {
  return static_cast<int32_t>(session.tokens.size()) - cache_.cached_tokens();
}

Result<Verification> TargetModelWrapper::VerifyDraft(Session& session, const Draft& draft) {
  WorkerPool alone(1);
  const auto drafted = static_cast<int32_t>(draft.tokens.size());
  const int32_t room = cache_.description().max_batch_rows - drafted;
  if (drafted > max_draft_tokens()) {
    return InvalidArgumentError("more drafted tokens than one batch can hold");
  }
  int64_t forward_us = 0;
  while (true) {
    VerifyTask task{
        .target = this, .session = &session, .draft = &draft, .max_committed_rows = room};
    forward_us += VerifyTogether({&task, 1}, alone).forward_us;
    FORETOKEN_RETURN_IF_ERROR(task.status);
    if (!task.verification) continue;
    task.verification->forward_us = forward_us;
    return std::move(*task.verification);
  }
}

ForwardReport VerifyTogether(std::span<VerifyTask> tasks, WorkerPool& workers) {
  if (tasks.empty()) return {};
  std::vector<ForwardPart> parts(tasks.size());
  std::vector<ForwardPart*> pointers;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const std::vector<TokenId>& tokens = tasks[i].session->tokens;
    CachedSequence& cache = tasks[i].target->cache();
    const int32_t missing = cache.Align(tokens);
    const int32_t rows = std::min(missing, tasks[i].max_committed_rows);
    const auto begin = tokens.end() - missing;
    ForwardPart& part = parts[i];
    part = {.cache = &cache, .tokens = {begin, begin + rows}, .logits_rows = 0};
    if (rows == missing) {
      const std::vector<TokenId>& drafted = tasks[i].draft->tokens;
      part.tokens.insert(part.tokens.end(), drafted.begin(), drafted.end());
      part.droppable_rows = static_cast<int32_t>(drafted.size());
      part.logits_rows = part.droppable_rows + 1;
    }
    pointers.push_back(&part);
  }
  const auto task_of = [&](ForwardPart* part) -> VerifyTask& { return tasks[part - parts.data()]; };
  const ForwardReport report = RunForward(tasks[0].target->cache().pool().backend(), pointers,
                                          [&](std::span<ForwardPart* const> ran) {
                                            workers.ParallelFor(ran.size(), [&](size_t i) {
                                              if (ran[i]->logits.size() > 0)
                                                Judge(task_of(ran[i]), *ran[i]);
                                            });
                                          });
  for (size_t i = 0; i < tasks.size(); ++i) {
    VerifyTask& task = tasks[i];
    const ForwardPart& part = parts[i];
    if (!part.status.ok()) task.status = part.status;
    if (!task.status.ok()) {
      task.status = Status(task.status.code(), "model " + task.target->target_model_id() + ": " +
                                                   task.status.message());
    }
    if (!part.status.ok() || part.logits_rows == 0) continue;
    // Rejected tokens leave the cache; without a verdict the last committed one is run again.
    const int32_t kept = task.verification ? task.verification->accepted : -1;
    task.target->cache().Truncate(static_cast<int32_t>(task.session->tokens.size()) + kept);
    if (!task.verification) continue;
    task.verification->forward_us = report.forward_us;
    task.verification->dropped = part.dropped;
  }
  return report;
}

}  // namespace foretoken
