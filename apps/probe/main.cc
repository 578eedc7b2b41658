// foretoken-probe FILE: loads a model and decodes one token, so that a file on which llama.cpp
// aborts ends this process and not the one that serves. Started by CheckModelFile.
// foretoken-probe --quantise ...: writes a model with its weights stored in another way. Started by
// QuantiseModel.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/macros.h"
#include "model/llama_loader.h"
#include "model/llama_quantiser.h"
#include "model/loaded_model.h"
#include "model/probe.h"
#include "model/quantisation.h"

namespace {

foretoken::Status LoadAndDecode(const std::string& path) {
  foretoken::ModelConfig config;
  config.id = path;
  config.path = path;
  const std::unique_ptr<foretoken::ModelLoader> loader = foretoken::NewLlamaLoader();
  FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<foretoken::LoadedModel> model,
                             loader->Load(config));
  // Special tokens too: a text that must begin with a token the vocabulary lacks is an assertion.
  FORETOKEN_ASSIGN_OR_RETURN(std::vector<foretoken::TokenId> tokens,
                             model->vocabulary().Tokenize("Hello\n", true, true));
  if (tokens.empty()) tokens.push_back(0);
  foretoken::BackendOptions options;
  options.context_tokens = 64;
  options.max_batch_rows = 32;
  options.max_logits_rows = 1;
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<foretoken::ModelBackend> backend,
                             model->NewBackend(options));
  foretoken::BatchRow row;
  row.token = tokens.front();
  row.sequences = {foretoken::SequenceId{0}};
  row.wants_logits = true;
  FORETOKEN_ASSIGN_OR_RETURN(const foretoken::LogitsRows logits, backend->Decode({&row, 1}));
  if (logits.size() != 1) return foretoken::InternalError("the model gave no logits");
  return foretoken::OkStatus();
}

void PrintLine(std::string_view kind, const std::string& text) {
  std::fprintf(stderr, "%.*s%s\n", static_cast<int>(kind.size()), kind.data(), text.c_str());
}

foretoken::Status Quantise(const std::vector<std::string>& arguments) {
  FORETOKEN_ASSIGN_OR_RETURN(const foretoken::QuantiseRequest request,
                             foretoken::ParseQuantiseArguments(arguments));
  return foretoken::QuantiseWithLlama(
      request,
      {[](uint64_t bytes) { PrintLine(foretoken::kQuantiseBytesLine, std::to_string(bytes)); },
       [](std::string_view name) {
         PrintLine(foretoken::kQuantiseTensorLine, std::string(name));
       }});
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool quantises = !arguments.empty() && arguments[0] == foretoken::kQuantiseArgument;
  if (!quantises && arguments.size() != 1) {
    std::fputs("usage: foretoken-probe FILE\n", stderr);
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const foretoken::Status status = quantises ? Quantise(arguments) : LoadAndDecode(arguments[0]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  return foretoken::kProbeExitCodeBase + static_cast<int>(status.code());
}
