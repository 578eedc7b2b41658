#include "chat_command.h"

#include <memory>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "answer.h"
#include "base/macros.h"
#include "chat_history.h"
#include "chat_input.h"
#include "console.h"
#include "exit_code.h"
#include "foretoken/runtime_manager.h"
#include "generation_flags.h"
#include "interrupt.h"
#include "line_reader.h"

namespace foretoken {
namespace {

constexpr const char* kHelp =
    "/help         this text\n"
    "/system TEXT  sets the system message and starts anew; without TEXT removes it\n"
    "/reset        starts anew\n"
    "/show         colours tokens by origin, or stops doing so\n"
    "/exit         leaves, as Ctrl-D does\n"
    "A backslash at the end of a line goes on in the next; \"\"\" starts and ends a block of "
    "lines.\n"
    "Ctrl-C stops the answer.";

struct ChatFlags {
  GenerationFlags generation;
  std::string system;
  bool show = false;
};

// A conversation with one tenant. One thread, beside the interrupt watcher's.
class Conversation {
 public:
  Conversation(TenantRuntime& tenant, const ChatFlags& flags, LineReader& reader,
               InterruptWatcher& watcher)
      : tenant_(tenant),
        options_(MakeGenerateOptions(flags.generation, tenant.target_info().recommended_sampling)),
        reader_(reader),
        watcher_(watcher),
        show_(flags.show) {
    history_.SetSystem(flags.system);
  }

  // Returns the exit code.
  int Run() {
    if (reader_.interactive()) PrintNote("Type a message, or /help.");
    if (show_) PrintNote(ColourLegend());
    while (true) {
      const ChatInput input = ReadChatInput(reader_);
      if (input.kind == ChatInput::Kind::kExit) return failed_ ? kExitFailure : kExitSuccess;
      if (input.kind != ChatInput::Kind::kMessage) {
        Obey(input);
      } else if (!Reply(input.text)) {
        return kExitFailure;
      }
    }
  }

 private:
  void Obey(const ChatInput& input);
  // False when standard output is gone.
  bool Reply(const std::string& user);
  // Asks, forgetting old turns while the prompt does not fit.
  Result<std::unique_ptr<GenerationStream>> Start(const std::string& user);
  void Forget(size_t turns) {
    PrintNote(fmt::format("The context is full: the oldest {} forgotten.",
                          turns == 1 ? "turn is" : fmt::format("{} turns are", turns)));
  }

