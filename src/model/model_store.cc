#include "model/model_store.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <system_error>

#include "base/log.h"
#include "base/macros.h"
#include "base/sha256.h"

namespace foretoken {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kSuffix = ".gguf";

struct FileFacts {
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
};

// NOT_FOUND, PERMISSION_DENIED or INTERNAL for what errno says of `path`.
Status ErrnoError(int error, const std::string& path) {
  std::string message = fmt::format("{}: {}", path, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return NotFoundError(std::move(message));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return PermissionDeniedError(std::move(message));
  }
  if (error == ENOSPC || error == EDQUOT) return ResourceExhaustedError(std::move(message));
  return InternalError(std::move(message));
}

// Follows links.
Result<FileFacts> FactsOf(const std::string& path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) return ErrnoError(errno, path);
  if (!S_ISREG(facts.st_mode)) return NotFoundError(path + " is not a file");
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  return FileFacts{static_cast<uint64_t>(facts.st_size),
                   facts.st_mtim.tv_sec * kNsPerSecond + facts.st_mtim.tv_nsec};
}

std::string_view Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// What NAME.json says, when it can be read. `facts` are those of the file when it was written.
struct Sidecar {
  FileFacts facts;
  std::string sha256;
  std::string source;
};

std::optional<Sidecar> ReadSidecar(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return std::nullopt;
  const json document = json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return std::nullopt;
  const auto bytes = document.find("bytes");
  const auto modified_ns = document.find("modified_ns");
  const auto sha256 = document.find("sha256");
  const auto source = document.find("source");
  const auto end = document.end();
  if (bytes == end || !bytes->is_number_unsigned()) return std::nullopt;
  if (modified_ns == end || !modified_ns->is_number_integer()) return std::nullopt;
  if (sha256 == end || !sha256->is_string()) return std::nullopt;
  if (source == end || !source->is_string()) return std::nullopt;
  if (!IsSha256(sha256->get_ref<const std::string&>())) return std::nullopt;
  return Sidecar{{bytes->get<uint64_t>(), modified_ns->get<int64_t>()},
                 sha256->get<std::string>(),
                 source->get<std::string>()};
}

// A name that no other writer of this directory uses at the same time.
std::string ScratchPath(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  return fmt::format("{}.{}.{}.new", path, static_cast<int64_t>(getpid()), counter++);
}

std::string JoinNames(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

bool IsEntry(const StoredModel& model, const CatalogueEntry& entry,
             const ModelCatalogue& catalogue) {
  if (!entry.derived) return model.sha256 == entry.sha256;
  const CatalogueEntry* from = catalogue.Find(entry.derived->from);
  return from != nullptr && model.source == DescribeDerivation(*entry.derived, from->sha256);
}

Result<std::string> ModelStore::DefaultDirectory() {
  if (const auto given = Environment("FORETOKEN_MODELS_DIR"); !given.empty()) {
    return std::string(given);
  }
  if (const auto data = Environment("XDG_DATA_HOME"); !data.empty()) {
    return std::string(data) + "/foretoken/models";
  }
  if (const auto home = Environment("HOME"); !home.empty()) {
    return std::string(home) + "/.local/share/foretoken/models";
  }
  return FailedPreconditionError(
      "there is no place for models: set FORETOKEN_MODELS_DIR to a directory (HOME is not set)");
}

std::string ModelStore::FilePath(std::string_view name) const {
  return fmt::format("{}/{}{}", directory_, name, kSuffix);
}

std::string ModelStore::SidecarPath(std::string_view name) const {
  return fmt::format("{}/{}.json", directory_, name);
}

Status ModelStore::EnsureDirectory() const {
  std::error_code error;
  fs::create_directories(directory_, error);
  if (error) return ErrnoError(error.value(), directory_);
  return OkStatus();
}

Result<std::vector<StoredModel>> ModelStore::List() const {
  std::vector<StoredModel> models;
  std::error_code error;
  fs::directory_iterator entry(directory_, error);
  if (error == std::errc::no_such_file_or_directory) return models;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    if (!file.ends_with(kSuffix)) continue;
    const std::string name = file.substr(0, file.size() - kSuffix.size());
    if (!IsModelName(name)) continue;
    auto model = Find(name);
    if (model.ok()) {
      models.push_back(std::move(model).value());
    } else {
      Log(LogLevel::kWarning, fmt::format("left out: {}", model.status().message()));
    }
  }
  if (error) return ErrnoError(error.value(), directory_);
  std::sort(models.begin(), models.end(),
            [](const StoredModel& a, const StoredModel& b) { return a.name < b.name; });
  return models;
}

