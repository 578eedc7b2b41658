#include "bench_load_summary.h"

#include <algorithm>
#include <functional>

#include "bench_report.h"

namespace foretoken {
namespace {

using Rounds = std::vector<LoadFigures>;
using Figure = std::function<double(const LoadFigures&)>;

double MedianOf(const Rounds& rounds, const Figure& figure) {
  std::vector<double> values;
  for (const LoadFigures& round : rounds) values.push_back(figure(round));
  return Median(std::move(values));
}

double MedianTpot(const LoadFigures& round) {
  return Percentile(round.latency.tpot_ms, 0.5);
}

double MedianTtft(const LoadFigures& round) {
  return Percentile(round.latency.ttft_ms, 0.5);
}

bool SameLoad(const LoadPoint& a, const LoadPoint& b) {
  return a.concurrency == b.concurrency && a.rate == b.rate;
}

// Null where the mode did not run under the load of `point`.
const LoadPoint* FindMode(const LoadReport& report, const LoadPoint& point,
                          const std::string& mode) {
  const auto found = std::find_if(
      report.points.begin(), report.points.end(),
      [&](const LoadPoint& other) { return other.mode == mode && SameLoad(other, point); });
  return found == report.points.end() ? nullptr : &*found;
}

std::vector<double> RatiosToOff(const LoadReport& report, const LoadPoint& point,
                                const Figure& figure) {
  std::vector<double> ratios;
  const LoadPoint* plain = FindMode(report, point, "off");
  if (plain == nullptr) return ratios;
  for (size_t i = 0; i < std::min(point.rounds.size(), plain->rounds.size()); ++i) {
    ratios.push_back(Quotient(figure(point.rounds[i]), figure(plain->rounds[i])));
  }
  return ratios;
}

// Whose acceptance a ceiling assumes: the longest fixed length's, else what `auto` saw.
const LoadPoint* AcceptanceOf(const LoadReport& report, const LoadPoint& point) {
  const LoadPoint* best = FindMode(report, point, "auto");
  size_t longest = 0;
  for (const LoadPoint& other : report.points) {
    if (!SameLoad(other, point) || other.mode == "off" || other.mode == "auto") continue;
    const size_t length = LoadSummary(other.rounds).speculation.by_position.size();
    if (length > longest || best == nullptr) {
      best = &other;
      longest = length;
    }
  }
  return best;
}

Rounds Part(const FloodPoint& point, LoadFigures FloodRound::*part) {
  Rounds rounds;
  for (const FloodRound& round : point.rounds) rounds.push_back(round.*part);
  return rounds;
}

}  // namespace

double Quotient(double a, double b) {
  return b > 0 ? a / b : 0;
}

LoadSummary::LoadSummary(const std::vector<LoadFigures>& rounds) {
  for (const LoadFigures& round : rounds) {
    rounds_tokens_per_second.push_back(round.tokens_per_second);
    window_ms += round.window_ms;
    window_tokens += round.window_tokens;
    answers += round.answers;
    completion_tokens += round.completion_tokens;
    prompt_tokens += round.prompt_tokens;
    cached_prompt_tokens += round.cached_prompt_tokens;
    latency.Append(round.latency);
    AddSpeculation(round.speculation, speculation);
    work = work + round.work;
    for (const std::string& warning : round.warnings) {
      if (std::find(warnings.begin(), warnings.end(), warning) == warnings.end()) {
        warnings.push_back(warning);
      }
    }
  }
  tokens_per_second = Median(rounds_tokens_per_second);
  prompt_tokens_per_second =
      MedianOf(rounds, [](const LoadFigures& r) { return r.prompt_tokens_per_second; });
  for (size_t i = 0; !rounds.empty() && i < rounds[0].tenant_tokens_per_second.size(); ++i) {
    tenant_tokens_per_second.push_back(
        MedianOf(rounds, [i](const LoadFigures& r) { return r.tenant_tokens_per_second[i]; }));
  }
}

FloodSummary::FloodSummary(const FloodPoint& point)
    : beside_one(Part(point, &FloodRound::quiet_beside_one)),
      beside_flood(Part(point, &FloodRound::quiet_beside_flood)) {
  for (const FloodRound& round : point.rounds) {
    ttft_ratios.push_back(
        Quotient(MedianTtft(round.quiet_beside_flood), MedianTtft(round.quiet_beside_one)));
    tpot_ratios.push_back(
        Quotient(MedianTpot(round.quiet_beside_flood), MedianTpot(round.quiet_beside_one)));
  }
}

std::vector<double> RateRatios(const LoadReport& report, const LoadPoint& point) {
  return RatiosToOff(report, point, [](const LoadFigures& r) { return r.tokens_per_second; });
}

std::vector<double> DecodeSpeedUps(const LoadReport& report, const LoadPoint& point) {
  return RatiosToOff(report, point,
                     [](const LoadFigures& r) { return Quotient(1, MedianTpot(r)); });
}

std::vector<CeilingLine> Ceilings(const LoadReport& report) {
  std::vector<CeilingLine> lines;
  for (const LoadPoint& point : report.points) {
    if (!report.costs || point.mode != "off" || point.concurrency == 0) continue;
    const LoadPoint* acceptance = AcceptanceOf(report, point);
    if (acceptance == nullptr) continue;
    const LoadPoint* automatic = FindMode(report, point, "auto");
    lines.push_back(
        {.concurrency = point.concurrency,
         .ceiling = CeilingAt(point.concurrency, *report.costs,
                              LoadSummary(acceptance->rounds).speculation),
         .acceptance_of = acceptance->mode,
         .reached = automatic == nullptr ? 0 : Median(DecodeSpeedUps(report, *automatic))});
  }
  return lines;
}

}  // namespace foretoken
