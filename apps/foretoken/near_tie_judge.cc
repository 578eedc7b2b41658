#include "near_tie_judge.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/macros.h"
#include "sampling/gumbel_noise.h"
#include "sampling/sampler.h"
#include "sampling/token_history.h"

namespace foretoken {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr uint64_t kDefaultStream = 0;

constexpr SequenceId kReplayed{0};
constexpr SequenceId kNeighbour{1};

// Feeds a sequence and hands out the rows of its last forward.
class Replay {
 public:
  explicit Replay(ModelBackend& backend, SequenceId sequence = kReplayed)
      : backend_(backend), sequence_(sequence) {}

  // Every token's logits are asked for, as a verification does; the last one's only for a prompt.
  Result<LogitsRows> Forward(std::span<const TokenId> tokens, bool all_logits) {
    rows_.clear();
    for (size_t i = 0; i < tokens.size(); ++i) {
      rows_.push_back({.token = tokens[i],
                       .position = length_ + static_cast<int32_t>(i),
                       .sequences = {sequence_},
                       .wants_logits = all_logits || i + 1 == tokens.size()});
    }
    FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows logits, backend_.Decode(rows_));
    length_ += static_cast<int32_t>(tokens.size());
    return logits;
  }

  Result<LogitsRows> Prefill(std::span<const TokenId> prompt) {
    const auto chunk = static_cast<size_t>(backend_.description().max_batch_rows);
    LogitsRows logits;
    for (size_t begin = 0; begin < prompt.size(); begin += chunk) {
      FORETOKEN_ASSIGN_OR_RETURN(
          logits, Forward(prompt.subspan(begin, std::min(chunk, prompt.size() - begin)), false));
    }
    return logits;
  }

  Status Truncate(int32_t length) {
    length_ = std::min(length_, length);
    return backend_.Truncate(sequence_, length);
  }

 private:
  ModelBackend& backend_;
  const SequenceId sequence_;
  std::vector<BatchRow> rows_;
  int32_t length_ = 0;
};

std::vector<float> Copy(std::span<const float> row) {
  return {row.begin(), row.end()};
}

Result<std::vector<float>> PlainRow(ModelBackend& backend, const RunPair& runs, int32_t position) {
  Replay replay(backend);
  FORETOKEN_ASSIGN_OR_RETURN(LogitsRows logits, replay.Prefill(runs.prompt));
  for (int32_t i = 0; i < position; ++i) {
    FORETOKEN_ASSIGN_OR_RETURN(
        logits, replay.Forward(std::span(runs.plain).subspan(static_cast<size_t>(i), 1), true));
  }
  std::vector<float> row = Copy(logits[logits.size() - 1]);
  FORETOKEN_RETURN_IF_ERROR(replay.Truncate(0));
  return row;
}

Result<std::vector<float>> SpeculativeRow(ModelBackend& backend, const RunPair& runs,
                                          int32_t position) {
  Replay replay(backend);
  FORETOKEN_ASSIGN_OR_RETURN(LogitsRows logits, replay.Prefill(runs.prompt));
  const auto prompt_length = static_cast<int32_t>(runs.prompt.size());
  const BackendDescription& limits = backend.description();
  int32_t committed = runs.rounds.empty() ? position : runs.rounds.front().committed;
  int32_t row = 0;  // of the last forward
  for (size_t i = 1; i < runs.rounds.size() && committed <= position; ++i) {
    const ForwardShape& round = runs.rounds[i];
    const int32_t count =
        std::min({std::max(round.rows, round.committed), limits.max_batch_rows,
                  limits.max_logits_rows, limits.context_tokens - prompt_length - committed + 1});
    // [last, drafts...]: what followed is the likeliest draft; past the end the last token repeats.
    std::vector<TokenId> tokens;
    for (int32_t j = committed - 1; j < committed - 1 + count; ++j) {
      tokens.push_back(
          runs.speculative[std::min(static_cast<size_t>(j), runs.speculative.size() - 1)]);
    }
    FORETOKEN_ASSIGN_OR_RETURN(logits, replay.Forward(tokens, true));
    row = std::clamp(position - committed, 0, count - 1);
    committed += round.committed;
    // The last committed token is run by the next round.
    if (committed <= position) {
      FORETOKEN_RETURN_IF_ERROR(replay.Truncate(prompt_length + committed - 1));
    }
  }
  if (committed <= position) {
    return InternalError("the recorded rounds do not reach the position where the runs part");
  }
  std::vector<float> result = Copy(logits[row]);
  FORETOKEN_RETURN_IF_ERROR(replay.Truncate(0));
  return result;
}

