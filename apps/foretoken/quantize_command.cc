#include "quantize_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <vector>

#include "base/macros.h"
#include "console.h"
#include "exit_code.h"
#include "fetch/file_lock.h"
#include "fetch/part_file.h"
#include "fetch/quantise_model.h"
#include "interrupt_flag.h"
#include "model/gguf_reader.h"
#include "model/model_catalogue.h"
#include "model/model_facts.h"
#include "model/model_store.h"
#include "model/quantisation.h"
#include "progress_bar.h"

namespace foretoken {
namespace {

struct QuantizeFlags {
  std::string input;
  std::string output;
  std::string type;
  bool pure = false;
  bool force = false;
  std::string imatrix;
  int32_t threads = 0;
};

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::string TypeNames() {
  std::vector<std::string> names;
  for (const Quantisation& type : Quantisations()) names.push_back(LowerCase(type.name));
  return fmt::format("{}", fmt::join(names, ", "));
}

// A file that lost precision before loses more.
Status WarnOfQuantisedInput(const std::string& path) {
  FORETOKEN_ASSIGN_OR_RETURN(const GgufFile file, ReadGgufFile(path));
  const std::string stored = CollectModelFacts(file).dominant_type;
  if (stored != "F32" && stored != "F16" && stored != "BF16") {
    PrintWarning(fmt::format(
        "{} is stored in {} already; from a file in f16 the result would be nearer to the model",
        path, stored));
  }
  return OkStatus();
}

Status Quantize(const QuantizeFlags& flags) {
  const Quantisation* const type = FindQuantisation(flags.type);
  if (type == nullptr) {
    return InvalidArgumentError(
        fmt::format("there is no type '{}'; there are {}", flags.type, TypeNames()));
  }
  FORETOKEN_ASSIGN_OR_RETURN(const ModelCatalogue catalogue, ModelCatalogue::Load());
  FORETOKEN_ASSIGN_OR_RETURN(const std::string directory, ModelStore::DefaultDirectory());
  QuantiseOptions options;
  options.request.output_path = flags.output;
  options.request.type = *type;
  options.request.pure = flags.pure;
  options.request.importance_path = flags.imatrix;
  options.request.threads = flags.threads;
  options.replaces = flags.force;
  FORETOKEN_ASSIGN_OR_RETURN(options.request.input_path,
                             ModelStore(directory).Resolve(flags.input, &catalogue));
  FORETOKEN_RETURN_IF_ERROR(WarnOfQuantisedInput(options.request.input_path));

  const InterruptFlag interrupt;
  ProgressBar bar(LowerCase(type->name), stderr, isatty(STDERR_FILENO) == 1);
  const FetchObserver observer{
      [&bar](const FetchProgress& p) { bar.Update(p.done_bytes, p.total_bytes); },
      [&bar](const std::string& line) { bar.Line(line); }, InterruptFlag::IsSet};
  FORETOKEN_ASSIGN_OR_RETURN(
      const FileLock lock,
      FileLock::Acquire(flags.output + ".lock",
                        flags.output + " is being written by another command; waiting for it",
                        observer));
  const auto made = QuantiseModel(options, observer);
  bar.Clear();
  if (made.status().code() == StatusCode::kFailedPrecondition && !flags.force) {
    return FailedPreconditionError(made.status().message() + "; --force replaces it");
  }
  FORETOKEN_RETURN_IF_ERROR(made.status());
  fmt::print("{}: {}{}, {}, complete and verified (SHA-256 {})\n", flags.output,
             LowerCase(type->name), flags.pure ? " throughout" : "", FormatBytes(made->bytes),
             made->sha256);
  return OkStatus();
}

int ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return kExitSuccess;
    case StatusCode::kInvalidArgument:
      return kExitUsage;
    case StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitFailure;
  }
}

}  // namespace

void AddQuantizeCommand(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("quantize", "Store a model's weights in fewer bits");
  auto flags = std::make_shared<QuantizeFlags>();  // the callback and the parser both hold it
  command->add_option("INPUT", flags->input, "A pulled model's name or a GGUF file")->required();
  command->add_option("OUTPUT", flags->output, "The GGUF file to write")->required();
  command->add_option("--type", flags->type, "How to store them: " + TypeNames())->required();
  command->add_flag("--pure", flags->pure,
                    "Give every matrix the type itself; without it some get more bits");
  command->add_option("--imatrix", flags->imatrix,
                      "An importance matrix that llama-imatrix made of this model");
  command->add_flag("--force", flags->force, "Replace OUTPUT where it exists");
  command->add_option("--threads", flags->threads, "By default the physical cores")
      ->check(CLI::Range(0, 512));
  command->footer(
      "OUTPUT appears when it is whole: made, checked and tried. Exit codes: 0 done, 1 failed, 2 "
      "wrong use, 130 interrupted.");
  command->callback([flags, &exit_code] {
    const Status status = Quantize(*flags);
    exit_code = ExitCodeOf(status);
    if (!status.ok()) PrintError(status.message());
  });
}

}  // namespace foretoken
