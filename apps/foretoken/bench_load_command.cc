#include "bench_load_command.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/macros.h"
#include "bench_load_ceiling.h"
#include "bench_load_check.h"
#include "bench_load_figures.h"
#include "bench_load_flags.h"
#include "bench_load_generator.h"
#include "bench_load_report.h"
#include "bench_models.h"
#include "console.h"
#include "exit_code.h"
#include "foretoken/runtime_manager.h"
#include "model/default_loader.h"
#include "prompts_file.h"
#include "result_json.h"

namespace foretoken {
namespace {

constexpr size_t kQuiet = 0;  // tenants of --flood
constexpr size_t kOther = 1;

// The tenants that speculate in one way.
struct ModeTenants {
  std::string name;
  std::vector<std::shared_ptr<TenantRuntime>> tenants;
};

// One manager, one target engine, and the loads that are put on it. One thread.
class LoadBench {
 public:
  static Result<std::unique_ptr<LoadBench>> Open(const LoadFlags& flags,
                                                 const std::vector<Prompt>& prompts);
  Result<LoadReport> Measure();

 private:
  explicit LoadBench(const LoadFlags& flags)
      : flags_(flags), requests_each_(static_cast<size_t>(flags.RequestsOrDefault())) {}

  Status ReadPrompts(const std::vector<Prompt>& prompts);
  Status AddTenants();
  size_t TenantCount() const { return flags_.flood > 0 ? 2 : static_cast<size_t>(flags_.tenants); }
  // How many prompts, from the first on, the loads send.
  size_t PromptsUsed() const;
  // `count` prompts from number `first` on, round and round.
  std::vector<size_t> Queue(size_t first, size_t count) const;
  static std::vector<LoadClient> Clients(const ModeTenants& mode, size_t count);

  Status AnswerAlone();
  Status WarmUp(const ModeTenants& mode, size_t clients, size_t first_prompt);
  // The figures of a round. Its answers are kept to be checked when all rounds are over: judging a
  // difference takes forwards of its own.
  LoadFigures Count(LoadRecord record, const std::string& where, size_t round);
  // Puts a load on, and notes what the engine did meanwhile.
  template <typename Load, typename Runner>
  Result<LoadRecord> Run(const Load& load, Runner run);
  Status CheckAnswers();
  Status MeasureClosed(int32_t concurrency, LoadReport& report);
  Status MeasureOpen(LoadReport& report);
  Status MeasureFlood(LoadReport& report);
  Result<LoadFigures> Quiet(const ModeTenants& mode, size_t flood, size_t round);
  // Every mode once in each round, in an order that turns with the rounds.
  template <typename Point, typename Round>
  Status InTurns(std::vector<Point>& points, Round run_round);
  Result<MeasuredForwards> MeasureCosts();
  void Note(const std::string& line) const;

