#include "bench_load_flags.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/macros.h"

namespace foretoken {
namespace {

constexpr int32_t kClosedRequests = 2;
constexpr int32_t kOpenRequests = 16;

// An item of a list, or nothing where the text is not one.
template <typename T>
using ItemReader = std::function<std::optional<T>(std::string_view)>;

// A list with commas; each item once, unless `repeats`.
template <typename T>
struct ListFlag {
  std::string name;
  std::string type;
  std::string help;
  std::string allowed;
  bool repeats = false;
};

template <typename T>
void AddList(CLI::App& command, const ListFlag<T>& flag, ItemReader<T> read,
             std::vector<T>& values) {
  command
      .add_option_function<std::string>(
          flag.name,
          [flag, read, &values](const std::string& text) {
            const auto refuse = [&](const std::string& right) {
              throw CLI::ValidationError(
                  fmt::format("{} is '{}'; it must be {}", flag.name, text, right));
            };
            values.clear();
            for (size_t begin = 0; begin <= text.size();) {
              const size_t end = std::min(text.find(',', begin), text.size());
              const auto item = read(std::string_view(text).substr(begin, end - begin));
              if (!item) refuse("a list with commas of " + flag.allowed);
              if (!flag.repeats && std::find(values.begin(), values.end(), *item) != values.end()) {
                refuse("a list that names each once");
              }
              values.push_back(*item);
              begin = end + 1;
            }
          },
          flag.help)
      ->type_name(flag.type);
}

template <typename T>
std::optional<T> ReadNumber(std::string_view text, T minimum, T maximum) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  // Not a number fails both.
  if (!(value >= minimum && value <= maximum)) return std::nullopt;
  return value;
}

void AddLoad(CLI::App& command, LoadFlags& flags) {
  command.option_defaults()->group("Load");
  AddList<int32_t>(
      command,
      {"--concurrency", "N,N,...", "Clients, each with one request at a time (default: 1,2,4,8,16)",
       "whole numbers from 1 to 256"},
      [](std::string_view text) { return ReadNumber<int32_t>(text, 1, 256); }, flags.concurrency);
  command
      .add_option_function<std::string>(
          "--rate",
          [&flags](const std::string& text) {
            const auto rate = ReadNumber<double>(text, 1e-3, 1e6);
            if (!rate) {
              throw CLI::ValidationError(fmt::format(
                  "--rate is '{}'; it must be a number of requests a second, 0.001 or more", text));
            }
            flags.rate = *rate;
          },
          "Instead of clients: requests that arrive at random, R a second on average")
      ->type_name("R")
      ->excludes("--concurrency");
  AddList<std::string>(
      command,
      {"--modes", "off,auto,K", "Ways to speculate, measured in turns (default: off,auto)",
       "auto, off and numbers of tokens to draft in a round"},
      [](std::string_view text) -> std::optional<std::string> {
        if (!ReadSpeculation(text, SpeculativeConfig())) return std::nullopt;
        return std::string(text);
      },
      flags.modes);
  AddIntegerFlag(command, "--requests",
                 fmt::format("Requests of a round: of each client (default: {}); with --rate or "
                             "--flood in all (default: {})",
                             kClosedRequests, kOpenRequests),
                 1, 100000, flags.requests);
  AddIntegerFlag(command, "--repeat", "Rounds of each mode, medians over them (default: 3)", 1,
                 1000, flags.repeat);
  AddIntegerFlag(command, "--warm-up",
                 "Requests of each client before the rounds, not counted (default: 1)", 0, 1000,
                 flags.warm_up);
  AddIntegerFlag(command, "--max-running",
                 fmt::format("Requests that run at a time; others wait (default: {})",
                             RuntimeOptions().max_running),
                 1, 256, flags.max_running);
  command.add_flag("--prefix-reuse", flags.prefix_reuse,
                   "Let prompts reuse what is cached of earlier ones");
  command.add_flag("--answer-store", flags.answer_store,
                   "Let tenants draft from their earlier answers; rounds repeat their prompts");
  command.option_defaults()->group("Tenants");
  AddIntegerFlag(command, "--tenants", "Tenants that the clients belong to in turns (default: 1)",
                 1, 64, flags.tenants);
  AddList<double>(
      command,
      {"--weights", "W,W,...", "Weight of each tenant (default: 1)",
       "numbers above 0 and at most 1000", /*repeats=*/true},
      [](std::string_view text) {
        return ReadNumber<double>(text, std::numeric_limits<double>::min(), 1000);
      },
      flags.weights);
  AddIntegerFlag(command, "--flood",
                 "Instead: a tenant with one request at a time, beside one that does the same and "
                 "beside one with N",
                 2, 256, flags.flood);
  command.get_option("--flood")->excludes("--concurrency")->excludes("--rate");
  command.get_option("--flood")->excludes("--tenants");
  command.option_defaults()->group("Options");
}

}  // namespace

int32_t LoadFlags::RequestsOrDefault() const {
  if (requests > 0) return requests;
  return rate > 0 || flood > 0 ? kOpenRequests : kClosedRequests;
}

void AddLoadFlags(CLI::App& command, LoadFlags& flags) {
  AddModelFlags(command, flags.generation);
  command
      .add_option("--prompts", flags.prompts_file,
                  "A JSON-lines file with the prompts (field turns[0] or prompt)")
      ->type_name("FILE")
      ->required();
  AddIntegerFlag(command, "--limit", "Only the first N prompts", 1,
                 std::numeric_limits<int32_t>::max(), flags.limit);
  command.add_flag("--raw", flags.raw, "Send prompts as they are, without the chat template");
  AddLengthFlags(command, flags.generation);
  command.add_flag("--no-check", flags.no_check, "Do not compare answers with the plain ones");
  command.add_flag("--ceiling", flags.ceiling,
                   "Time forwards by their rows, and state the best that a fixed length can give");
  command.add_flag("--json", flags.json, "Print one JSON object instead of a table");
  AddLoad(command, flags);
  AddSamplingFlags(command, flags.generation);
  AddDraftingFlags(command, flags.generation);
}

Status CheckLoadFlags(const LoadFlags& flags) {
  FORETOKEN_RETURN_IF_ERROR(CheckGenerationFlags(flags.generation));
  const int32_t tenants = flags.flood > 0 ? 2 : flags.tenants;
  if (!flags.weights.empty() && static_cast<int32_t>(flags.weights.size()) != tenants) {
    return InvalidArgumentError(
        fmt::format("--weights has {} weight{} for {} tenant{}", flags.weights.size(),
                    flags.weights.size() == 1 ? "" : "s", tenants, tenants == 1 ? "" : "s"));
  }
  if (flags.ceiling && (flags.rate > 0 || flags.flood > 0)) {
    return InvalidArgumentError("--ceiling is stated for --concurrency only");
  }
  return OkStatus();
}

std::vector<LoadMode> LoadModes(const LoadFlags& flags) {
  std::vector<LoadMode> modes;
  for (const std::string& name : flags.modes) {
    const auto speculation = ReadSpeculation(name, flags.generation.speculation);
    if (speculation) modes.push_back({name, *speculation});
  }
  return modes;
}

}  // namespace foretoken
