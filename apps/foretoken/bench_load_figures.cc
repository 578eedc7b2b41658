#include "bench_load_figures.h"

#include <algorithm>
#include <cmath>

#include "bench_report.h"

namespace foretoken {
namespace {

// The latencies of one answer in the window [.., end_ms].
void AddLatencies(const LoadAnswer& answer, double end_ms, LatencySamples& samples) {
  const std::vector<TokenArrival>& arrivals = answer.arrivals;
  if (arrivals.empty() || arrivals.front().at_ms > end_ms) return;
  samples.ttft_ms.push_back(arrivals.front().at_ms - answer.due_ms);
  int32_t all_tokens = 0;
  int32_t tokens = 0;  // in the window
  double last_ms = 0;
  for (size_t i = 0; i < arrivals.size(); ++i) {
    all_tokens += arrivals[i].tokens;
    if (arrivals[i].at_ms > end_ms) continue;
    tokens += arrivals[i].tokens;
    last_ms = arrivals[i].at_ms;
    if (i > 0) samples.itl_ms.push_back(arrivals[i].at_ms - arrivals[i - 1].at_ms);
  }
  // A handful of tokens before the end of the window says little about an answer.
  if (tokens > 1 && 2 * tokens >= all_tokens) {
    samples.tpot_ms.push_back((last_ms - arrivals.front().at_ms) / (tokens - 1));
  }
}

}  // namespace

void LatencySamples::Append(const LatencySamples& other) {
  ttft_ms.insert(ttft_ms.end(), other.ttft_ms.begin(), other.ttft_ms.end());
  tpot_ms.insert(tpot_ms.end(), other.tpot_ms.begin(), other.tpot_ms.end());
  itl_ms.insert(itl_ms.end(), other.itl_ms.begin(), other.itl_ms.end());
}

namespace {

// `sign`: 1 or -1.
Forecast Combined(const Forecast& a, const Forecast& b, int sign) {
  return {.count = a.count + sign * b.count,
          .expected = a.expected + sign * b.expected,
          .actual = a.actual + sign * b.actual,
          .absolute_error = a.absolute_error + sign * b.absolute_error};
}

EngineWork Combined(const EngineWork& a, const EngineWork& b, int sign) {
  const PhaseTimes& p = a.phases;
  const PhaseTimes& q = b.phases;
  return {.steps = a.steps + sign * b.steps,
          .target_rows = a.target_rows + sign * b.target_rows,
          .draft_rows = a.draft_rows + sign * b.draft_rows,
          .phases = {.plan_us = p.plan_us + sign * q.plan_us,
                     .draft_us = p.draft_us + sign * q.draft_us,
                     .forward_us = p.forward_us + sign * q.forward_us,
                     .judge_us = p.judge_us + sign * q.judge_us,
                     .commit_us = p.commit_us + sign * q.commit_us,
                     .emit_us = p.emit_us + sign * q.emit_us,
                     .idle_us = p.idle_us + sign * q.idle_us},
          .step_us_forecast = Combined(a.step_us_forecast, b.step_us_forecast, sign),
          .accepted_forecast = Combined(a.accepted_forecast, b.accepted_forecast, sign)};
}

}  // namespace

double EngineWork::OverheadShare() const {
  const int64_t overhead = phases.plan_us + phases.judge_us + phases.commit_us + phases.emit_us;
  const int64_t busy = overhead + phases.draft_us + phases.forward_us;
  return busy > 0 ? static_cast<double>(overhead) / static_cast<double>(busy) : 0;
}

EngineWork operator+(const EngineWork& a, const EngineWork& b) {
  return Combined(a, b, 1);
}

EngineWork operator-(const EngineWork& a, const EngineWork& b) {
  return Combined(a, b, -1);
}

EngineWork Sum(const std::vector<EngineMetrics>& engines) {
  EngineWork sum;
  for (const EngineMetrics& engine : engines) {
    sum = sum + EngineWork{.steps = engine.steps,
                           .target_rows = engine.target_rows,
                           .draft_rows = engine.draft_rows,
                           .phases = engine.phases,
                           .step_us_forecast = engine.step_us_forecast,
                           .accepted_forecast = engine.total.accepted_forecast};
  }
  return sum;
}

LoadFigures FiguresOf(const LoadRecord& record, size_t tenants) {
  LoadFigures figures;
  const double begin_ms = record.window_begin_ms;
  const double end_ms = record.window_end_ms;
  figures.window_ms = end_ms - begin_ms;
  std::vector<int64_t> tenant_tokens(tenants);
  int64_t computed_prompt_tokens = 0;  // in the window
  for (const LoadAnswer& answer : record.answers) {
    const Usage& usage = answer.finish.usage;
    if (answer.finish.reason != FinishReason::kCancelled) ++figures.answers;
    figures.completion_tokens += static_cast<int64_t>(answer.tokens.size());
    figures.prompt_tokens += usage.prompt_tokens;
    figures.cached_prompt_tokens += usage.cached_prompt_tokens;
    AddSpeculation(answer.finish.speculation, figures.speculation);
    for (const std::string& warning : answer.finish.warnings) {
      auto& known = figures.warnings;
      if (std::find(known.begin(), known.end(), warning) == known.end()) known.push_back(warning);
    }
    for (const TokenArrival& arrival : answer.arrivals) {
      if (arrival.at_ms < begin_ms || arrival.at_ms > end_ms) continue;
      tenant_tokens[answer.tenant] += arrival.tokens;
    }
    if (answer.due_ms < begin_ms) continue;  // of the time before
    AddLatencies(answer, end_ms, figures.latency);
    if (!answer.arrivals.empty() && answer.arrivals.front().at_ms <= end_ms) {
      computed_prompt_tokens += usage.prompt_tokens - usage.cached_prompt_tokens;
    }
  }
  const auto per_second = [&](int64_t tokens) {
    return figures.window_ms > 0 ? static_cast<double>(tokens) / figures.window_ms * 1000 : 0;
  };
  for (const int64_t tokens : tenant_tokens) {
    figures.window_tokens += tokens;
    figures.tenant_tokens_per_second.push_back(per_second(tokens));
  }
  figures.tokens_per_second = per_second(figures.window_tokens);
  figures.prompt_tokens_per_second = per_second(computed_prompt_tokens);
  return figures;
}

LoadRecord OnlyTenant(const LoadRecord& record, size_t tenant) {
  LoadRecord part = {.window_begin_ms = record.window_begin_ms,
                     .window_end_ms = record.window_end_ms,
                     .answers = {}};
  std::copy_if(record.answers.begin(), record.answers.end(), std::back_inserter(part.answers),
               [&](const LoadAnswer& answer) { return answer.tenant == tenant; });
  return part;
}

double Percentile(std::vector<double> samples, double share) {
  if (samples.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(samples.size())));
  const auto nth = samples.begin() + static_cast<std::ptrdiff_t>(std::max<size_t>(rank, 1) - 1);
  std::nth_element(samples.begin(), nth, samples.end());
  return *nth;
}

double FairnessIndex(std::span<const double> rates, std::span<const double> weights) {
  double sum = 0;
  double squares = 0;
  for (size_t i = 0; i < rates.size(); ++i) {
    const double share = rates[i] / weights[i];
    sum += share;
    squares += share * share;
  }
  return squares > 0 ? sum * sum / (static_cast<double>(rates.size()) * squares) : 0;
}

}  // namespace foretoken
