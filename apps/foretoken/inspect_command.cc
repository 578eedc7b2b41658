#include "inspect_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "base/utf8.h"
#include "foretoken/status.h"
#include "model/default_loader.h"
#include "model/file_identity.h"
#include "model/gguf_model_check.h"
#include "model/gguf_reader.h"
#include "model/invariance_check.h"
#include "model/model_catalogue.h"
#include "model/model_facts.h"
#include "model/model_store.h"

namespace foretoken {
namespace {

constexpr int kExitUnreadable = 1;
constexpr int kExitNoPair = 3;
constexpr int kExitVariant = 4;

struct InspectedModel {
  std::string path;
  GgufFile file;
  ModelFacts facts;
  std::string sha256;
  Status usable;  // whether llama.cpp would be given it, as far as the metadata tells
  // Whether a row's bits depend on what else is in the batch; absent: nobody asked.
  std::optional<InvarianceReport> invariance;
};

Result<std::string> ResolveModelPath(const std::string& name) {
  FORETOKEN_ASSIGN_OR_RETURN(std::string directory, ModelStore::DefaultDirectory());
  FORETOKEN_ASSIGN_OR_RETURN(const ModelCatalogue catalogue, ModelCatalogue::Load());
  return ModelStore(std::move(directory)).Resolve(name, &catalogue);
}

Result<InspectedModel> Inspect(const std::string& name) {
  FORETOKEN_ASSIGN_OR_RETURN(std::string path, ResolveModelPath(name));
  FORETOKEN_ASSIGN_OR_RETURN(GgufFile file, ReadGgufFile(path));
  FORETOKEN_ASSIGN_OR_RETURN(std::string sha256, CachedSha256OfFile(path));
  ModelFacts facts = CollectModelFacts(file);
  Status usable = CheckGgufModel(file);
  return InspectedModel{std::move(path),   std::move(file),   std::move(facts),
                        std::move(sha256), std::move(usable), std::nullopt};
}

Result<InvarianceReport> MeasureInvariance(const std::string& path) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<ModelLoader> loader, NewDefaultLoader());
  FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> model,
                             loader->Load({.id = path, .path = path}));
  return CheckInvariance(*model, /*threads=*/0);
}

// Text from a file, fit for a terminal: no control characters, which could change what is shown,
// no invalid UTF-8, and one line.
std::string Shown(std::string_view text) {
  if (!IsValidUtf8(text)) {
    std::string ascii;
    for (const char c : text) ascii += static_cast<unsigned char>(c) < 0x80 ? c : '?';
    return Shown(ascii);
  }
  std::string shown;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters too.
    const bool c1 = byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) ++i;
    shown += c1 || byte < 0x20 || byte == 0x7F ? '?' : text[i];
  }
  return shown;
}

std::string FirstLine(std::string_view text) {
  constexpr size_t kShownBytes = 72;
  std::string_view line = text.substr(0, text.find('\n'));
  if (line.size() <= kShownBytes) return Shown(line);
  size_t end = kShownBytes;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
  return Shown(line.substr(0, end)) + "...";
}

std::string HumanCount(uint64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f} B", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.1f} M", value / 1e6);
  return fmt::format("{}", count);
}

std::string HumanBytes(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= uint64_t{1} << 30) return fmt::format("{:.2f} GiB", value / (1 << 30));
  if (bytes >= uint64_t{1} << 20) return fmt::format("{:.1f} MiB", value / (1 << 20));
  return fmt::format("{} bytes", bytes);
}

std::string OrUnsaid(const std::string& text) {
  return text.empty() ? "(the file does not say)" : Shown(text);
}

