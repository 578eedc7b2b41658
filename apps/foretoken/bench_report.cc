#include "bench_report.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "result_json.h"

namespace foretoken {
namespace {

using Json = nlohmann::ordered_json;
using Runs = std::vector<FinishedEvent>;

double MedianOf(const Runs& runs, const std::function<double(const FinishedEvent&)>& figure) {
  std::vector<double> values;
  for (const FinishedEvent& run : runs) values.push_back(figure(run));
  return Median(std::move(values));
}

double TokensPerSecond(const FinishedEvent& run) {
  return run.timings.decode_tokens_per_second;
}

// Milliseconds of each phase over all runs of one side.
struct Phases {
  double prompt = 0;
  double draft = 0;
  double verify = 0;
  double sample = 0;
  double rest = 0;  // of decode: what none of the others accounts for
  int64_t tokens = 0;
};

// All runs of one side, added up.
struct Side {
  std::vector<double> tokens_per_second;  // of each prompt that has a decode phase
  std::vector<double> first_token_ms;     // of each prompt
  Phases phases;
  SpeculationStats speculation;
};

Side AddUp(const std::vector<PromptFigures>& prompts, Runs PromptFigures::*runs_of) {
  Side side;
  for (const PromptFigures& prompt : prompts) {
    const Runs& runs = prompt.*runs_of;
    if (const double rate = MedianOf(runs, TokensPerSecond); rate > 0) {
      side.tokens_per_second.push_back(rate);
    }
    side.first_token_ms.push_back(
        MedianOf(runs, [](const FinishedEvent& run) { return run.timings.first_token_ms; }));
    for (const FinishedEvent& run : runs) {
      const Timings& t = run.timings;
      side.phases.prompt += t.prompt_ms;
      side.phases.draft += t.draft_ms;
      side.phases.verify += t.verify_ms;
      side.phases.sample += t.sample_ms;
      side.phases.rest += t.decode_ms - t.draft_ms - t.verify_ms - t.sample_ms;
      side.phases.tokens += run.usage.completion_tokens;
      AddSpeculation(run.speculation, side.speculation);
    }
  }
  return side;
}

// Of one prompt; 0 when a side has no decode phase.
double Ratio(const PromptFigures& prompt) {
  const double plain = MedianOf(prompt.plain, TokensPerSecond);
  return plain > 0 ? MedianOf(prompt.speculative, TokensPerSecond) / plain : 0;
}

std::vector<double> Ratios(const std::vector<PromptFigures>& prompts) {
  std::vector<double> ratios;
  for (const PromptFigures& prompt : prompts) {
    if (const double ratio = Ratio(prompt); ratio > 0) ratios.push_back(ratio);
  }
  std::sort(ratios.begin(), ratios.end());
  return ratios;
}

Json SettingsToJson(const BenchSettings& s) {
  return {{"model", s.model},
          {"draft", s.draft.empty() ? Json() : Json(s.draft)},
          {"prompts", s.prompts_file},
          {"max_tokens", s.max_tokens},
          {"repeat", s.repeat},
          {"threads", s.threads},
          {"temperature", s.sampling.temperature},
          {"seed", s.sampling.seed.value_or(0)},
          {"speculation", SpeculationName(s.speculation)},
          {"sources", SourceNames(s.speculation)},
          {"rule", RuleName(s.speculation.rule)}};
}

Json CheckToJson(const TokenCheck& check) {
  Json differences = Json::array();
  for (const JudgedDifference& difference : check.differences) {
    const NearTieVerdict& v = difference.verdict;
    // An infinite number becomes null.
    differences.push_back({{"id", difference.id},
                           {"position", v.position},
                           {"plain_token", v.plain_token},
                           {"speculative_token", v.speculative_token},
                           {"score_gap", v.score_gap},
                           {"shape_difference", v.shape_difference},
                           {"excused", v.excused}});
  }
  Json json = {{"compared", check.compared},
               {"equal", check.equal()},
               {"excused", check.excused()},
               {"unexcused", check.unexcused()},
               {"differences", std::move(differences)}};
  if (!check.skipped.empty()) json["skipped"] = check.skipped;
  return json;
}

Json SideToJson(const Side& side) {
  const Phases& p = side.phases;
  return {{"tokens_per_second", Median(side.tokens_per_second)},
          {"first_token_ms", Median(side.first_token_ms)},
          {"completion_tokens", p.tokens},
          {"phases_ms",
           {{"prompt", p.prompt},
            {"draft", p.draft},
            {"verify", p.verify},
            {"sample", p.sample},
            {"rest", p.rest}}}};
}

double Percent(const DraftCounts& counts) {
  return counts.drafted == 0
             ? 0
             : 100.0 * static_cast<double>(counts.accepted) / static_cast<double>(counts.drafted);
}

std::string CheckLines(const TokenCheck& check) {
  if (!check.skipped.empty())
    return fmt::format("same tokens       not checked: {}\n", check.skipped);
  std::string text = fmt::format("same tokens       {} of {}", check.equal(), check.compared);
  if (!check.differences.empty()) {
    text += fmt::format("; {} excused as near ties, {} NOT excused", check.excused(),
                        check.unexcused());
  }
  text += "\n";
  for (const JudgedDifference& difference : check.differences) {
    const NearTieVerdict& v = difference.verdict;
    text += fmt::format("  {}: token {} is {} or {}, gap {:.3g}, shapes differ by {:.3g}: {}\n",
                        difference.id, v.position, v.plain_token, v.speculative_token, v.score_gap,
                        v.shape_difference, v.excused ? "excused" : "NOT excused");
  }
  return text;
}

std::string AcceptanceLines(const SpeculationStats& stats) {
  std::string text;
  for (const auto& [kind, counts] : stats.by_source) {
    text += fmt::format("accepted, {:<8}{:>8} of {} ({:.1f} %)\n", DraftSourceKindName(kind),
                        counts.accepted, counts.drafted, Percent(counts));
  }
  for (size_t i = 0; i < stats.by_position.size(); ++i) {
    const DraftCounts& counts = stats.by_position[i];
    text += fmt::format("accepted, token {:<2}{:>8} of {} ({:.1f} %)\n", i + 1, counts.accepted,
                        counts.drafted, Percent(counts));
  }
  return text;
}

}  // namespace

int32_t TokenCheck::excused() const {
  return static_cast<int32_t>(
      std::count_if(differences.begin(), differences.end(),
                    [](const JudgedDifference& d) { return d.verdict.excused; }));
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void AddSpeculation(const SpeculationStats& from, SpeculationStats& to) {
  const auto rounds = static_cast<double>(to.rounds + from.rounds);
  if (rounds > 0) {
    to.tau =
        (to.tau * static_cast<double>(to.rounds) + from.tau * static_cast<double>(from.rounds)) /
        rounds;
  }
  to.rounds += from.rounds;
  to.drafted += from.drafted;
  to.accepted += from.accepted;
  to.rejected += from.rejected;
  to.bonus += from.bonus;
  for (const auto& [kind, counts] : from.by_source) {
    to.by_source[kind].drafted += counts.drafted;
    to.by_source[kind].accepted += counts.accepted;
  }
  if (to.by_position.size() < from.by_position.size()) {
    to.by_position.resize(from.by_position.size());
  }
  for (size_t i = 0; i < from.by_position.size(); ++i) {
    to.by_position[i].drafted += from.by_position[i].drafted;
    to.by_position[i].accepted += from.by_position[i].accepted;
  }
}

std::string SpeculationName(const SpeculativeConfig& config) {
  switch (config.mode) {
    case SpeculationMode::kAuto:
      return "auto";
    case SpeculationMode::kOff:
      return "off";
    case SpeculationMode::kFixed:
      break;
  }
  return std::to_string(config.draft_k);
}

std::string SourceNames(const SpeculativeConfig& config) {
  std::string names;
  for (const DraftSourceKind kind : config.sources) {
    names += (names.empty() ? "" : ",") + std::string(DraftSourceKindName(kind));
  }
  return names.empty() ? "none" : names;
}

std::string_view RuleName(VerifyRule rule) {
  return rule == VerifyRule::kCoupled ? "coupled" : "max-acceptance";
}

nlohmann::ordered_json ReportToJson(const BenchReport& report) {
  const Side plain = AddUp(report.prompts, &PromptFigures::plain);
  const Side speculative = AddUp(report.prompts, &PromptFigures::speculative);
  const std::vector<double> ratios = Ratios(report.prompts);
  Json prompts = Json::array();
  for (const PromptFigures& prompt : report.prompts) {
    prompts.push_back(
        {{"id", prompt.id},
         {"plain_tokens_per_second", MedianOf(prompt.plain, TokensPerSecond)},
         {"speculative_tokens_per_second", MedianOf(prompt.speculative, TokensPerSecond)},
         {"ratio", Ratio(prompt)},
         {"tau", MedianOf(prompt.speculative,
                          [](const FinishedEvent& run) { return run.speculation.tau; })}});
  }
  return {{"benchmark", "decode"},
          {"settings", SettingsToJson(report.settings)},
          {"check", CheckToJson(report.check)},
          {"plain", SideToJson(plain)},
          {"speculative", SideToJson(speculative)},
          {"ratio",
           {{"median", Median(ratios)},
            {"min", ratios.empty() ? 0 : ratios.front()},
            {"max", ratios.empty() ? 0 : ratios.back()}}},
          {"speculation", SpeculationToJson(speculative.speculation)},
          {"prompts", std::move(prompts)}};
}

std::string ReportToTable(const BenchReport& report) {
  const BenchSettings& s = report.settings;
  const Side plain = AddUp(report.prompts, &PromptFigures::plain);
  const Side speculative = AddUp(report.prompts, &PromptFigures::speculative);
  const std::vector<double> ratios = Ratios(report.prompts);

  std::string text =
      fmt::format("model {}, {}, {} prompts of {}, at most {} tokens, {} run{} each\n", s.model,
                  s.draft.empty() ? "no draft" : "draft " + s.draft, report.prompts.size(),
                  s.prompts_file, s.max_tokens, s.repeat, s.repeat == 1 ? "" : "s");
  text += fmt::format("speculation {}, sources {}, rule {}, temperature {:g}, seed {}\n\n",
                      SpeculationName(s.speculation), SourceNames(s.speculation),
                      RuleName(s.speculation.rule), s.sampling.temperature,
                      s.sampling.seed.value_or(0));
  text += CheckLines(report.check) + "\n";

  const auto row = [&](std::string_view name, double a, double b, int digits) {
    text += fmt::format("{:<18}{:>10.{}f}{:>14.{}f}\n", name, a, digits, b, digits);
  };
  text += fmt::format("{:<18}{:>10}{:>14}\n", "", "plain", "speculative");
  row("tokens/s, median", Median(plain.tokens_per_second), Median(speculative.tokens_per_second),
      1);
  row("first token, ms", Median(plain.first_token_ms), Median(speculative.first_token_ms), 1);
  row("tau", plain.speculation.tau, speculative.speculation.tau, 2);
  const struct {
    std::string_view name;
    double Phases::*time;
  } phases[] = {{"prompt, ms/token", &Phases::prompt},
                {"draft", &Phases::draft},
                {"verify", &Phases::verify},
                {"sample", &Phases::sample},
                {"rest", &Phases::rest}};
  const auto per_token = [](const Phases& p, double Phases::*time) {
    return p.tokens == 0 ? 0 : p.*time / static_cast<double>(p.tokens);
  };
  for (const auto& phase : phases) {
    row(phase.name, per_token(plain.phases, phase.time), per_token(speculative.phases, phase.time),
        3);
  }
  if (!ratios.empty()) {
    text += fmt::format("{:<18}{:>10.2f}   ({:.2f} to {:.2f} over {} prompts)\n", "ratio, median",
                        Median(ratios), ratios.front(), ratios.back(), ratios.size());
  }
  return text + "\n" + AcceptanceLines(speculative.speculation);
}

}  // namespace foretoken