  const LoadFlags flags_;
  const size_t requests_each_;
  const bool shows_progress_ = isatty(STDERR_FILENO) != 0;
  LoadSettings settings_;
  TenantConfig config_;
  std::shared_ptr<ModelTable> table_;
  std::shared_ptr<LoadedModel> target_;
  std::unique_ptr<RuntimeManager> manager_;
  std::vector<ModeTenants> modes_;
  std::vector<LoadPrompt> prompts_;
  std::vector<GenerateRequest> requests_;                      // of each prompt
  std::unique_ptr<AnswerChecker> checker_;                     // null: nothing is compared
  std::vector<std::pair<std::string, LoadRecord>> unchecked_;  // by the name of the load
  EngineWork last_work_;                                       // of the last load
};

Result<std::unique_ptr<LoadBench>> LoadBench::Open(const LoadFlags& flags,
                                                   const std::vector<Prompt>& prompts) {
  std::unique_ptr<LoadBench> bench(new LoadBench(flags));
  FORETOKEN_ASSIGN_OR_RETURN(bench->config_, MakeTenantConfig(flags.generation, "bench"));
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<ModelLoader> loader, NewDefaultLoader());
  bench->table_ = std::make_shared<ModelTable>(std::move(loader));
  RuntimeOptions options;
  options.prefix_reuse = flags.prefix_reuse;
  if (flags.max_running > 0) options.max_running = flags.max_running;
  FORETOKEN_ASSIGN_OR_RETURN(
      bench->manager_,
      RuntimeManager::Create(options, std::make_unique<TableLoader>(bench->table_)));
  FORETOKEN_ASSIGN_OR_RETURN(bench->target_, bench->table_->Load(bench->config_.target));
  FORETOKEN_RETURN_IF_ERROR(bench->ReadPrompts(prompts));
  FORETOKEN_RETURN_IF_ERROR(bench->AddTenants());
  const GenerationFlags& generation = flags.generation;
  bench->settings_ = {.model = generation.model,
                      .draft = generation.draft,
                      .prompts_file = flags.prompts_file,
                      .max_tokens = generation.max_tokens,
                      .ignores_end_of_text = generation.ignore_end_of_text,
                      .requests = flags.RequestsOrDefault(),
                      .warm_up = flags.warm_up,
                      .repeat = flags.repeat,
                      .context_tokens = generation.context_tokens,
                      .kv_cache_tokens = generation.kv_cache_tokens,
                      .threads = generation.threads,
                      .max_running = options.max_running,
                      .prefix_reuse = flags.prefix_reuse,
                      .answer_store = flags.answer_store,
                      .weights = flags.weights.empty()
                                     ? std::vector<double>(bench->TenantCount(), 1.0)
                                     : flags.weights,
                      .sampling = bench->requests_.front().options.sampling,
                      .speculation = generation.speculation};
  return bench;
}

Status LoadBench::ReadPrompts(const std::vector<Prompt>& prompts) {
  GenerateOptions options = MakeGenerateOptions(flags_.generation, SamplingOptions());
  options.speculation.reset();  // each tenant's own
  for (const Prompt& prompt : prompts) {
    FORETOKEN_ASSIGN_OR_RETURN(std::vector<TokenId> tokens,
                               PromptTokens(*target_, prompt.text, flags_.raw));
    requests_.push_back({.prompt = tokens, .options = options});
    prompts_.push_back({prompt.id, std::move(tokens)});
  }
  if (!flags_.no_check && flags_.generation.speculation.rule == VerifyRule::kCoupled) {
    checker_ = std::make_unique<AnswerChecker>(target_, prompts_, options.sampling,
                                               flags_.generation.threads);
  }
  return OkStatus();
}

Status LoadBench::AddTenants() {
  for (const LoadMode& mode : LoadModes(flags_)) {
    ModeTenants tenants = {.name = mode.name, .tenants = {}};
    for (size_t i = 0; i < TenantCount(); ++i) {
      TenantConfig config = config_;
      config.name = fmt::format("{}-{}", mode.name, i);
      config.speculation = mode.speculation;
      if (mode.speculation.mode == SpeculationMode::kOff) config.draft_model.reset();
      if (!flags_.weights.empty()) config.weight = flags_.weights[i];
      if (!flags_.answer_store) config.suffix_store_bytes = 0;
      FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<TenantRuntime> tenant,
                                 manager_->AddTenant(std::move(config)));
      // A bench of a draft model that does not run would measure something else.
      if (tenant->draft_model_config() != nullptr) {
        FORETOKEN_RETURN_IF_ERROR(tenant->draft_ready());
      }
      tenants.tenants.push_back(std::move(tenant));
    }
    modes_.push_back(std::move(tenants));
  }
  return OkStatus();
}

size_t LoadBench::PromptsUsed() const {
  size_t most = requests_each_;
  if (flags_.flood > 0) {
    most += static_cast<size_t>(flags_.flood);
  } else if (flags_.rate == 0) {
    most *= static_cast<size_t>(
        *std::max_element(flags_.concurrency.begin(), flags_.concurrency.end()));
  }
  return std::min(most, prompts_.size());
}