void PrintText(const InspectedModel& model) {
  const ModelFacts& facts = model.facts;
  auto line = [](std::string_view label, const std::string& value) {
    fmt::print("  {:<14}{}\n", label, value);
  };
  fmt::print("{}\n", Shown(model.path));
  line("name", OrUnsaid(facts.name));
  line("architecture", OrUnsaid(facts.architecture));
  line("parameters", HumanCount(facts.parameters));
  line("size", fmt::format("{} ({} bytes), GGUF version {}", HumanBytes(facts.file_bytes),
                           facts.file_bytes, facts.gguf_version));
  line("quantisation", OrUnsaid(facts.file_type.empty() ? facts.dominant_type : facts.file_type));
  for (const QuantisationFact& type : facts.types) {
    line("", fmt::format("{:<8}{:>5} tensors {:>10} {:>12}", type.type, type.tensors,
                         HumanCount(type.elements), HumanBytes(type.bytes)));
  }
  line("context", fmt::format("{} tokens", facts.context_tokens));
  line("shape", fmt::format("{} layers, width {}, {} heads, {} KV heads{}", facts.layers,
                            facts.embedding_length, facts.heads, facts.kv_heads,
                            facts.experts > 0 ? fmt::format(", {} experts", facts.experts) : ""));
  line("tokenizer", fmt::format("{}{}{}, {} tokens", OrUnsaid(facts.tokenizer_model),
                                facts.tokenizer_pre.empty() ? "" : " / ",
                                Shown(facts.tokenizer_pre), facts.vocabulary_size));
  for (const SpecialTokenFact& token : facts.special_tokens) {
    line("", fmt::format("{:<8}{:>7} {}", token.role, token.id, Shown(token.text)));
  }
  line("chat template", facts.chat_template
                            ? fmt::format("{} bytes: {}", facts.chat_template->size(),
                                          FirstLine(*facts.chat_template))
                            : "none");
  for (const auto& [name, value] : facts.sampling) {
    line(&name == &facts.sampling.front().first ? "sampling" : "",
         fmt::format("{} {}", name, Shown(value)));
  }
  line("sha256", model.sha256);
  if (model.invariance) {
    const InvarianceReport& report = *model.invariance;
    line("invariance",
         report.invariant()
             ? fmt::format("{} rows, the same bits in every batch", report.rows_compared)
             : fmt::format("{} of {} rows differ; first: {}{}{}", report.rows_different,
                           report.rows_compared, report.first_case,
                           report.first_difference.empty() ? "" : "; first tensor: ",
                           report.first_difference));
    for (const std::string& operation : report.stock_operations) line("left to ggml", operation);
    if (report.stock_operations.empty()) line("left to ggml", "nothing that depends on the batch");
  }
  if (!model.usable.ok()) line("cannot be run", Shown(model.usable.ToString()));
}

nlohmann::ordered_json ToJson(const InspectedModel& model) {
  const ModelFacts& facts = model.facts;
  nlohmann::ordered_json json;
  json["path"] = model.path;
  json["name"] = facts.name;
  json["architecture"] = facts.architecture;
  json["parameters"] = facts.parameters;
  json["bytes"] = facts.file_bytes;
  json["sha256"] = model.sha256;
  json["gguf_version"] = facts.gguf_version;
  json["quantisation"] = facts.file_type;
  json["dominant_type"] = facts.dominant_type;
  json["types"] = nlohmann::ordered_json::array();
  for (const QuantisationFact& type : facts.types) {
    json["types"].push_back({{"type", type.type},
                             {"tensors", type.tensors},
                             {"elements", type.elements},
                             {"bytes", type.bytes}});
  }
  json["context_tokens"] = facts.context_tokens;
  json["embedding_length"] = facts.embedding_length;
  json["layers"] = facts.layers;
  json["heads"] = facts.heads;
  json["kv_heads"] = facts.kv_heads;
  json["experts"] = facts.experts;
  json["tokenizer"] = {{"model", facts.tokenizer_model},
                       {"pre", facts.tokenizer_pre},
                       {"vocabulary_size", facts.vocabulary_size}};
  json["special_tokens"] = nlohmann::ordered_json::object();
  for (const SpecialTokenFact& token : facts.special_tokens) {
    json["special_tokens"][token.role] = {{"id", token.id}, {"text", token.text}};
  }
  json["chat_template"] = nullptr;
  if (facts.chat_template) json["chat_template"] = *facts.chat_template;
  json["sampling"] = nlohmann::ordered_json::object();
  for (const auto& [name, value] : facts.sampling) json["sampling"][name] = value;
  if (model.invariance) {
    const InvarianceReport& report = *model.invariance;
    json["invariance"] = {{"invariant", report.invariant()},
                          {"rows_compared", report.rows_compared},
                          {"rows_different", report.rows_different},
                          {"first_case", report.first_case},
                          {"first_difference", report.first_difference},
                          {"stock_operations", report.stock_operations}};
  }
  json["usable"] = model.usable.ok();
  if (!model.usable.ok()) json["reason"] = model.usable.ToString();
  return json;
}

