#include "bench_load_report.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bench_report.h"
#include "result_json.h"

namespace foretoken {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kTail = 0.99;

Json SpreadToJson(const std::vector<double>& values) {
  if (values.empty()) return nullptr;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {{"median", Median(values)}, {"min", *low}, {"max", *high}};
}

Json PercentilesToJson(const std::vector<double>& samples) {
  return {{"p50", Percentile(samples, 0.5)},
          {"p99", Percentile(samples, kTail)},
          {"samples", samples.size()}};
}

Json SettingsToJson(const LoadSettings& s) {
  return {{"model", s.model},
          {"draft", s.draft.empty() ? Json() : Json(s.draft)},
          {"prompts", s.prompts_file},
          {"max_tokens", s.max_tokens},
          {"ignore_end_of_text", s.ignores_end_of_text},
          {"requests", s.requests},
          {"warm_up", s.warm_up},
          {"repeat", s.repeat},
          {"context", s.context_tokens},
          {"kv_cache", s.kv_cache_tokens},
          {"threads", s.threads},
          {"max_running", s.max_running},
          {"prefix_reuse", s.prefix_reuse},
          {"answer_store", s.answer_store},
          {"weights", s.weights},
          {"temperature", s.sampling.temperature},
          {"seed", s.sampling.seed.value_or(0)},
          {"sources", SourceNames(s.speculation)},
          {"rule", RuleName(s.speculation.rule)}};
}

Json CheckToJson(const LoadCheck& check) {
  Json differences = Json::array();
  for (const LoadDifference& difference : check.differences) {
    const NearTieVerdict& v = difference.verdict;
    // An infinite number becomes null.
    differences.push_back({{"id", difference.id},
                           {"first_seen", difference.where},
                           {"answers", difference.answers},
                           {"position", v.position},
                           {"plain_token", v.plain_token},
                           {"other_token", v.speculative_token},
                           {"score_gap", v.score_gap},
                           {"shape_difference", v.shape_difference},
                           {"excused", v.excused}});
  }
  Json json = {{"compared", check.compared},
               {"equal", check.equal},
               {"excused", check.excused()},
               {"unexcused", check.unexcused()},
               {"differences", std::move(differences)}};
  if (!check.skipped.empty()) json["skipped"] = check.skipped;
  return json;
}

Json ForecastToJson(const Forecast& forecast, double unit) {
  return {{"count", forecast.count},
          {"expected", forecast.expected * unit},
          {"actual", forecast.actual * unit},
          {"absolute_error", forecast.absolute_error * unit}};
}

Json WorkToJson(const EngineWork& work) {
  const auto ms = [](int64_t us) { return static_cast<double>(us) / 1000; };
  const PhaseTimes& phases = work.phases;
  return {{"steps", work.steps},
          {"target_rows", work.target_rows},
          {"draft_rows", work.draft_rows},
          {"plan_ms", ms(phases.plan_us)},
          {"draft_ms", ms(phases.draft_us)},
          {"forward_ms", ms(phases.forward_us)},
          {"judge_ms", ms(phases.judge_us)},
          {"commit_ms", ms(phases.commit_us)},
          {"emit_ms", ms(phases.emit_us)},
          {"idle_ms", ms(phases.idle_us)},
          {"overhead_share", work.OverheadShare()},
          {"step_ms_forecast", ForecastToJson(work.step_us_forecast, 1e-3)},
          {"accepted_forecast", ForecastToJson(work.accepted_forecast, 1)}};
}

Json PointToJson(const LoadReport& report, const LoadPoint& point) {
  const LoadSummary sum(point.rounds);
  const LatencySamples& latency = sum.latency;
  Json tenants = Json::array();
  for (size_t i = 0; i < sum.tenant_tokens_per_second.size(); ++i) {
    tenants.push_back({{"weight", report.settings.weights[i]},
                       {"tokens_per_second", sum.tenant_tokens_per_second[i]}});
  }
  return {{"concurrency", point.concurrency > 0 ? Json(point.concurrency) : Json()},
          {"rate", point.rate > 0 ? Json(point.rate) : Json()},
          {"mode", point.mode},
          {"aggregate_tokens_per_second", sum.tokens_per_second},
          {"rounds_tokens_per_second", sum.rounds_tokens_per_second},
          {"ratio_to_off", SpreadToJson(RateRatios(report, point))},
          {"decode_speed_up", SpreadToJson(DecodeSpeedUps(report, point))},
          {"request_tokens_per_second", Quotient(1000, Percentile(latency.tpot_ms, 0.5))},
          {"prompt_tokens_per_second", sum.prompt_tokens_per_second},
          {"ttft_ms", PercentilesToJson(latency.ttft_ms)},
          {"tpot_ms", PercentilesToJson(latency.tpot_ms)},
          {"itl_ms", PercentilesToJson(latency.itl_ms)},
          {"tau", sum.speculation.tau},
          {"window_ms", sum.window_ms},
          {"window_tokens", sum.window_tokens},
          {"answers", sum.answers},
          {"completion_tokens", sum.completion_tokens},
          {"prompt_tokens", sum.prompt_tokens},
          {"cached_prompt_tokens", sum.cached_prompt_tokens},
          {"tenants", std::move(tenants)},
          {"fairness", FairnessIndex(sum.tenant_tokens_per_second, report.settings.weights)},
          {"speculation", SpeculationToJson(sum.speculation)},
          {"engine", WorkToJson(sum.work)},
          {"warnings", sum.warnings}};
}

Json TimesToJson(const ForwardTimes& times) {
  Json json = Json::object();
  for (const auto& [rows, ms] : times) json[std::to_string(rows)] = ms;
  return json;
}

Json CeilingsToJson(const LoadReport& report) {
  Json lines = Json::array();
  for (const CeilingLine& line : Ceilings(report)) {
    lines.push_back({{"concurrency", line.concurrency},
                     {"draft_tokens", line.ceiling.draft_tokens},
                     {"ratio", line.ceiling.ratio},
                     {"acceptance_of", line.acceptance_of},
                     {"auto_decode_speed_up", line.reached > 0 ? Json(line.reached) : Json()}});
  }
  return {{"target_forward_ms", TimesToJson(report.costs->target_ms)},
          {"draft_forward_ms", TimesToJson(report.costs->draft_ms)},
          {"points", std::move(lines)}};
}

Json QuietToJson(const LatencySamples& latency) {
  return {{"ttft_ms", PercentilesToJson(latency.ttft_ms)},
          {"tpot_ms", PercentilesToJson(latency.tpot_ms)},
          {"itl_ms", PercentilesToJson(latency.itl_ms)}};
}

Json FloodToJson(const FloodPoint& point) {
  const FloodSummary sum(point);
  return {{"flood_requests", point.flood_requests},
          {"mode", point.mode},
          {"beside_one", QuietToJson(sum.beside_one.latency)},
          {"beside_flood", QuietToJson(sum.beside_flood.latency)},
          {"ttft_ratio", SpreadToJson(sum.ttft_ratios)},
          {"tpot_ratio", SpreadToJson(sum.tpot_ratios)}};
}

std::string CheckLines(const LoadCheck& check) {
  if (!check.skipped.empty()) return fmt::format("same tokens: not checked, {}\n", check.skipped);
  std::string text = fmt::format("same tokens: {} of {} answers", check.equal, check.compared);
  if (!check.differences.empty()) {
    text += fmt::format("; {} excused as near ties, {} NOT excused", check.excused(),
                        check.unexcused());
  }
  text += "\n";
  for (const LoadDifference& difference : check.differences) {
    const NearTieVerdict& v = difference.verdict;
    text += fmt::format(
        "  {}, {}: token {} is {} or {}, gap {:.3g}, shapes differ by {:.3g}: {} ({} answer{})\n",
        difference.id, difference.where, v.position, v.plain_token, v.speculative_token,
        v.score_gap, v.shape_difference, v.excused ? "excused" : "NOT excused", difference.answers,
        difference.answers == 1 ? "" : "s");
  }
  return text;
}

std::string Pair(const std::vector<double>& samples) {
  return fmt::format("{:.0f} / {:.0f}", Percentile(samples, 0.5), Percentile(samples, kTail));
}

std::string Accepted(const SpeculationStats& stats) {
  std::string text;
  for (const auto& [kind, counts] : stats.by_source) {
    text += fmt::format("{}{} {}/{}", text.empty() ? "" : ", ", DraftSourceKindName(kind),
                        counts.accepted, counts.drafted);
  }
  return text;
}

std::string PointLines(const LoadReport& report, const LoadPoint& point) {
  const LoadSummary sum(point.rounds);
  const std::vector<double> ratios = RateRatios(report, point);
  std::string text = fmt::format(
      "{:>7} {:<5}{:>8.1f} {:>6} {:>8.1f} {:>8.0f} {:>13} {:>12} {:>12} {:>5.2f}  {}\n",
      point.concurrency > 0 ? std::to_string(point.concurrency) : fmt::format("{:g}/s", point.rate),
      point.mode, sum.tokens_per_second,
      ratios.empty() ? std::string() : fmt::format("{:.3f}", Median(ratios)),
      Quotient(1000, Percentile(sum.latency.tpot_ms, 0.5)), sum.prompt_tokens_per_second,
      Pair(sum.latency.ttft_ms), Pair(sum.latency.tpot_ms), Pair(sum.latency.itl_ms),
      sum.speculation.tau, Accepted(sum.speculation));
  if (sum.tenant_tokens_per_second.size() > 1) {
    text += "        tenants (weight): ";
    for (size_t i = 0; i < sum.tenant_tokens_per_second.size(); ++i) {
      text += fmt::format("{:.1f} ({:g}), ", sum.tenant_tokens_per_second[i],
                          report.settings.weights[i]);
    }
    text += fmt::format("fairness {:.4f}\n",
                        FairnessIndex(sum.tenant_tokens_per_second, report.settings.weights));
  }
  return text;
}

std::string CeilingLines(const LoadReport& report) {
  const std::vector<CeilingLine> lines = Ceilings(report);
  if (lines.empty()) return "";
  std::string text =
      "\nthe best fixed draft length by the forwards' times, as a ratio of decoding speeds\n";
  text += fmt::format("{:>7} {:>7} {:>8} {:>7} {:>12}\n", "clients", "length", "ceiling", "auto",
                      "acceptance");
  for (const CeilingLine& line : lines) {
    text += fmt::format("{:>7} {:>7} {:>8.3f} {:>7} {:>12}\n", line.concurrency,
                        line.ceiling.draft_tokens, line.ceiling.ratio,
                        line.reached > 0 ? fmt::format("{:.3f}", line.reached) : "",
                        "of " + line.acceptance_of);
  }
  return text;
}

std::string FloodLines(const FloodPoint& point) {
  const FloodSummary sum(point);
  std::string text =
      fmt::format("\na quiet tenant beside another, mode {} (p50 / p99, ms)\n", point.mode);
  text += fmt::format("{:<24}{:>15}{:>15}{:>15}\n", "the other has", "TTFT", "TPOT", "ITL");
  const auto row = [&](const std::string& name, const LatencySamples& latency) {
    text += fmt::format("{:<24}{:>15}{:>15}{:>15}\n", name, Pair(latency.ttft_ms),
                        Pair(latency.tpot_ms), Pair(latency.itl_ms));
  };
  row("1 request at a time", sum.beside_one.latency);
  row(fmt::format("{} requests at a time", point.flood_requests), sum.beside_flood.latency);
  text += fmt::format("{:<24}{:>15.3f}{:>15.3f}\n", "ratio, median of rounds",
                      Median(sum.ttft_ratios), Median(sum.tpot_ratios));
  return text;
}

}  // namespace

