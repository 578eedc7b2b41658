#include "kernel_quality.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/macros.h"

namespace foretoken {
namespace {

constexpr int32_t kRows = 64;

std::vector<double> LogProbabilities(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double shift = largest + std::log(sum);
  std::vector<double> logs;
  logs.reserve(logits.size());
  for (const float logit : logits) logs.push_back(logit - shift);
  return logs;
}

double Divergence(std::span<const double> from, std::span<const double> to) {
  double sum = 0;
  for (size_t i = 0; i < from.size(); ++i) sum += std::exp(from[i]) * (from[i] - to[i]);
  return sum;
}

Result<std::unique_ptr<ModelBackend>> Open(LoadedModel& model, int32_t threads, int32_t tokens,
                                           bool flash_attention) {
  BackendOptions options;
  options.context_tokens = tokens;
  options.max_batch_rows = kRows;
  options.max_logits_rows = kRows;
  options.threads = threads;
  options.flash_attention = flash_attention;
  return model.NewBackend(options);
}

}  // namespace

Result<KernelQuality> CompareKernelQuality(LoadedModel& ours, LoadedModel& stock, int32_t threads,
                                           const std::string& text, int32_t tokens) {
  FORETOKEN_ASSIGN_OR_RETURN(std::vector<TokenId> ids,
                             ours.vocabulary().Tokenize(text, true, false));
  ids.resize(std::min(ids.size(), static_cast<size_t>(tokens)));
  if (ids.size() < 2) return InvalidArgumentError("a text of less than two tokens");
  const auto count = static_cast<int32_t>(ids.size());
  FORETOKEN_ASSIGN_OR_RETURN(const auto our_backend, Open(ours, threads, count, true));
  FORETOKEN_ASSIGN_OR_RETURN(const auto stock_backend, Open(stock, threads, count, true));
  FORETOKEN_ASSIGN_OR_RETURN(const auto plain_backend, Open(stock, threads, count, false));
  KernelQuality sums;
  double ours_loss = 0;
  double stock_loss = 0;
  for (int32_t first = 0; first < count; first += kRows) {
    std::vector<BatchRow> rows;
    for (int32_t i = first; i < std::min(first + kRows, count); ++i) {
      rows.push_back({.token = ids[static_cast<size_t>(i)],
                      .position = i,
                      .sequences = {SequenceId{0}},
                      .wants_logits = true});
    }
    FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows our_rows, our_backend->Decode(rows));
    FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows stock_rows, stock_backend->Decode(rows));
    FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows plain_rows, plain_backend->Decode(rows));
    for (int32_t row = 0; row < our_rows.size() && first + row + 1 < count; ++row) {
      const auto next =
          static_cast<size_t>(ids[static_cast<size_t>(first) + static_cast<size_t>(row) + 1]);
      const std::vector<double> our_logs = LogProbabilities(our_rows[row]);
      const std::vector<double> stock_logs = LogProbabilities(stock_rows[row]);
      ours_loss -= our_logs[next];
      stock_loss -= stock_logs[next];
      sums.ours_divergence += Divergence(stock_logs, our_logs);
      sums.stock_divergence += Divergence(stock_logs, LogProbabilities(plain_rows[row]));
      ++sums.tokens;
    }
  }
  sums.ours_perplexity = std::exp(ours_loss / sums.tokens);
  sums.stock_perplexity = std::exp(stock_loss / sums.tokens);
  sums.ours_divergence /= sums.tokens;
  sums.stock_divergence /= sums.tokens;
  return sums;
}

}  // namespace foretoken