void PrintJson(const std::vector<InspectedModel>& models, const std::optional<PairFacts>& pair) {
  nlohmann::ordered_json json;
  json["models"] = nlohmann::ordered_json::array();
  for (const InspectedModel& model : models) json["models"].push_back(ToJson(model));
  if (pair) {
    json["pair"] = {{"can_pair", pair->can_pair},
                    {"reason", pair->reason},
                    {"target", models[pair->first_is_draft ? 1 : 0].path},
                    {"draft", models[pair->first_is_draft ? 0 : 1].path}};
  }
  // A file's text may be no UTF-8; it is then replaced rather than thrown over.
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

struct InspectArguments {
  std::vector<std::string> names;
  bool invariance = false;
  bool json = false;
};

Result<InspectedModel> InspectAsAsked(const std::string& name, const InspectArguments& arguments) {
  FORETOKEN_ASSIGN_OR_RETURN(InspectedModel model, Inspect(name));
  if (arguments.invariance) {
    FORETOKEN_ASSIGN_OR_RETURN(model.invariance, MeasureInvariance(model.path));
  }
  return model;
}

int Run(const InspectArguments& arguments) {
  std::vector<InspectedModel> models;
  for (const std::string& name : arguments.names) {
    auto model = InspectAsAsked(name, arguments);
    if (!model.ok()) {
      fmt::print(stderr, "foretoken inspect: {}\n", Shown(model.status().ToString()));
      return kExitUnreadable;
    }
    models.push_back(std::move(model).value());
  }
  std::optional<PairFacts> pair;
  if (models.size() == 2) pair = CheckPair(models[0].file, models[1].file);
  if (arguments.json) {
    PrintJson(models, pair);
  } else {
    for (const InspectedModel& model : models) PrintText(model);
    if (pair && pair->can_pair) {
      fmt::print("They can be a pair: target {}, draft {}\n",
                 Shown(models[pair->first_is_draft ? 1 : 0].path),
                 Shown(models[pair->first_is_draft ? 0 : 1].path));
    } else if (pair) {
      fmt::print("They cannot be a pair: {}\n", Shown(pair->reason));
    }
  }
  for (const InspectedModel& model : models) {
    if (model.invariance && !model.invariance->invariant()) return kExitVariant;
  }
  return pair && !pair->can_pair ? kExitNoPair : 0;
}

}  // namespace

void AddInspectCommand(CLI::App& app, int& exit_code) {
  // The parser and its callback both use them, for as long as the parser lives.
  const auto arguments = std::make_shared<InspectArguments>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Print the facts of a GGUF file, or of two and whether they can be a pair");
  command
      ->add_option("FILE", arguments->names,
                   "A pulled model's name or a GGUF file; two for target and draft")
      ->required()
      ->expected(1, 2);
  command->add_flag(
      "--invariance", arguments->invariance,
      "Run the model on this machine and see whether a row's bits depend on the batch");
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->footer(
      "Exit codes: 0 printed, 1 a file cannot be read, 3 the two cannot be target and draft,\n"
      "4 the bits of a row depend on the batch.");
  command->callback([arguments, &exit_code] { exit_code = Run(*arguments); });
}

}  // namespace foretoken