nlohmann::ordered_json LoadReportToJson(const LoadReport& report) {
  Json results = Json::array();
  for (const LoadPoint& point : report.points) results.push_back(PointToJson(report, point));
  Json json = {{"benchmark", "load"},
               {"settings", SettingsToJson(report.settings)},
               {"check", CheckToJson(report.check)},
               {"results", std::move(results)}};
  if (report.costs) json["ceiling"] = CeilingsToJson(report);
  if (!report.floods.empty()) {
    Json floods = Json::array();
    for (const FloodPoint& point : report.floods) floods.push_back(FloodToJson(point));
    json["flood"] = std::move(floods);
  }
  return json;
}

std::string LoadReportToTable(const LoadReport& report) {
  const LoadSettings& s = report.settings;
  std::string text =
      fmt::format("model {}, {}, prompts of {}, {} {} tokens, {} round{} of {} request{}{}\n",
                  s.model, s.draft.empty() ? "no draft" : "draft " + s.draft, s.prompts_file,
                  s.ignores_end_of_text ? "exactly" : "at most", s.max_tokens, s.repeat,
                  s.repeat == 1 ? "" : "s", s.requests, s.requests == 1 ? "" : "s",
                  !report.points.empty() && report.points[0].concurrency > 0 ? " a client" : "");
  text += fmt::format("sources {}, rule {}, temperature {:g}, seed {}\n",
                      SourceNames(s.speculation), RuleName(s.speculation.rule),
                      s.sampling.temperature, s.sampling.seed.value_or(0));
  text += CheckLines(report.check);
  if (!report.points.empty()) {
    text += fmt::format("\n{:>7} {:<5}{:>8} {:>6} {:>8} {:>8} {:>13} {:>12} {:>12} {:>5}  {}\n",
                        "clients", "mode", "tok/s", "ratio", "each", "prompt", "TTFT, ms",
                        "TPOT, ms", "ITL, ms", "tau", "accepted");
    for (const LoadPoint& point : report.points) text += PointLines(report, point);
    text +=
        "\ntok/s: all answers together; each: one answer; ratio: to off, median of rounds;\n"
        "prompt: tokens/s; latencies: p50 / p99\n";
  }
  text += CeilingLines(report);
  for (const FloodPoint& point : report.floods) text += FloodLines(point);
  return text;
}

}  // namespace foretoken