std::vector<size_t> LoadBench::Queue(size_t first, size_t count) const {
  std::vector<size_t> queue;
  for (size_t i = 0; i < count; ++i) queue.push_back((first + i) % prompts_.size());
  return queue;
}

std::vector<LoadClient> LoadBench::Clients(const ModeTenants& mode, size_t count) {
  std::vector<LoadClient> clients;
  for (size_t i = 0; i < count; ++i) {
    const size_t tenant = i % mode.tenants.size();
    clients.push_back({mode.tenants[tenant].get(), tenant});
  }
  return clients;
}

// The answers that all others are compared with: one at a time, plain.
Status LoadBench::AnswerAlone() {
  TenantConfig config = config_;
  config.name = "alone";
  config.draft_model.reset();
  config.speculation.mode = SpeculationMode::kOff;
  config.suffix_store_bytes = 0;
  FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<TenantRuntime> tenant,
                             manager_->AddTenant(std::move(config)));
  ClosedLoad load;
  load.requests = requests_;
  load.clients = {{tenant.get(), 0}};
  load.queue = Queue(0, PromptsUsed());
  Note(fmt::format("{} plain answers, one at a time, to compare with", load.queue.size()));
  FORETOKEN_ASSIGN_OR_RETURN(LoadRecord record, RunClosedLoad(load));
  for (LoadAnswer& answer : record.answers) {
    checker_->SetReference(answer.prompt, std::move(answer.tokens));
  }
  return manager_->RemoveTenant("alone");
}

Status LoadBench::WarmUp(const ModeTenants& mode, size_t clients, size_t first_prompt) {
  ClosedLoad load;
  load.requests = requests_;
  load.clients = Clients(mode, clients);
  load.queue = Queue(first_prompt, clients * static_cast<size_t>(flags_.warm_up));
  return RunClosedLoad(load).status();
}

template <typename Load, typename Runner>
Result<LoadRecord> LoadBench::Run(const Load& load, Runner run) {
  const EngineWork before = Sum(manager_->Metrics());
  FORETOKEN_ASSIGN_OR_RETURN(LoadRecord record, run(load));
  last_work_ = Sum(manager_->Metrics()) - before;
  return record;
}

LoadFigures LoadBench::Count(LoadRecord record, const std::string& where, size_t round) {
  LoadFigures figures = FiguresOf(record, TenantCount());
  figures.work = last_work_;
  Note(fmt::format("{}, round {} of {}: {:.1f} tok/s", where, round + 1, flags_.repeat,
                   figures.tokens_per_second));
  if (checker_) unchecked_.emplace_back(where, std::move(record));
  return figures;
}

Status LoadBench::CheckAnswers() {
  if (checker_) Note("the answers' tokens");
  for (const auto& [where, record] : unchecked_) {
    FORETOKEN_RETURN_IF_ERROR(checker_->Check(record, where));
  }
  return OkStatus();
}

template <typename Point, typename Round>
Status LoadBench::InTurns(std::vector<Point>& points, Round run_round) {
  for (size_t round = 0; round < static_cast<size_t>(flags_.repeat); ++round) {
    for (size_t i = 0; i < modes_.size(); ++i) {
      const size_t mode = (round + i) % modes_.size();
      FORETOKEN_ASSIGN_OR_RETURN(auto figures, run_round(modes_[mode], round));
      points[mode].rounds.push_back(std::move(figures));
    }
  }
  return OkStatus();
}