// The row after `prefix`, fed in forwards of `size` rows, the last one whole.
Result<std::vector<float>> RowInForwardsOf(ModelBackend& backend, std::span<const TokenId> prefix,
                                           int32_t size) {
  Replay replay(backend);
  const BackendDescription& limits = backend.description();
  const auto chunk = static_cast<size_t>(std::min(size, limits.max_batch_rows));
  LogitsRows logits;
  size_t count = prefix.size() % chunk == 0 ? chunk : prefix.size() % chunk;
  for (size_t begin = 0; begin < prefix.size(); begin += count, count = chunk) {
    const bool is_last = begin + count == prefix.size();
    FORETOKEN_ASSIGN_OR_RETURN(
        logits, replay.Forward(prefix.subspan(begin, count),
                               is_last && count <= static_cast<size_t>(limits.max_logits_rows)));
  }
  std::vector<float> row = Copy(logits[logits.size() - 1]);
  FORETOKEN_RETURN_IF_ERROR(replay.Truncate(0));
  return row;
}

// Selection scores of a row; -infinity where a filter drops the token.
Result<std::vector<double>> Scores(std::span<const float> logits, const TokenHistory& history,
                                   const RunPair& runs, int64_t position) {
  SamplingOptions sampling = runs.sampling;
  const bool greedy = sampling.temperature == 0;
  if (greedy) {
    // The most likely token is that of the law at temperature 1, without noise and filters.
    sampling.temperature = 1;
    sampling.top_k = 0;
    sampling.top_p = 1;
    sampling.min_p = 0;
  }
  FORETOKEN_ASSIGN_OR_RETURN(
      Sampler sampler, Sampler::Create(sampling, runs.seed, static_cast<int32_t>(logits.size())));
  Distribution distribution;
  FORETOKEN_RETURN_IF_ERROR(sampler.ComputeDistribution(logits, history, distribution));
  const RowNoise noise(runs.seed, kDefaultStream, position);
  std::vector<double> scores;
  scores.reserve(distribution.size());
  for (size_t token = 0; token < distribution.size(); ++token) {
    const double score = std::log(distribution[token]);
    scores.push_back(greedy ? score : score + noise.Gumbel(static_cast<TokenId>(token)));
  }
  return scores;
}

double LargestDifference(std::span<const double> a, std::span<const double> b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isfinite(a[i]) && std::isfinite(b[i])) {
      largest = std::max(largest, std::abs(a[i] - b[i]));
    }
  }
  return largest;
}

// The scores of the row where two runs part, in the plain shape and in others.
class Comparison {
 public:
  static Result<Comparison> Create(const RunPair& runs, NearTieVerdict parting,
                                   std::span<const float> plain_row) {
    Comparison comparison(runs, parting);
    FORETOKEN_ASSIGN_OR_RETURN(comparison.plain_, comparison.ScoresOf(plain_row));
    comparison.verdict_.score_gap = std::abs(comparison.plain_[comparison.plain_token_] -
                                             comparison.plain_[comparison.speculative_token_]);
    return comparison;
  }

  // Takes the row in one more shape into the verdict.
  Status Consider(std::span<const float> row) {
    FORETOKEN_ASSIGN_OR_RETURN(const std::vector<double> scores, ScoresOf(row));
    double difference = LargestDifference(plain_, scores);
    for (const size_t token : {plain_token_, speculative_token_}) {
      if (std::isfinite(plain_[token]) != std::isfinite(scores[token])) difference = kInfinity;
    }
    verdict_.shape_difference = std::max(verdict_.shape_difference, difference);
    // Not a number (both tokens are dropped in the plain shape) excuses nothing.
    verdict_.excused = verdict_.score_gap <= 2 * verdict_.shape_difference;
    return OkStatus();
  }

  const NearTieVerdict& verdict() const { return verdict_; }

 private:
  Comparison(const RunPair& runs, NearTieVerdict parting)
      : runs_(&runs),
        history_(runs.prompt),
        verdict_(parting),
        plain_token_(static_cast<size_t>(parting.plain_token)),
        speculative_token_(static_cast<size_t>(parting.speculative_token)) {
    for (int32_t i = 0; i < parting.position; ++i) {
      history_.AppendOutput(runs.plain[static_cast<size_t>(i)]);
    }
  }
  Result<std::vector<double>> ScoresOf(std::span<const float> row) const {
    const auto position = static_cast<int64_t>(runs_->prompt.size()) + verdict_.position;
    return Scores(row, history_, *runs_, position);
  }

  const RunPair* runs_;
  TokenHistory history_;
  NearTieVerdict verdict_;
  size_t plain_token_;
  size_t speculative_token_;
  std::vector<double> plain_;
};

