#include "run_command.h"

#include <unistd.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "answer.h"
#include "base/macros.h"
#include "console.h"
#include "exit_code.h"
#include "foretoken/runtime_manager.h"
#include "generation_flags.h"
#include "interrupt.h"
#include "prompts_file.h"
#include "result_json.h"

namespace foretoken {
namespace {

struct RunFlags {
  GenerationFlags generation;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::string prompts_file;
  int32_t limit = 0;
  std::string system;
  bool raw = false;
  bool json = false;
  bool show = false;
  int32_t logprobs = -1;  // negative: not asked for
};

// The models, loaded, and the options of every request.
struct Session {
  std::unique_ptr<RuntimeManager> manager;
  std::shared_ptr<TenantRuntime> tenant;
  GenerateOptions options;
};

Result<Session> OpenSession(const RunFlags& flags) {
  Session session;
  FORETOKEN_ASSIGN_OR_RETURN(TenantConfig config, MakeTenantConfig(flags.generation, "run"));
  FORETOKEN_ASSIGN_OR_RETURN(session.manager, RuntimeManager::Create());
  FORETOKEN_ASSIGN_OR_RETURN(session.tenant, session.manager->AddTenant(std::move(config)));
  session.options =
      MakeGenerateOptions(flags.generation, session.tenant->target_info().recommended_sampling);
  if (flags.logprobs >= 0) session.options.logprobs = flags.logprobs;
  return session;
}

GenerateRequest MakeRequest(const RunFlags& flags, const Session& session, std::string text) {
  GenerateRequest request;
  request.options = session.options;
  if (flags.raw) {
    request.prompt = std::move(text);
    return request;
  }
  ChatPrompt chat;
  if (!flags.system.empty()) chat.messages.push_back({"system", flags.system});
  chat.messages.push_back({"user", std::move(text)});
  request.prompt = std::move(chat);
  return request;
}

Status CheckUtf8(std::string_view text, std::string_view what) {
  const std::optional<size_t> offset = FindInvalidUtf8(text);
  if (!offset) return OkStatus();
  return InvalidArgumentError(fmt::format("{} is not UTF-8: byte {:#04x} at offset {}", what,
                                          static_cast<unsigned char>(text[*offset]), *offset));
}

// The text to answer, from wherever the user put it.
Result<std::string> ReadPrompt(const RunFlags& flags) {
  if (flags.prompt) {
    FORETOKEN_RETURN_IF_ERROR(CheckUtf8(*flags.prompt, "the prompt"));
    return *flags.prompt;
  }
  const std::string path = flags.prompt_file.empty() ? "-" : flags.prompt_file;
  if (path == "-" && isatty(STDIN_FILENO) != 0) {
    return InvalidArgumentError(
        "no prompt: give -p TEXT or -f FILE, or send text to standard input");
  }
  FORETOKEN_ASSIGN_OR_RETURN(std::string text, ReadInput(path));
  FORETOKEN_RETURN_IF_ERROR(CheckUtf8(text, path == "-" ? "standard input" : path));
  // The line end that editors and echo put there is not part of a message.
  if (!flags.raw && text.ends_with('\n')) {
    text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
  }
  return text;
}

Status CheckFlags(const RunFlags& flags) {
  FORETOKEN_RETURN_IF_ERROR(CheckGenerationFlags(flags.generation));
  FORETOKEN_RETURN_IF_ERROR(CheckUtf8(flags.system, "the system message"));
  for (const std::string& stop : flags.generation.stop) {
    FORETOKEN_RETURN_IF_ERROR(CheckUtf8(stop, "a stop string"));
  }
  if (flags.logprobs >= 0 && !flags.json && flags.prompts_file.empty()) {
    return InvalidArgumentError("--logprobs are printed as JSON only; add --json");
  }
  return OkStatus();
}

int Fail(const Status& status, int exit_code) {
  PrintError(status.message());
  return exit_code;
}

int FailedOutput(const Status& status) {
  // Whoever closed the pipe has seen enough: nothing to tell them.
  if (status.code() != StatusCode::kCancelled) PrintError(status.message());
  return kExitFailure;
}

int AnswerOne(const RunFlags& flags, const Session& session, std::string text,
              InterruptWatcher& watcher) {
  auto stream = session.tenant->GenerateStream(MakeRequest(flags, session, std::move(text)));
  if (!stream.ok()) return Fail(stream.status(), kExitFailure);
  const InterruptScope scope(watcher, [&] { (*stream)->Cancel(); });
  if (flags.show) PrintNote(ColourLegend());
  const AnswerView view = flags.json   ? AnswerView::kNone
                          : flags.show ? AnswerView::kOrigins
                                       : AnswerView::kText;
  Answer answer = ReadAnswer(**stream, view);
  if (answer.output.ok()) {
    answer.output =
        WriteOutput(flags.json ? DumpJson(ResultToJson(answer.result), /*indented=*/true) + "\n"
                               : std::string("\n"));
  }
  if (!answer.output.ok()) return FailedOutput(answer.output);
  const FinishedEvent& finish = answer.result.finish;
  for (const std::string& warning : finish.warnings) PrintWarning(warning);
  PrintNote(FiguresLine(finish));
  if (finish.reason == FinishReason::kError) return Fail(finish.status, kExitFailure);
  return finish.reason == FinishReason::kCancelled ? kExitInterrupted : kExitSuccess;
}

int AnswerAll(const RunFlags& flags, const Session& session, const std::vector<Prompt>& prompts,
              InterruptWatcher& watcher) {
  int exit_code = kExitSuccess;
  for (size_t i = 0; i < prompts.size(); ++i) {
    nlohmann::ordered_json line = {{"index", i}, {"id", prompts[i].id}};
    auto stream = session.tenant->GenerateStream(MakeRequest(flags, session, prompts[i].text));
    if (stream.ok()) {
      const InterruptScope scope(watcher, [&] { (*stream)->Cancel(); });
      const Answer answer = ReadAnswer(**stream, AnswerView::kNone);
      line.update(ResultToJson(answer.result));
      const FinishReason reason = answer.result.finish.reason;
      if (reason == FinishReason::kError) exit_code = kExitFailure;
      if (reason == FinishReason::kCancelled) exit_code = kExitInterrupted;
    } else {
      line["error"] = ErrorToJson(stream.status());
      exit_code = kExitFailure;
    }
    const Status output = WriteOutput(DumpJson(line) + "\n");
    if (!output.ok()) return FailedOutput(output);
    if (exit_code == kExitInterrupted) break;
  }
  return exit_code;
}

int Run(const RunFlags& flags) {
  if (const Status status = CheckFlags(flags); !status.ok()) return Fail(status, kExitUsage);
  const auto fail_input = [](const Status& status) {
    return Fail(status, status.code() == StatusCode::kInvalidArgument ? kExitUsage : kExitFailure);
  };
  InterruptWatcher watcher;
  if (!flags.prompts_file.empty()) {
    const auto prompts = ReadPromptsFile(flags.prompts_file, flags.limit);
    if (!prompts.ok()) return fail_input(prompts.status());
    const auto session = OpenSession(flags);
    if (!session.ok()) return Fail(session.status(), kExitFailure);
    return AnswerAll(flags, *session, *prompts, watcher);
  }
  auto text = ReadPrompt(flags);
  if (!text.ok()) return fail_input(text.status());
  const auto session = OpenSession(flags);
  if (!session.ok()) return Fail(session.status(), kExitFailure);
  return AnswerOne(flags, *session, std::move(text).value(), watcher);
}

}  // namespace

void AddRunCommand(CLI::App& app, int& exit_code) {
  const auto flags = std::make_shared<RunFlags>();
  CLI::App* command = app.add_subcommand("run", "Answer a prompt, or every prompt of a file");
  AddModelFlags(*command, flags->generation);
  CLI::Option* prompt =
      command
          ->add_option_function<std::string>(
              "-p,--prompt", [flags](const std::string& text) { flags->prompt = text; },
              "The prompt; without -p and -f it is read from standard input")
          ->type_name("TEXT");
  CLI::Option* file =
      command->add_option("-f,--file", flags->prompt_file, "Read the prompt from a file (-: stdin)")
          ->type_name("FILE")
          ->excludes(prompt);
  CLI::Option* prompts =
      command
          ->add_option("--prompts", flags->prompts_file,
                       "Answer every line of a JSON-lines file (field turns[0] or prompt), each "
                       "with one line of JSON")
          ->type_name("FILE")
          ->excludes(prompt)
          ->excludes(file);
  AddIntegerFlag(*command, "--limit", "Only the first N prompts of --prompts", 1,
                 std::numeric_limits<int32_t>::max(), flags->limit);
  command->get_option("--limit")->needs(prompts);
  CLI::Option* raw =
      command->add_flag("--raw", flags->raw, "Send the prompt as it is, without the chat template");
  command->add_option("--system", flags->system, "The system message")
      ->type_name("TEXT")
      ->excludes(raw);
  AddLengthFlags(*command, flags->generation);
  AddSamplingFlags(*command, flags->generation);
  AddIntegerFlag(*command, "--logprobs",
                 "With --json: log-probabilities of each token and the N most likely ones", 0, 20,
                 flags->logprobs);
  AddSpeculationFlags(*command, flags->generation);
  CLI::Option* json = command->add_flag("--json", flags->json, "Print one JSON object");
  command->add_flag("--show", flags->show, "Colour tokens by origin: accepted, bonus, corrected")
      ->excludes(json)
      ->excludes(prompts);
  command->callback([flags, &exit_code] { exit_code = Run(*flags); });
}

}  // namespace foretoken