  TenantRuntime& tenant_;
  const GenerateOptions options_;
  LineReader& reader_;
  InterruptWatcher& watcher_;
  ChatHistory history_;
  bool show_;
  bool context_full_ = false;
  bool failed_ = false;
  std::set<std::string> warned_;  // once is enough in a conversation
};

void Conversation::Obey(const ChatInput& input) {
  switch (input.kind) {
    case ChatInput::Kind::kHelp:
      PrintNote(kHelp);
      break;
    case ChatInput::Kind::kReset:
      history_.Reset();
      context_full_ = false;
      PrintNote("A new conversation.");
      break;
    case ChatInput::Kind::kSystem:
      history_.SetSystem(input.text);
      history_.Reset();
      context_full_ = false;
      PrintNote(input.text.empty() ? "No system message; a new conversation."
                                   : "The system message is set; a new conversation.");
      break;
    case ChatInput::Kind::kShow:
      show_ = !show_;
      PrintNote(show_ ? ColourLegend() : "Colours are off.");
      break;
    case ChatInput::Kind::kUnknown:
      PrintNote(fmt::format("There is no command {}; /help lists them.", input.text));
      break;
    case ChatInput::Kind::kInterrupted:
      if (input.text.empty()) PrintNote("Ctrl-D or /exit leaves.");
      break;
    default:
      break;
  }
}

Result<std::unique_ptr<GenerationStream>> Conversation::Start(const std::string& user) {
  size_t forgotten = 0;
  // The last answer ran into the end of the context: the next would have no room at all.
  if (std::exchange(context_full_, false)) forgotten = history_.DropOldestHalf();
  while (true) {
    GenerateRequest request;
    request.prompt = ChatPrompt{history_.Ask(user)};
    request.options = options_;
    auto stream = tenant_.GenerateStream(std::move(request));
    // The options were checked: what is wrong with the request is its length.
    const bool too_long = !stream.ok() && stream.status().code() == StatusCode::kInvalidArgument;
    if (too_long && history_.DropOldest()) {
      ++forgotten;
      continue;
    }
    if (forgotten > 0) Forget(forgotten);
    return stream;
  }
}

bool Conversation::Reply(const std::string& user) {
  if (const auto offset = FindInvalidUtf8(user)) {
    PrintError(fmt::format("the message is not UTF-8 at byte {}; it is left out", *offset));
    failed_ = !reader_.interactive() || failed_;
    return true;
  }
  auto stream = Start(user);
  if (!stream.ok()) {
    PrintError(stream.status().message());
    failed_ = !reader_.interactive() || failed_;
    return true;
  }
  Answer answer;
  {
    const InterruptScope scope(
        watcher_, [&] { (*stream)->Cancel(); }, /*repeats=*/true);
    answer = ReadAnswer(**stream, show_ ? AnswerView::kOrigins : AnswerView::kText);
  }
  if (answer.output.ok()) answer.output = WriteOutput("\n");
  if (!answer.output.ok()) {
    if (answer.output.code() != StatusCode::kCancelled) PrintError(answer.output.message());
    return false;
  }
  const FinishedEvent& finish = answer.result.finish;
  for (const std::string& warning : finish.warnings) {
    if (warned_.insert(warning).second) PrintWarning(warning);
  }
  if (reader_.interactive()) PrintNote("[" + FiguresLine(finish) + "]");
  if (finish.reason == FinishReason::kError) {
    PrintError(finish.status.message());
    failed_ = !reader_.interactive() || failed_;
    return true;
  }
  context_full_ = finish.reason == FinishReason::kLength &&
                  finish.usage.completion_tokens < options_.max_tokens;
  if (context_full_) PrintNote("The context is full: the answer is cut. Old turns make room now.");
  history_.Commit(user, std::move(answer.result.text));
  return true;
}

int Chat(const ChatFlags& flags) {
  Status status = CheckGenerationFlags(flags.generation);
  if (status.ok() && FindInvalidUtf8(flags.system)) {
    status = InvalidArgumentError("the system message is not UTF-8");
  }
  if (!status.ok()) {
    PrintError(status.message());
    return kExitUsage;
  }
  InterruptWatcher watcher;
  const auto fail = [](const Status& why) {
    PrintError(why.message());
    return kExitFailure;
  };
  auto config = MakeTenantConfig(flags.generation, "chat");
  if (!config.ok()) return fail(config.status());
  auto manager = RuntimeManager::Create();
  if (!manager.ok()) return fail(manager.status());
  auto tenant = (*manager)->AddTenant(std::move(config).value());
  if (!tenant.ok()) return fail(tenant.status());
  const std::unique_ptr<LineReader> reader = NewLineReader(watcher, DefaultHistoryFile());
  if (reader->interactive()) watcher.IgnoreOutsideScopes();
  return Conversation(**tenant, flags, *reader, watcher).Run();
}

}  // namespace

void AddChatCommand(CLI::App& app, int& exit_code) {
  const auto flags = std::make_shared<ChatFlags>();
  flags->generation.max_tokens = 2048;
  CLI::App* command = app.add_subcommand("chat", "Talk with a model");
  AddModelFlags(*command, flags->generation);
  command->add_option("--system", flags->system, "The system message")->type_name("TEXT");
  AddLengthFlags(*command, flags->generation);
  AddSamplingFlags(*command, flags->generation);
  AddSpeculationFlags(*command, flags->generation);
  command->add_flag("--show", flags->show, "Colour tokens by origin: accepted, bonus, corrected");
  command->callback([flags, &exit_code] { exit_code = Chat(*flags); });
}

}  // namespace foretoken