// Where the runs part, and with what.
Result<NearTieVerdict> FindParting(const RunPair& runs) {
  const std::optional<int32_t> difference = FirstDifference(runs.plain, runs.speculative);
  if (!difference) return InvalidArgumentError("the runs do not differ");
  NearTieVerdict verdict;
  verdict.position = *difference;
  const auto at = static_cast<size_t>(*difference);
  if (at < runs.plain.size()) verdict.plain_token = runs.plain[at];
  if (at < runs.speculative.size()) verdict.speculative_token = runs.speculative[at];
  return verdict;
}

// The same in cells out of order: the first `before` tokens lie behind a neighbour's cells, which
// it then leaves, and the rest fills them.
Result<std::vector<float>> RowInScatteredCells(ModelBackend& backend,
                                               std::span<const TokenId> neighbour_tokens,
                                               std::span<const TokenId> prefix, size_t before) {
  Replay neighbour(backend, kNeighbour);
  FORETOKEN_RETURN_IF_ERROR(neighbour.Prefill(neighbour_tokens).status());
  Replay replay(backend);
  FORETOKEN_RETURN_IF_ERROR(replay.Prefill(prefix.first(before)).status());
  FORETOKEN_RETURN_IF_ERROR(neighbour.Truncate(0));
  FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows logits, replay.Prefill(prefix.subspan(before)));
  std::vector<float> row = Copy(logits[logits.size() - 1]);
  FORETOKEN_RETURN_IF_ERROR(replay.Truncate(0));
  return row;
}

}  // namespace

ForwardShape ShapeOfRound(const TokensEvent& event, int32_t draft_k) {
  const auto committed = static_cast<int32_t>(event.tokens.size());
  ForwardShape shape{.rows = committed, .committed = committed};
  const auto is_corrected = [](const GeneratedToken& token) {
    return token.origin == TokenOrigin::kCorrected;
  };
  if (std::any_of(event.tokens.begin(), event.tokens.end(), is_corrected)) {
    // Beyond the corrected token at least one draft was in the forward.
    shape.rows = std::max(committed, draft_k) + 1;
  }
  return shape;
}

std::optional<int32_t> FirstDifference(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (in_a == a.end() && in_b == b.end()) return std::nullopt;
  return static_cast<int32_t>(in_a - a.begin());
}

Result<NearTieVerdict> JudgeNearTie(ModelBackend& backend, const RunPair& runs) {
  FORETOKEN_ASSIGN_OR_RETURN(const NearTieVerdict parting, FindParting(runs));
  if (parting.plain_token < 0 || parting.speculative_token < 0) return parting;

  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<float> plain_row,
                             PlainRow(backend, runs, parting.position));
  // The prompt's own row has one shape only.
  std::vector<float> speculative_row = plain_row;
  if (parting.position > 0) {
    FORETOKEN_ASSIGN_OR_RETURN(speculative_row, SpeculativeRow(backend, runs, parting.position));
  }
  FORETOKEN_ASSIGN_OR_RETURN(Comparison comparison, Comparison::Create(runs, parting, plain_row));
  FORETOKEN_RETURN_IF_ERROR(comparison.Consider(speculative_row));
  return comparison.verdict();
}

Result<NearTieVerdict> JudgeNearTieInBatches(ModelBackend& backend, const RunPair& runs,
                                             std::span<const int32_t> sizes) {
  FORETOKEN_ASSIGN_OR_RETURN(const NearTieVerdict parting, FindParting(runs));
  if (parting.plain_token < 0 || parting.speculative_token < 0) return parting;

  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<float> plain_row,
                             PlainRow(backend, runs, parting.position));
  FORETOKEN_ASSIGN_OR_RETURN(Comparison comparison, Comparison::Create(runs, parting, plain_row));
  // Moves the sequence to other cells and lets attention run over more of them.
  Replay neighbour(backend, kNeighbour);
  FORETOKEN_RETURN_IF_ERROR(neighbour.Prefill(runs.prompt).status());
  std::vector<TokenId> prefix = runs.prompt;
  prefix.insert(prefix.end(), runs.plain.begin(), runs.plain.begin() + parting.position);
  for (const int32_t size : sizes) {
    FORETOKEN_ASSIGN_OR_RETURN(const std::vector<float> row,
                               RowInForwardsOf(backend, prefix, size));
    FORETOKEN_RETURN_IF_ERROR(comparison.Consider(row));
    if (comparison.verdict().excused) break;
  }
  FORETOKEN_RETURN_IF_ERROR(neighbour.Truncate(0));
  for (const size_t quarter : {1, 2, 3}) {
    const size_t before = prefix.size() * quarter / 4;
    if (before == 0 || comparison.verdict().excused) continue;
    FORETOKEN_ASSIGN_OR_RETURN(const std::vector<float> row,
                               RowInScatteredCells(backend, runs.prompt, prefix, before));
    FORETOKEN_RETURN_IF_ERROR(comparison.Consider(row));
  }
  return comparison.verdict();
}

}  // namespace foretoken
