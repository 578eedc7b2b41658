#include "model/model_catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <utility>

#include "base/macros.h"

namespace foretoken {

extern const char kEmbeddedCatalogue[];

namespace {

using nlohmann::json;

// Reads typed fields of one JSON object; the first thing that is wrong stays.
class FieldReader {
 public:
  FieldReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) Fail("is not an object");
  }

  std::string Text(const char* field, bool required = true) {
    const json* value = Get(field, required);
    if (value == nullptr) return "";
    if (!value->is_string() || (required && value->get_ref<const std::string&>().empty())) {
      Fail(fmt::format("has a '{}' that is not a text", field));
      return "";
    }
    return value->get<std::string>();
  }
  uint64_t Bytes(const char* field) {
    const json* value = Get(field, true);
    if (value == nullptr) return 0;
    if (!value->is_number_unsigned() || value->get<uint64_t>() == 0) {
      Fail(fmt::format("has a '{}' that is not a number above 0", field));
      return 0;
    }
    return value->get<uint64_t>();
  }
  bool Flag(const char* field) {
    const json* value = Get(field, true);
    if (value == nullptr) return false;
    if (!value->is_boolean()) Fail(fmt::format("has a '{}' that is not true or false", field));
    return value->is_boolean() && value->get<bool>();
  }
  // Null when there is none.
  const json* Object(const char* field) { return Get(field, false); }
  const json& Array(const char* field) {
    static const json kNone = json::array();
    const json* value = Get(field, true);
    if (value == nullptr) return kNone;
    if (!value->is_array() || value->empty()) {
      Fail(fmt::format("has a '{}' that is not a list of something", field));
      return kNone;
    }
    return *value;
  }
  void Require(bool condition, std::string_view problem) {
    if (!condition) Fail(problem);
  }

  const std::string& where() const { return where_; }
  Status status() const { return status_; }

 private:
  void Fail(std::string_view problem) {
    if (status_.ok()) status_ = InvalidArgumentError(fmt::format("{} {}", where_, problem));
  }
  const json* Get(const char* field, bool required) {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(field);
    if (found != object_.end()) return &*found;
    if (required) Fail(fmt::format("has no '{}'", field));
    return nullptr;
  }

  const json& object_;
  const std::string where_;
  Status status_;
};

Result<PackagePart> ParsePackage(const json& object, const std::string& where) {
  FieldReader reader(object, where);
  PackagePart part{reader.Text("name"), reader.Text("version"), reader.Text("member"),
                   reader.Bytes("bytes")};
  // Both go to pip's command line; a leading '-' would be an option there.
  const auto plain = [](const std::string& text) {
    return !text.empty() && text[0] != '-' &&
           std::all_of(text.begin(), text.end(), [](unsigned char c) {
             return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-' || c == '+';
           });
  };
  reader.Require(plain(part.name), "has a 'name' that no package can have");
  reader.Require(plain(part.version), "has a 'version' that no package can have");
  FORETOKEN_RETURN_IF_ERROR(reader.status());
  return part;
}

Result<ModelSource> ParseSource(const json& object, const CatalogueEntry& entry,
                                const std::string& where) {
  FieldReader reader(object, where);
  ModelSource source;
  const std::string kind = reader.Text("kind");
  source.verified = reader.Flag("verified");
  if (kind == SourceKindName(SourceKind::kHub)) {
    source.kind = SourceKind::kHub;
    source.repository = reader.Text("repository");
    source.file = reader.Text("file");
  } else if (kind == SourceKindName(SourceKind::kPythonPackages)) {
    source.kind = SourceKind::kPythonPackages;
    for (const json& package : reader.Array("packages")) {
      FORETOKEN_ASSIGN_OR_RETURN(
          PackagePart part,
          ParsePackage(package, fmt::format("{}, package {}", where, source.packages.size() + 1)));
      source.packages.push_back(std::move(part));
    }
    const uint64_t sum =
        std::accumulate(source.packages.begin(), source.packages.end(), uint64_t{0},
                        [](uint64_t total, const PackagePart& part) { return total + part.bytes; });
    reader.Require(sum == entry.bytes,
                   fmt::format("has packages of {} bytes in all, not {}", sum, entry.bytes));
  } else {
    reader.Require(false,
                   fmt::format("has the unknown kind '{}'; known are hub, python-packages", kind));
  }
  FORETOKEN_RETURN_IF_ERROR(reader.status());
  return source;
}

Result<Derivation> ParseDerivation(const json& object, const std::string& where) {
  FieldReader reader(object, where);
  Derivation derivation{.from = reader.Text("from"), .type = {}, .pure = reader.Flag("pure")};
  const std::string type = reader.Text("type");
  const Quantisation* found = FindQuantisation(type);
  reader.Require(found != nullptr, fmt::format("has the unknown type '{}'", type));
  FORETOKEN_RETURN_IF_ERROR(reader.status());
  derivation.type = *found;
  return derivation;
}