Result<StoredModel> ModelStore::Find(std::string_view name, const Progress& progress) const {
  if (!IsModelName(name)) {
    return NotFoundError(fmt::format("'{}' cannot be the name of a model", name));
  }
  StoredModel model;
  model.name = name;
  model.path = FilePath(name);
  auto facts = FactsOf(model.path);
  if (!facts.ok()) {
    std::error_code error;
    const fs::path target = fs::read_symlink(model.path, error);
    if (error) return facts.status();
    return Status(facts.status().code(),
                  fmt::format("the model '{}' is the file {}, which cannot "
                              "be read: {}",
                              name, target.string(), facts.status().message()));
  }
  model.bytes = facts->bytes;
  const std::optional<Sidecar> sidecar = ReadSidecar(SidecarPath(name));
  if (sidecar && sidecar->facts.bytes == facts->bytes &&
      sidecar->facts.modified_ns == facts->modified_ns) {
    model.sha256 = sidecar->sha256;
    model.source = sidecar->source;
    return model;
  }
  FORETOKEN_ASSIGN_OR_RETURN(model.sha256, Sha256OfFile(model.path, progress));
  if (sidecar && sidecar->sha256 == model.sha256) model.source = sidecar->source;
  if (sidecar && sidecar->sha256 != model.sha256) {
    Log(LogLevel::kWarning, fmt::format("{} is not the file that was pulled", model.path));
  }
  // The store may be read-only for this user; then the file is hashed each time.
  if (const Status recorded = Record(model); !recorded.ok()) {
    Log(LogLevel::kDebug, fmt::format("not recorded: {}", recorded.message()));
  }
  return model;
}

Result<std::string> ModelStore::Resolve(std::string_view name_or_path,
                                        const ModelCatalogue* catalogue) const {
  const std::string text(name_or_path);
  if (text.empty()) return InvalidArgumentError("the name of the model is empty");
  if (text.find('/') != std::string::npos || text.ends_with(kSuffix)) {
    auto facts = FactsOf(text);
    if (!facts.ok()) return facts.status();
    return text;
  }
  if (IsModelName(text)) {
    std::string path = FilePath(text);
    if (FactsOf(path).ok()) return path;
    std::error_code error;
    if (fs::is_symlink(path, error)) return Find(text).status();
  }
  if (FactsOf(text).ok()) return text;

  if (catalogue != nullptr && catalogue->Find(text) != nullptr) {
    return NotFoundError(
        fmt::format("the model '{}' is not here yet: run `foretoken pull {}`", text, text));
  }
  std::vector<std::string> known;
  if (auto models = List(); models.ok()) {
    for (const StoredModel& model : *models) known.push_back(model.name);
  }
  if (catalogue != nullptr) {
    for (std::string& name : catalogue->Names()) known.push_back(std::move(name));
  }
  std::string message = fmt::format("there is no model and no file '{}'", text);
  const std::vector<std::string> near = NearestNames(text, known);
  if (near.empty()) {
    message += "; `foretoken models` lists the names";
  } else {
    message += fmt::format("; the nearest names are {}", JoinNames(near));
    if (!FactsOf(FilePath(near[0])).ok()) {
      message += fmt::format(" (fetch it with `foretoken pull {}`)", near[0]);
    }
  }
  return NotFoundError(std::move(message));
}

Status ModelStore::Verify(std::string_view name, const Progress& progress) const {
  FORETOKEN_ASSIGN_OR_RETURN(const StoredModel model, Find(name));
  FORETOKEN_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(model.path, progress));
  if (sha256 != model.sha256) {
    return DataLossError(
        fmt::format("{} is damaged: its SHA-256 is {}, not {}", model.path, sha256, model.sha256));
  }
  return OkStatus();
}

Status ModelStore::Record(const StoredModel& model) const {
  FORETOKEN_ASSIGN_OR_RETURN(const FileFacts facts, FactsOf(FilePath(model.name)));
  const json document = {{"name", model.name},
                         {"bytes", facts.bytes},
                         {"modified_ns", facts.modified_ns},
                         {"sha256", model.sha256},
                         {"source", model.source}};
  const std::string path = SidecarPath(model.name);
  const std::string scratch = ScratchPath(path);
  std::ofstream file(scratch, std::ios::binary);
  file << document.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  file.close();
  if (!file || std::rename(scratch.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(scratch.c_str());
    return ErrnoError(error, path);
  }
  return OkStatus();
}

Status ModelStore::Link(const StoredModel& model, const std::string& path) const {
  std::error_code error;
  const fs::path target = fs::absolute(path, error);
  if (error) return ErrnoError(error.value(), path);
  FORETOKEN_RETURN_IF_ERROR(EnsureDirectory());
  const std::string link = FilePath(model.name);
  const std::string scratch = ScratchPath(link);
  unlink(scratch.c_str());
  if (symlink(target.lexically_normal().c_str(), scratch.c_str()) != 0) {
    return ErrnoError(errno, scratch);
  }
  if (std::rename(scratch.c_str(), link.c_str()) != 0) {
    const int rename_error = errno;
    unlink(scratch.c_str());
    return ErrnoError(rename_error, link);
  }
  return Record(model);
}

}  // namespace foretoken
