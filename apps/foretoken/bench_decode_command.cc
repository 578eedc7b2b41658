#include "bench_decode_command.h"

#include <unistd.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/macros.h"
#include "bench_models.h"
#include "bench_report.h"
#include "console.h"
#include "exit_code.h"
#include "foretoken/runtime_manager.h"
#include "generation_flags.h"
#include "model/default_loader.h"
#include "model/loaded_model.h"
#include "near_tie_judge.h"
#include "prompts_file.h"
#include "result_json.h"

namespace foretoken {
namespace {

constexpr int32_t kWarmUpTokens = 16;

struct BenchFlags {
  GenerationFlags generation;
  std::string prompts_file;
  int32_t limit = 0;
  int32_t repeat = 1;
  bool raw = false;
  bool json = false;
};

// A run with what the judge wants to know of it.
struct RecordedRun {
  std::vector<TokenId> tokens;
  std::vector<ForwardShape> rounds;
  FinishedEvent finish;
};

Result<RecordedRun> RunOnce(TenantRuntime& tenant, GenerateRequest request) {
  const int32_t draft_k = tenant.config().speculation.draft_k;
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<GenerationStream> stream,
                             tenant.GenerateStream(std::move(request)));
  RecordedRun run;
  while (std::optional<StreamEvent> event = stream->Next()) {
    if (auto* finish = std::get_if<FinishedEvent>(&*event)) {
      run.finish = std::move(*finish);
      continue;
    }
    const auto& tokens = std::get<TokensEvent>(*event);
    if (tokens.tokens.empty()) continue;  // text that was held back
    for (const GeneratedToken& token : tokens.tokens) run.tokens.push_back(token.id);
    run.rounds.push_back(ShapeOfRound(tokens, draft_k));
  }
  FORETOKEN_RETURN_IF_ERROR(run.finish.status);
  return run;
}

// Runs the prompts on two tenants of one target, one plain and one speculative. One thread.
class DecodeBench {
 public:
  static Result<DecodeBench> Open(const BenchFlags& flags);
  Result<BenchReport> Measure(const std::vector<Prompt>& prompts);

 private:
  DecodeBench() = default;
  GenerateRequest Request(const std::vector<TokenId>& prompt) const {
    return {.prompt = prompt, .options = options_};
  }
  Status WarmUp(const std::vector<TokenId>& prompt);
  Status Compare(const std::string& id, std::vector<TokenId> prompt, const RecordedRun& plain,
                 const RecordedRun& speculative, TokenCheck& check);

  BenchSettings settings_;
  bool raw_ = false;
  ModelConfig target_config_;
  std::shared_ptr<LoadedModel> target_;
  std::unique_ptr<RuntimeManager> manager_;
  std::shared_ptr<TenantRuntime> plain_;
  std::shared_ptr<TenantRuntime> speculative_;
  GenerateOptions options_;
};

Result<DecodeBench> DecodeBench::Open(const BenchFlags& flags) {
  DecodeBench bench;
  FORETOKEN_ASSIGN_OR_RETURN(TenantConfig config,
                             MakeTenantConfig(flags.generation, "speculative"));
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<ModelLoader> loader, NewDefaultLoader());
  const auto table = std::make_shared<ModelTable>(std::move(loader));
  FORETOKEN_ASSIGN_OR_RETURN(
      bench.manager_,
      RuntimeManager::Create({.prefix_reuse = false}, std::make_unique<TableLoader>(table)));
  bench.target_config_ = config.target;
  FORETOKEN_ASSIGN_OR_RETURN(bench.target_, table->Load(config.target));

  TenantConfig plain = config;
  plain.name = "plain";
  plain.draft_model.reset();
  plain.speculation.mode = SpeculationMode::kOff;
  FORETOKEN_ASSIGN_OR_RETURN(bench.plain_, bench.manager_->AddTenant(std::move(plain)));
  FORETOKEN_ASSIGN_OR_RETURN(bench.speculative_, bench.manager_->AddTenant(std::move(config)));
  // A bench of a draft model that does not run would measure something else.
  if (bench.speculative_->draft_model_config() != nullptr) {
    FORETOKEN_RETURN_IF_ERROR(bench.speculative_->draft_ready());
  }

  bench.raw_ = flags.raw;
  bench.options_ = MakeGenerateOptions(flags.generation, SamplingOptions());
  bench.options_.speculation.reset();  // each tenant's own
  bench.settings_ = {.model = flags.generation.model,
                     .draft = flags.generation.draft,
                     .prompts_file = flags.prompts_file,
                     .max_tokens = flags.generation.max_tokens,
                     .repeat = flags.repeat,
                     .threads = flags.generation.threads,
                     .sampling = bench.options_.sampling,
                     .speculation = flags.generation.speculation};
  return bench;
}

Status DecodeBench::WarmUp(const std::vector<TokenId>& prompt) {
  for (TenantRuntime* tenant : {plain_.get(), speculative_.get()}) {
    GenerateRequest request = Request(prompt);
    request.options.max_tokens = std::min(kWarmUpTokens, request.options.max_tokens);
    FORETOKEN_RETURN_IF_ERROR(RunOnce(*tenant, std::move(request)).status());
  }
  return OkStatus();
}

