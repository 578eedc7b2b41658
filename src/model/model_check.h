#ifndef FORETOKEN_MODEL_MODEL_CHECK_H_
#define FORETOKEN_MODEL_MODEL_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>

#include "foretoken/status.h"

namespace foretoken {

struct ModelCheckOptions {
  std::string probe_path;  // see FindProbe
  int64_t timeout_ms = 0;  // of the probe; 0: one minute and 20 s more for every GiB
  std::function<void(uint64_t bytes)> hash_progress;  // as for CachedSha256OfFile; may be empty
};

// Whether a file can be given to llama.cpp in this process, whose loader aborts on some broken
// files. The file's structure and keys are checked here; then the probe, a child process, loads it
// and decodes one token. The probe's verdict is kept by content hash and build, so a file is probed
// once. Any thread may call it; it blocks for seconds on a new file.
// Errors: those of ReadGgufFile, CheckGgufModel and CachedSha256OfFile; what the probe reports
// as a value; DATA_LOSS when it died by a fault, with the signal and its last words;
// DEADLINE_EXCEEDED when it took too long and RESOURCE_EXHAUSTED when it was killed (neither is
// kept); UNAVAILABLE when there is no probe.
Status CheckModelFile(const std::string& path, const ModelCheckOptions& options);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_MODEL_CHECK_H_