Status LoadBench::MeasureClosed(int32_t concurrency, LoadReport& report) {
  const auto clients = static_cast<size_t>(concurrency);
  ClosedLoad load;
  load.requests = requests_;
  load.queue = Queue(0, clients * requests_each_);
  std::vector<LoadPoint> points;
  for (const ModeTenants& mode : modes_) {
    points.push_back({.concurrency = concurrency, .rate = 0, .mode = mode.name, .rounds = {}});
    FORETOKEN_RETURN_IF_ERROR(WarmUp(mode, clients, load.queue.size()));
  }
  const auto run_round = [&](const ModeTenants& mode, size_t round) -> Result<LoadFigures> {
    load.clients = Clients(mode, clients);
    FORETOKEN_ASSIGN_OR_RETURN(LoadRecord record, Run(load, RunClosedLoad));
    return Count(std::move(record), fmt::format("{} clients {}", concurrency, mode.name), round);
  };
  FORETOKEN_RETURN_IF_ERROR(InTurns(points, run_round));
  for (LoadPoint& point : points) report.points.push_back(std::move(point));
  return OkStatus();
}

Status LoadBench::MeasureOpen(LoadReport& report) {
  OpenLoad load;
  load.requests = requests_;
  load.queue = Queue(0, requests_each_);
  std::vector<LoadPoint> points;
  for (const ModeTenants& mode : modes_) {
    points.push_back({.concurrency = 0, .rate = flags_.rate, .mode = mode.name, .rounds = {}});
    FORETOKEN_RETURN_IF_ERROR(WarmUp(mode, TenantCount(), load.queue.size()));
  }
  const uint64_t seed = settings_.sampling.seed.value_or(0);
  const auto run_round = [&](const ModeTenants& mode, size_t round) -> Result<LoadFigures> {
    load.senders = Clients(mode, TenantCount());
    // The modes of a round meet the same arrivals, each round others.
    load.due_ms = PoissonArrivals(flags_.rate, load.queue.size(), seed + round);
    FORETOKEN_ASSIGN_OR_RETURN(LoadRecord record, Run(load, RunOpenLoad));
    return Count(std::move(record), fmt::format("{:g}/s {}", flags_.rate, mode.name), round);
  };
  FORETOKEN_RETURN_IF_ERROR(InTurns(points, run_round));
  report.points = std::move(points);
  return OkStatus();
}

Result<LoadFigures> LoadBench::Quiet(const ModeTenants& mode, size_t flood, size_t round) {
  ClosedLoad load;
  load.requests = requests_;
  load.clients = {{mode.tenants[kQuiet].get(), kQuiet}};
  load.queue = Queue(0, requests_each_);
  load.flood.assign(flood, {mode.tenants[kOther].get(), kOther});
  load.flood_queue = Queue(requests_each_, static_cast<size_t>(flags_.flood));
  FORETOKEN_ASSIGN_OR_RETURN(LoadRecord record, RunClosedLoad(load));
  LoadFigures figures = FiguresOf(OnlyTenant(record, kQuiet), TenantCount());
  Count(std::move(record), fmt::format("beside {} {}", flood, mode.name), round);
  return figures;
}

Status LoadBench::MeasureFlood(LoadReport& report) {
  for (const ModeTenants& mode : modes_) {
    report.floods.push_back({.flood_requests = flags_.flood, .mode = mode.name, .rounds = {}});
    FORETOKEN_RETURN_IF_ERROR(WarmUp(mode, TenantCount(), PromptsUsed()));
  }
  const auto run_round = [&](const ModeTenants& mode, size_t round) -> Result<FloodRound> {
    FloodRound figures;
    const bool one_first = round % 2 == 0;
    for (const bool beside_one : {one_first, !one_first}) {
      const size_t flood = beside_one ? 1 : static_cast<size_t>(flags_.flood);
      FORETOKEN_ASSIGN_OR_RETURN(
          (beside_one ? figures.quiet_beside_one : figures.quiet_beside_flood),
          Quiet(mode, flood, round));
    }
    return figures;
  };
  return InTurns(report.floods, run_round);
}