Status DecodeBench::Compare(const std::string& id, std::vector<TokenId> prompt,
                            const RecordedRun& plain, const RecordedRun& speculative,
                            TokenCheck& check) {
  ++check.compared;
  if (!FirstDifference(plain.tokens, speculative.tokens)) return OkStatus();
  const BackendOptions options = {.context_tokens = target_config_.context_tokens,
                                  .threads = target_config_.threads};
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<ModelBackend> backend,
                             target_->NewBackend(options));
  const RunPair runs = {.prompt = std::move(prompt),
                        .plain = plain.tokens,
                        .speculative = speculative.tokens,
                        .rounds = speculative.rounds,
                        .sampling = options_.sampling,
                        .seed = plain.finish.seed};
  FORETOKEN_ASSIGN_OR_RETURN(NearTieVerdict verdict, JudgeNearTie(*backend, runs));
  check.differences.push_back({id, verdict});
  return OkStatus();
}

Result<BenchReport> DecodeBench::Measure(const std::vector<Prompt>& prompts) {
  BenchReport report;
  report.settings = settings_;
  if (settings_.speculation.rule == VerifyRule::kMaxAcceptance) {
    report.check.skipped = "max-acceptance keeps the law, not the tokens";
  }
  const bool show_progress = isatty(STDERR_FILENO) != 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Prompt& prompt = prompts[i];
    FORETOKEN_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens,
                               PromptTokens(*target_, prompt.text, raw_));
    if (i == 0) FORETOKEN_RETURN_IF_ERROR(WarmUp(tokens));
    PromptFigures figures;
    figures.id = prompt.id;
    for (int32_t turn = 0; turn < settings_.repeat; ++turn) {
      RecordedRun plain;
      RecordedRun speculative;
      // The order alternates: whatever drifts on the machine hits both sides.
      const bool plain_first = (i + static_cast<size_t>(turn)) % 2 == 0;
      for (const bool is_plain : {plain_first, !plain_first}) {
        FORETOKEN_ASSIGN_OR_RETURN((is_plain ? plain : speculative),
                                   RunOnce(is_plain ? *plain_ : *speculative_, Request(tokens)));
      }
      if (turn == 0 && report.check.skipped.empty()) {
        FORETOKEN_RETURN_IF_ERROR(Compare(prompt.id, tokens, plain, speculative, report.check));
      }
      figures.plain.push_back(std::move(plain.finish));
      figures.speculative.push_back(std::move(speculative.finish));
    }
    if (show_progress) {
      PrintNote(fmt::format("{}/{} {}: {:.1f} tok/s plain, {:.1f} speculative", i + 1,
                            prompts.size(), prompt.id,
                            figures.plain.back().timings.decode_tokens_per_second,
                            figures.speculative.back().timings.decode_tokens_per_second));
    }
    report.prompts.push_back(std::move(figures));
  }
  return report;
}

int Bench(const BenchFlags& flags) {
  const auto fail = [](const Status& status, int exit_code) {
    PrintError(status.message());
    return exit_code;
  };
  if (const Status status = CheckGenerationFlags(flags.generation); !status.ok()) {
    return fail(status, kExitUsage);
  }
  const auto prompts = ReadPromptsFile(flags.prompts_file, flags.limit);
  if (!prompts.ok()) {
    return fail(prompts.status(), prompts.status().code() == StatusCode::kInvalidArgument
                                      ? kExitUsage
                                      : kExitFailure);
  }
  auto bench = DecodeBench::Open(flags);
  if (!bench.ok()) return fail(bench.status(), kExitFailure);
  const auto report = bench->Measure(*prompts);
  if (!report.ok()) return fail(report.status(), kExitFailure);
  const Status output =
      WriteOutput(flags.json ? DumpJson(ReportToJson(*report), /*indented=*/true) + "\n"
                             : ReportToTable(*report));
  if (!output.ok()) return fail(output, kExitFailure);
  if (report->check.unexcused() > 0) {
    return fail(InternalError(fmt::format("speculation changed the tokens of {} of {} prompts",
                                          report->check.unexcused(), report->check.compared)),
                kExitFailure);
  }
  return kExitSuccess;
}

}  // namespace

void AddBenchDecodeCommand(CLI::App& bench, int& exit_code) {
  const auto flags = std::make_shared<BenchFlags>();
  flags->generation.max_tokens = 128;
  // A benchmark is the same each time unless it is told otherwise.
  flags->generation.sampling.temperature = 0.0f;
  flags->generation.sampling.seed = 1;
  CLI::App* command = bench.add_subcommand(
      "decode", "Time plain and speculative decoding of the same prompts, and compare the tokens");
  AddModelFlags(*command, flags->generation);
  command
      ->add_option("--prompts", flags->prompts_file,
                   "A JSON-lines file with the prompts (field turns[0] or prompt)")
      ->type_name("FILE")
      ->required();
  constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
  AddIntegerFlag(*command, "--limit", "Only the first N prompts", 1, kMaxInt, flags->limit);
  AddIntegerFlag(*command, "--repeat", "Pairs of runs for each prompt (default: 1)", 1, 1000,
                 flags->repeat);
  command->add_flag("--raw", flags->raw, "Send prompts as they are, without the chat template");
  AddLengthFlags(*command, flags->generation);
  AddSamplingFlags(*command, flags->generation);
  AddSpeculationFlags(*command, flags->generation);
  command->add_flag("--json", flags->json, "Print one JSON object instead of a table");
  command->callback([flags, &exit_code] { exit_code = Bench(*flags); });
}

}  // namespace foretoken
