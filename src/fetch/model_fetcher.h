#ifndef FORETOKEN_FETCH_MODEL_FETCHER_H_
#define FORETOKEN_FETCH_MODEL_FETCHER_H_

#include <optional>
#include <string>

#include "fetch/fetch_observer.h"
#include "fetch/hub_download.h"
#include "fetch/package_download.h"
#include "fetch/part_file.h"
#include "foretoken/status.h"
#include "model/model_catalogue.h"
#include "model/model_store.h"

namespace foretoken {

struct FetchOptions {
  std::string source;  // a SourceKindName: only this source; empty: all, in order of preference
  std::string sha256;  // for hf: and paths; empty: what the hub promises, or nothing
  std::string name;    // for hf: and paths: the name in the store; empty: the file's, without .gguf
  HubOptions hub;
  PackageOptions packages;
  DiskOperations disk = SystemDisk();
  std::string probe_path;  // of what derives models; see FindProbe
};

struct FetchedModel {
  StoredModel model;
  bool already_there = false;  // nothing had to be fetched
};

// Brings models into a store: by a name of the catalogue, from a hub, or from a path. What is
// fetched lies in NAME.gguf.part until size and hash are right, so NAME.gguf is whole or not
// there; an interrupted fetch goes on where it was; a derived model is made of another, which is
// pulled too. Several processes may fetch the same model: one does, the others wait. One thread at
// a time; store, catalogue and observer must outlive it.
class ModelFetcher {
 public:
  ModelFetcher(const ModelStore& store, const ModelCatalogue& catalogue, FetchOptions options,
               const FetchObserver& observer);

  // `what`: a name of the catalogue, "hf:OWNER/REPO/FILE.gguf", or the path of a GGUF file, which
  // is hashed and linked to, not copied. INVALID_ARGUMENT: options that do not fit; NOT_FOUND:
  // unknown name (the nearest are named) or file; FAILED_PRECONDITION: the name belongs to another
  // model; RESOURCE_EXHAUSTED: disk full; DATA_LOSS: wrong content; UNAVAILABLE: no source answers.
  Result<FetchedModel> Pull(const std::string& what);

 private:
  Result<FetchedModel> PullEntry(const CatalogueEntry& entry);
  Result<FetchedModel> PullDerived(const CatalogueEntry& entry);
  Result<FetchedModel> PullFromHub(const std::string& what);
  Result<FetchedModel> PullPath(const std::string& path);
  // One source to its end, hash included; leaves the model in the store.
  Result<StoredModel> PullFromSource(const CatalogueEntry& entry, const ModelSource& source);
  Status FetchContent(const CatalogueEntry& entry, const ModelSource& source, PartFile& part);
  // The model that already has `name`, or nothing.
  Result<std::optional<StoredModel>> Existing(const std::string& name) const;
  Result<std::string> NameFor(const std::string& file) const;
  Status UnknownName(const std::string& name) const;
  std::string PartPath(const std::string& name) const { return store_.FilePath(name) + ".part"; }
  std::string LockPath(const std::string& name) const { return store_.FilePath(name) + ".lock"; }

  const ModelStore& store_;
  const ModelCatalogue& catalogue_;
  const FetchOptions options_;
  const FetchObserver& observer_;
};

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_MODEL_FETCHER_H_
