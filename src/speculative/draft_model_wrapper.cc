#include "speculative/draft_model_wrapper.h"

#include <algorithm>
#include <utility>

#include "base/macros.h"
#include "sampling/gumbel_noise.h"

namespace foretoken {
namespace {

// A task while its draft grows.
struct Progress {
  ModelDraftTask* task = nullptr;
  ForwardPart part;
  std::vector<TokenId> tokens;  // committed and drafted
  size_t committed_output = 0;
  int32_t k = 0;
  bool done = false;

  int32_t drafted() const { return static_cast<int32_t>(task->draft.tokens.size()); }
};

// Chooses the next drafted token from the row that predicts it.
Status DraftToken(Progress& progress) {
  Session& session = *progress.task->session;
  Draft& draft = progress.task->draft;
  const std::span<const float> row = progress.part.logits[0];
  // The draft's noise is the target's under the coupled rule; its own, fresh in every round, under
  // rejection sampling.
  const bool coupled = session.rule == VerifyRule::kCoupled;
  const uint64_t stream =
      coupled ? session.stream : DeriveNoiseStream(session.stream, session.rounds);
  FORETOKEN_ASSIGN_OR_RETURN(const TokenId token,
                             session.sampler.Select(row, session.history, stream,
                                                    session.next_position() + progress.drafted()));
  if (!coupled) {
    FORETOKEN_RETURN_IF_ERROR(session.sampler.ComputeDistribution(
        row, session.history, draft.laws.emplace_back(std::in_place).value()));
  }
  draft.tokens.push_back(token);
  progress.tokens.push_back(token);
  session.history.AppendOutput(token);
  return OkStatus();
}

// The rows of the next forward: all that is missing, or as much of it as one batch can hold.
void StagePart(Progress& progress, int32_t max_rows) {
  CachedSequence& cache = progress.task->model->cache();
  const int32_t missing = cache.Align(progress.tokens);
  const int32_t rows = std::min(missing, max_rows);
  const auto begin = progress.tokens.end() - missing;
  progress.part = ForwardPart{
      .cache = &cache, .tokens = {begin, begin + rows}, .logits_rows = rows == missing ? 1 : 0};
}

// The status with the model's name, if it is a failure.
Status Named(const DraftModelWrapper& model, const Status& status) {
  if (status.ok()) return status;
  return Status(status.code(), "draft model " + model.draft_model_id() + ": " + status.message());
}

void FinishTask(Progress& progress) {
  ModelDraftTask& task = *progress.task;
  task.session->history.TruncateOutput(progress.committed_output);
  if (!task.status.ok()) task.draft = Draft();
  task.status = Named(*task.model, task.status);
  task.draft.source = DraftSourceKind::kDraftModel;
}

}  // namespace

int32_t DraftModelWrapper::MissingTokens(const Session& session) const {
  return static_cast<int32_t>(session.tokens.size()) - cache_.cached_tokens();
}

int32_t DraftModelWrapper::CatchUpTokens(const Session& session) const {
  // After a draft that was accepted whole, its last token and the bonus token were never run.
  return std::max(MissingTokens(session) - 2, 0);
}

int32_t DraftModelWrapper::MaxDraftTokens(const Session& session) const {
  // The last proposed token is not run, so one more than the free positions fits.
  const auto length = static_cast<int32_t>(session.tokens.size());
  return std::max(cache_.description().context_tokens - length + 1, 0);
}

Result<Draft> DraftModelWrapper::GenerateDraft(Session& session, int32_t k) {
  WorkerPool alone(1);
  ModelDraftTask task{.model = this, .session = &session, .k = k};
  DraftTogether({&task, 1}, alone);
  FORETOKEN_RETURN_IF_ERROR(task.status);
  return std::move(task.draft);
}

std::vector<ForwardReport> DraftTogether(std::span<ModelDraftTask> tasks, WorkerPool& workers) {
  std::vector<ForwardReport> forwards;
  if (tasks.empty()) return forwards;
  const BackendDescription& limits = tasks[0].model->cache().description();
  std::vector<Progress> all(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    Progress& progress = all[i];
    progress.task = &tasks[i];
    progress.tokens = tasks[i].session->tokens;
    progress.committed_output = tasks[i].session->history.output_size();
    progress.k = std::min(tasks[i].k, tasks[i].model->MaxDraftTokens(*tasks[i].session));
    progress.done = progress.k <= 0;
  }
  std::vector<ForwardPart*> parts;
  std::vector<Progress*> active;
  while (true) {
    parts.clear();
    active.clear();
    for (Progress& progress : all) {
      if (progress.done) continue;
      StagePart(progress, limits.max_batch_rows);
      active.push_back(&progress);
      parts.push_back(&progress.part);
    }
    if (active.empty()) break;
    const ForwardReport report = RunForward(
        tasks[0].model->cache().pool().backend(), parts, [&](std::span<ForwardPart* const> ran) {
          workers.ParallelFor(active.size(), [&](size_t i) {
            Progress& progress = *active[i];
            if (progress.part.logits.size() == 0 ||
                std::find(ran.begin(), ran.end(), &progress.part) == ran.end()) {
              return;
            }
            progress.task->status = DraftToken(progress);
          });
        });
    if (report.forwards > 0) forwards.push_back(report);
    for (Progress* progress : active) {
      if (progress->task->status.ok()) progress->task->status = progress->part.status;
      progress->done = !progress->task->status.ok() || progress->drafted() == progress->k;
    }
  }
  for (Progress& progress : all) FinishTask(progress);
  return forwards;
}

ForwardReport CatchUpTogether(std::span<CatchUpTask> tasks) {
  if (tasks.empty()) return {};
  const int32_t max_rows = tasks[0].model->cache().description().max_batch_rows;
  std::vector<ForwardPart> parts(tasks.size());
  std::vector<ForwardPart*> pointers;
  for (size_t i = 0; i < tasks.size(); ++i) {
    CachedSequence& cache = tasks[i].model->cache();
    const std::vector<TokenId>& tokens = tasks[i].session->tokens;
    const int32_t missing = cache.Align(tokens);
    const auto begin = tokens.end() - missing;
    const int32_t rows = std::min({tasks[i].rows, missing, max_rows});
    parts[i] = {.cache = &cache, .tokens = {begin, begin + rows}, .logits_rows = 0};
    pointers.push_back(&parts[i]);
  }
  const ForwardReport report = RunForward(tasks[0].model->cache().pool().backend(), pointers,
                                          [](std::span<ForwardPart* const>) {});
  for (size_t i = 0; i < tasks.size(); ++i) {
    tasks[i].status = Named(*tasks[i].model, parts[i].status);
  }
  return report;
}

}  // namespace foretoken
