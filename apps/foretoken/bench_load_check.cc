#include "bench_load_check.h"

#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/macros.h"

namespace foretoken {
namespace {

// On each side of where the stock kernels change their algorithm, likeliest first: matrix kernels
// at 4 and 16 rows, attention at 2 and 64.
constexpr std::array<int32_t, 4> kForwardSizes = {16, 4, 64, 3};

}  // namespace

int32_t LoadCheck::excused() const {
  int32_t count = 0;
  for (const LoadDifference& difference : differences) {
    if (difference.verdict.excused) count += difference.answers;
  }
  return count;
}

AnswerChecker::AnswerChecker(std::shared_ptr<LoadedModel> target,
                             const std::vector<LoadPrompt>& prompts,
                             const SamplingOptions& sampling, int32_t threads)
    : target_(std::move(target)), prompts_(prompts), sampling_(sampling), threads_(threads) {}

void AnswerChecker::SetReference(size_t prompt, std::vector<TokenId> tokens) {
  references_[prompt] = std::move(tokens);
}

Status AnswerChecker::Check(const LoadRecord& record, std::string_view where) {
  for (const LoadAnswer& answer : record.answers) {
    if (answer.finish.reason == FinishReason::kCancelled) continue;
    const auto reference = references_.find(answer.prompt);
    if (reference == references_.end()) {
      return InternalError(
          fmt::format("prompt {} was never answered alone", prompts_[answer.prompt].id));
    }
    ++check_.compared;
    const std::optional<int32_t> position = FirstDifference(reference->second, answer.tokens);
    if (!position) {
      ++check_.equal;
      continue;
    }
    const auto at = static_cast<size_t>(*position);
    const TokenId token = at < answer.tokens.size() ? answer.tokens[at] : -1;
    const auto [known, is_new] =
        seen_.try_emplace({answer.prompt, *position, token}, check_.differences.size());
    if (is_new) {
      FORETOKEN_ASSIGN_OR_RETURN(const NearTieVerdict verdict, Judge(answer));
      check_.differences.push_back({.id = prompts_[answer.prompt].id,
                                    .where = std::string(where),
                                    .answers = 0,
                                    .verdict = verdict});
    }
    ++check_.differences[known->second].answers;
  }
  return OkStatus();
}

Result<NearTieVerdict> AnswerChecker::Judge(const LoadAnswer& answer) const {
  const RunPair runs = {.prompt = prompts_[answer.prompt].tokens,
                        .plain = references_.at(answer.prompt),
                        .speculative = answer.tokens,
                        .rounds = {},
                        .sampling = sampling_,
                        .seed = answer.finish.seed};
  // The neighbour holds the prompt once more.
  const size_t cells = 2 * runs.prompt.size() + runs.plain.size();
  BackendOptions options;
  options.context_tokens = static_cast<int32_t>(cells);
  options.max_sequences = 2;
  options.threads = threads_;
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<ModelBackend> backend,
                             target_->NewBackend(options));
  return JudgeNearTieInBatches(*backend, runs, kForwardSizes);
}

}  // namespace foretoken