Result<CatalogueEntry> ParseEntry(const json& object, const std::string& where) {
  FieldReader reader(object, where);
  CatalogueEntry entry;
  entry.name = reader.Text("name");
  entry.description = reader.Text("description");
  entry.draft = reader.Text("draft", false);
  entry.bytes = reader.Bytes("bytes");
  entry.licence = reader.Text("licence");
  reader.Require(IsModelName(entry.name), "has a 'name' that cannot be a model's");
  if (const json* derived = reader.Object("derived"); derived != nullptr) {
    FORETOKEN_RETURN_IF_ERROR(reader.status());
    FORETOKEN_ASSIGN_OR_RETURN(
        entry.derived, ParseDerivation(*derived, fmt::format("{} ({}), what it is derived of",
                                                             where, entry.name)));
    return entry;
  }
  entry.sha256 = reader.Text("sha256");
  const json& sources = reader.Array("sources");
  reader.Require(IsSha256(entry.sha256), "has a 'sha256' that is not 64 lower-case hex digits");
  FORETOKEN_RETURN_IF_ERROR(reader.status());
  for (const json& source : sources) {
    FORETOKEN_ASSIGN_OR_RETURN(ModelSource parsed,
                               ParseSource(source, entry,
                                           fmt::format("{} ({}), source {}", where, entry.name,
                                                       entry.sources.size() + 1)));
    entry.sources.push_back(std::move(parsed));
  }
  return entry;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

std::string DescribeDerivation(const Derivation& derivation, std::string_view from_sha256) {
  return fmt::format("derived: {}{} of {} (SHA-256 {})", derivation.type.name,
                     derivation.pure ? " pure" : "", derivation.from, from_sha256);
}

std::string_view SourceKindName(SourceKind kind) {
  switch (kind) {
    case SourceKind::kHub:
      return "hub";
    case SourceKind::kPythonPackages:
      return "python-packages";
  }
  return "unknown";
}

bool IsModelName(std::string_view name) {
  constexpr size_t kMaxBytes = 128;
  if (name.empty() || name.size() > kMaxBytes || name[0] == '.' || name[0] == '-') return false;
  if (name.ends_with(".gguf")) return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  });
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::vector<std::string> NearestNames(std::string_view name, std::vector<std::string> candidates,
                                      size_t limit) {
  const std::string wanted = LowerCase(name);
  std::vector<std::pair<size_t, std::string>> ranked;
  for (std::string& candidate : candidates) {
    const std::string lower = LowerCase(candidate);
    size_t distance = EditDistance(wanted, lower);
    // An abbreviation is near although much is missing: "qwen" for "qwen2.5-coder-1.5b".
    if (wanted.size() >= 3 && lower.find(wanted) != std::string::npos) distance = 1;
    if (distance <= std::max(wanted.size(), lower.size()) / 2) {
      ranked.emplace_back(distance, std::move(candidate));
    }
  }
  std::sort(ranked.begin(), ranked.end());
  ranked.erase(std::unique(ranked.begin(), ranked.end()), ranked.end());
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(limit, ranked.size()); ++i) {
    names.push_back(std::move(ranked[i].second));
  }
  return names;
}

Result<ModelCatalogue> ModelCatalogue::Parse(std::string_view text, std::string_view origin) {
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    return InvalidArgumentError(fmt::format("the catalogue {} is not JSON", origin));
  }
  FieldReader reader(document, fmt::format("the catalogue {}", origin));
  ModelCatalogue catalogue;
  for (const json& model : reader.Array("models")) {
    const std::string where =
        fmt::format("the catalogue {}, model {}", origin, catalogue.entries_.size() + 1);
    FORETOKEN_ASSIGN_OR_RETURN(CatalogueEntry entry, ParseEntry(model, where));
    if (catalogue.Find(entry.name) != nullptr) {
      return InvalidArgumentError(fmt::format("{} has the name '{}' again", where, entry.name));
    }
    catalogue.entries_.push_back(std::move(entry));
  }
  FORETOKEN_RETURN_IF_ERROR(reader.status());
  for (const CatalogueEntry& entry : catalogue.entries_) {
    if (!entry.draft.empty() && catalogue.Find(entry.draft) == nullptr) {
      return InvalidArgumentError(
          fmt::format("the catalogue {}: '{}' names the draft '{}', which "
                      "it does not have",
                      origin, entry.name, entry.draft));
    }
    const CatalogueEntry* from = entry.derived ? catalogue.Find(entry.derived->from) : nullptr;
    if (entry.derived && (from == nullptr || from->derived)) {
      return InvalidArgumentError(
          fmt::format("the catalogue {}: '{}' is derived of '{}', which is not there to be fetched",
                      origin, entry.name, entry.derived->from));
    }
  }
  return catalogue;
}

Result<ModelCatalogue> ModelCatalogue::Load() {
  const char* path = std::getenv("FORETOKEN_CATALOGUE");
  if (path == nullptr || *path == '\0') return Parse(kEmbeddedCatalogue, "of this program");
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return NotFoundError(
        fmt::format("the catalogue {} (FORETOKEN_CATALOGUE) cannot be read", path));
  }
  return Parse(text.str(), path);
}

const CatalogueEntry* ModelCatalogue::Find(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [name](const CatalogueEntry& e) { return e.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

std::vector<std::string> ModelCatalogue::Names() const {
  std::vector<std::string> names;
  for (const CatalogueEntry& entry : entries_) names.push_back(entry.name);
  return names;
}

}  // namespace foretoken
