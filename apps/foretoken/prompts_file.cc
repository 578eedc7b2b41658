#include "prompts_file.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/macros.h"
#include "console.h"

namespace foretoken {
namespace {

Result<Prompt> ParsePrompt(std::string_view line) {
  if (const auto offset = FindInvalidUtf8(line)) {
    return InvalidArgumentError(fmt::format("invalid UTF-8 at byte {} of the line", *offset));
  }
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) return InvalidArgumentError("not JSON");
  if (!object.is_object()) return InvalidArgumentError("not a JSON object");
  Prompt prompt;
  for (const char* field : {"question_id", "id", "task_id"}) {
    const auto found = object.find(field);
    if (found == object.end() || found->is_null()) continue;
    prompt.id = found->is_string() ? found->get<std::string>() : found->dump();
    break;
  }
  const nlohmann::json* text = nullptr;
  if (const auto turns = object.find("turns"); turns != object.end()) {
    if (!turns->is_array() || turns->empty()) {
      return InvalidArgumentError("'turns' must be an array that starts with the prompt");
    }
    text = &turns->front();
  } else if (const auto field = object.find("prompt"); field != object.end()) {
    text = &*field;
  }
  if (text == nullptr) return InvalidArgumentError("neither 'turns' nor 'prompt' is there");
  if (!text->is_string()) return InvalidArgumentError("the prompt must be a string");
  prompt.text = text->get<std::string>();
  return prompt;
}

}  // namespace

Result<std::vector<Prompt>> ReadPromptsFile(const std::string& path, int32_t limit) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::string content, ReadInput(path));
  std::vector<Prompt> prompts;
  int64_t line_number = 0;
  std::string_view rest = content;
  while (!rest.empty() && (limit == 0 || prompts.size() < static_cast<size_t>(limit))) {
    ++line_number;
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Result<Prompt> prompt = ParsePrompt(line);
    if (!prompt.ok()) {
      return InvalidArgumentError(
          fmt::format("{}:{}: {}", path, line_number, prompt.status().message()));
    }
    if (prompt->id.empty()) prompt->id = std::to_string(prompts.size());
    prompts.push_back(std::move(prompt).value());
  }
  if (prompts.empty()) return InvalidArgumentError(fmt::format("{}: no prompt in it", path));
  return prompts;
}

}  // namespace foretoken
