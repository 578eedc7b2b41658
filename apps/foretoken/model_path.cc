#include "model_path.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

namespace foretoken {
namespace {

std::filesystem::path ModelsDirectory() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const std::string models = variable("FORETOKEN_MODELS_DIR"); !models.empty()) return models;
  std::filesystem::path data = variable("XDG_DATA_HOME");
  if (data.empty()) data = std::filesystem::path(variable("HOME")) / ".local/share";
  return data / "foretoken/models";
}

}  // namespace

Result<std::string> ResolveModel(const std::string& name_or_path) {
  if (name_or_path.empty()) return InvalidArgumentError("the name of a model is empty");
  std::error_code error;
  if (std::filesystem::is_regular_file(name_or_path, error)) return name_or_path;
  const std::filesystem::path pulled = ModelsDirectory() / (name_or_path + ".gguf");
  // A name with a slash is a path that does not exist; it must not lead out of the directory.
  const bool is_path = name_or_path.find('/') != std::string::npos;
  if (!is_path && std::filesystem::is_regular_file(pulled, error)) return pulled.string();
  if (is_path || name_or_path.ends_with(".gguf")) {
    return NotFoundError(fmt::format("{}: no such model file", name_or_path));
  }
  return NotFoundError(
      fmt::format("{}: neither a file nor a pulled model ({} does not exist); get it with "
                  "'foretoken pull {}'",
                  name_or_path, pulled.string(), name_or_path));
}

}  // namespace foretoken