Result<MeasuredForwards> LoadBench::MeasureCosts() {
  Note("the forwards' times");
  int32_t longest = 0;
  for (const LoadMode& mode : LoadModes(flags_)) {
    if (mode.speculation.mode == SpeculationMode::kAuto) {
      longest = std::max(longest, mode.speculation.max_draft_tokens);
    } else if (mode.speculation.mode == SpeculationMode::kFixed) {
      longest = std::max(longest, mode.speculation.draft_k);
    }
  }
  const int32_t threads = flags_.generation.threads;
  MeasuredForwards costs;
  FORETOKEN_ASSIGN_OR_RETURN(
      costs.target_ms,
      MeasureForwards(*target_, CeilingRows(flags_.concurrency, longest), threads));
  if (config_.draft_model) {
    FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> draft,
                               table_->Load(*config_.draft_model));
    FORETOKEN_ASSIGN_OR_RETURN(
        costs.draft_ms, MeasureForwards(*draft, CeilingRows(flags_.concurrency, 0), threads));
  }
  return costs;
}

void LoadBench::Note(const std::string& line) const {
  if (shows_progress_) PrintNote(line);
}

Result<LoadReport> LoadBench::Measure() {
  LoadReport report;
  report.settings = settings_;
  if (checker_) FORETOKEN_RETURN_IF_ERROR(AnswerAlone());
  if (flags_.flood > 0) {
    FORETOKEN_RETURN_IF_ERROR(MeasureFlood(report));
  } else if (flags_.rate > 0) {
    FORETOKEN_RETURN_IF_ERROR(MeasureOpen(report));
  } else {
    for (const int32_t concurrency : flags_.concurrency) {
      FORETOKEN_RETURN_IF_ERROR(MeasureClosed(concurrency, report));
    }
  }
  if (flags_.ceiling) {
    FORETOKEN_ASSIGN_OR_RETURN(report.costs, MeasureCosts());
  }
  FORETOKEN_RETURN_IF_ERROR(CheckAnswers());
  if (checker_) {
    report.check = checker_->check();
  } else {
    report.check.skipped =
        flags_.no_check ? "as --no-check says" : "max-acceptance keeps the law, not the tokens";
  }
  return report;
}

int Bench(const LoadFlags& flags) {
  const auto fail = [](const Status& status, int exit_code) {
    PrintError(status.message());
    return exit_code;
  };
  if (const Status status = CheckLoadFlags(flags); !status.ok()) return fail(status, kExitUsage);
  const auto prompts = ReadPromptsFile(flags.prompts_file, flags.limit);
  if (!prompts.ok()) {
    return fail(prompts.status(), prompts.status().code() == StatusCode::kInvalidArgument
                                      ? kExitUsage
                                      : kExitFailure);
  }
  const auto bench = LoadBench::Open(flags, *prompts);
  if (!bench.ok()) return fail(bench.status(), kExitFailure);
  const auto report = (*bench)->Measure();
  if (!report.ok()) return fail(report.status(), kExitFailure);
  const Status output =
      WriteOutput(flags.json ? DumpJson(LoadReportToJson(*report), /*indented=*/true) + "\n"
                             : LoadReportToTable(*report));
  if (!output.ok()) return fail(output, kExitFailure);
  if (report->check.unexcused() > 0) {
    return fail(InternalError(fmt::format("{} of {} answers are not the plain ones",
                                          report->check.unexcused(), report->check.compared)),
                kExitFailure);
  }
  return kExitSuccess;
}

}  // namespace

void AddBenchLoadCommand(CLI::App& bench, int& exit_code) {
  const auto flags = std::make_shared<LoadFlags>();
  flags->generation.max_tokens = 64;
  // A benchmark is the same each time unless it is told otherwise.
  flags->generation.sampling.temperature = 0.0f;
  flags->generation.sampling.seed = 1;
  CLI::App* command = bench.add_subcommand(
      "load", "Answer many prompts at once, plainly and speculatively, and compare the tokens");
  AddLoadFlags(*command, *flags);
  command->callback([flags, &exit_code] { exit_code = Bench(*flags); });
}

}  // namespace foretoken
