#include "bench_kernels_command.h"

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/cpu_count.h"
#include "base/macros.h"
#include "bench_kernels_report.h"
#include "console.h"
#include "exit_code.h"
#include "generation_flags.h"
#include "kernel_timing.h"
#include "kernels/instruction_set.h"
#include "model/default_loader.h"
#include "model/gguf_reader.h"
#include "model/model_facts.h"
#include "result_json.h"

namespace foretoken {
namespace {

struct BenchKernelsFlags {
  GenerationFlags generation;
  KernelTimingPlan plan = {.cached_tokens = {0, 1024, 4096},
                           .rows = {1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64}};
  std::string text_file;
  int32_t text_tokens = 1024;
  bool json = false;
};

Result<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file || text.empty()) return NotFoundError(path + ": cannot be read, or is empty");
  return text;
}

Result<KernelBenchReport> Measure(const BenchKernelsFlags& flags) {
  FORETOKEN_ASSIGN_OR_RETURN(const TenantConfig config,
                             MakeTenantConfig(flags.generation, "kernels"));
  ModelConfig ours = config.target;
  ours.kernels = CpuKernels::kInvariant;
  ModelConfig stock = config.target;
  stock.kernels = CpuKernels::kStock;
  FORETOKEN_ASSIGN_OR_RETURN(const GgufFile file, ReadGgufFile(ours.path));
  const ModelFacts facts = CollectModelFacts(file);
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<ModelLoader> loader, NewDefaultLoader());
  FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> our_model, loader->Load(ours));
  FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> stock_model, loader->Load(stock));

  const int32_t threads =
      flags.generation.threads > 0 ? flags.generation.threads : DefaultThreadCount().threads;
  KernelBenchReport report;
  report.model = flags.generation.model;
  report.instruction_set = InstructionSetName(BestInstructionSet());
  report.threads = threads;
  report.pairs = flags.plan.pairs;
  report.parameters = facts.parameters;
  report.weight_bytes = facts.file_bytes;
  report.peaks = MeasureMachinePeaks(threads);
  FORETOKEN_ASSIGN_OR_RETURN(report.times,
                             TimeKernels(*our_model, *stock_model, threads, flags.plan));
  if (!flags.text_file.empty()) {
    FORETOKEN_ASSIGN_OR_RETURN(const std::string text, ReadText(flags.text_file));
    FORETOKEN_ASSIGN_OR_RETURN(
        report.quality,
        CompareKernelQuality(*our_model, *stock_model, threads, text, flags.text_tokens));
  }
  return report;
}

int BenchKernels(const BenchKernelsFlags& flags) {
  const auto report = Measure(flags);
  if (!report.ok()) {
    PrintError(report.status().message());
    return kExitFailure;
  }
  const Status output =
      WriteOutput(flags.json ? DumpJson(KernelReportToJson(*report), /*indented=*/true) + "\n"
                             : KernelReportToTable(*report));
  if (output.ok()) return kExitSuccess;
  PrintError(output.message());
  return kExitFailure;
}

// A list of whole numbers between commas.
void AddNumbersFlag(CLI::App& command, const std::string& name, const std::string& help,
                    const CLI::Range& range, std::vector<int32_t>& values) {
  command.add_option(name, values, help)->delimiter(',')->check(range)->type_name("N,N,...");
}

}  // namespace

void AddBenchKernelsCommand(CLI::App& bench, int& exit_code) {
  const auto flags = std::make_shared<BenchKernelsFlags>();
  CLI::App* command = bench.add_subcommand(
      "kernels", "Time forwards of a model on our kernels and on the stock ones, in turn");
  command
      ->add_option("-m,--model", flags->generation.model, "The model: a pulled name or a GGUF file")
      ->type_name("MODEL")
      ->required();
  AddIntegerFlag(*command, "--threads", "Threads that compute (default: the physical cores)", 0,
                 512, flags->generation.threads);
  AddNumbersFlag(*command, "--rows", "Rows of a forward, the logits of all wanted",
                 CLI::Range(1, 512), flags->plan.rows);
  AddNumbersFlag(*command, "--cached", "Tokens that are cached before a forward",
                 CLI::Range(0, 1 << 20), flags->plan.cached_tokens);
  AddIntegerFlag(*command, "--prefill",
                 "Rows of a forward that wants the last row's logits only (default: 512; 0: none)",
                 0, 4096, flags->plan.prefill_rows);
  AddIntegerFlag(*command, "--pairs", "Runs of each forward on each side (default: 20)", 1, 10000,
                 flags->plan.pairs);
  command
      ->add_option("--text", flags->text_file,
                   "A text over which to compare perplexity and laws as well")
      ->type_name("FILE");
  AddIntegerFlag(*command, "--text-tokens", "The most tokens of it (default: 1024)", 2, 1 << 20,
                 flags->text_tokens);
  command->add_flag("--json", flags->json, "Print one JSON object instead of a table");
  command->callback([flags, &exit_code] { exit_code = BenchKernels(*flags); });
}

}  // namespace foretoken
