#include "model/model_check.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/log.h"
#include "base/macros.h"
#include "model/cache_files.h"
#include "model/file_identity.h"
#include "model/gguf_model_check.h"
#include "model/gguf_reader.h"
#include "model/isolated_process.h"
#include "model/probe.h"

namespace foretoken {
namespace {

constexpr int64_t kBaseTimeoutMs = 60'000;
constexpr int64_t kTimeoutMsPerGib = 20'000;
constexpr std::string_view kGoodVerdict = "OK";

struct Verdict {
  Status status;
  bool keep = false;
};

// Verdicts that hold for the file and not for the moment.
bool IsLasting(StatusCode code) {
  return code == StatusCode::kDataLoss || code == StatusCode::kInvalidArgument ||
         code == StatusCode::kFailedPrecondition || code == StatusCode::kUnimplemented;
}

Verdict Judge(const std::string& path, const IsolatedOutcome& outcome, int64_t timeout_ms) {
  const std::string& words = outcome.last_error_line;
  const std::string said = words.empty() ? "" : ": " + words;
  if (outcome.timed_out) {
    return {DeadlineExceededError(fmt::format(
        "{}: loading it for a trial was not done after {} s{}", path, timeout_ms / 1000, said))};
  }
  if (IsFault(outcome.signal)) {
    return {DataLossError(fmt::format("{}: llama.cpp cannot load it: it died of {} in a trial{}. "
                                      "The file is broken or of a kind that this version does not "
                                      "know; fetch it again",
                                      path, SignalName(outcome.signal), said)),
            true};
  }
  if (outcome.signal == SIGILL) {
    return {
        InternalError(fmt::format("{}: the trial died of SIGILL: this build of {} is not for "
                                  "this machine's processor",
                                  path, kProbeName))};
  }
  if (outcome.signal != 0) {
    return {ResourceExhaustedError(
        fmt::format("{}: the trial was ended by {}, as happens when memory runs out{}", path,
                    SignalName(outcome.signal), said))};
  }
  const Status reported = ReportedByProbe(outcome, path + ": the trial");
  return {reported, reported.ok() || IsLasting(reported.code())};
}

// "OK", or the number of the code, a space and the message.
std::string Serialise(const Status& status) {
  if (status.ok()) return std::string(kGoodVerdict);
  return fmt::format("{} {}", static_cast<int>(status.code()), status.message());
}

std::optional<Status> Deserialise(const std::string& text) {
  if (text == kGoodVerdict) return OkStatus();
  char* end = nullptr;
  const long code = std::strtol(text.c_str(), &end, 10);
  if (*end != ' ' || code <= 0 || code > static_cast<long>(StatusCode::kInternal)) {
    return std::nullopt;
  }
  return Status(static_cast<StatusCode>(code), end + 1);
}

}  // namespace

Status CheckModelFile(const std::string& path, const ModelCheckOptions& options) {
  // The structure is checked every time: it takes milliseconds and finds a file that was cut since.
  uint64_t file_bytes = 0;
  {
    FORETOKEN_ASSIGN_OR_RETURN(const GgufFile file, ReadGgufFile(path));
    FORETOKEN_RETURN_IF_ERROR(CheckGgufModel(file));
    file_bytes = file.file_bytes();
  }
  FORETOKEN_ASSIGN_OR_RETURN(const std::string hash,
                             CachedSha256OfFile(path, options.hash_progress));
  const auto cache = CacheDirectory();
  const std::string directory = cache.ok() ? *cache + "/verdicts" : "";
  const std::string key =
      fmt::format("{} llama.cpp {} foretoken {}", hash, FORETOKEN_LLAMA_CPP_ID, FORETOKEN_VERSION);
  if (cache.ok()) {
    if (const auto kept = ReadCacheEntry(directory, key)) {
      if (const auto status = Deserialise(*kept)) {
        if (status->ok()) return OkStatus();
        return Status(status->code(),
                      fmt::format("{} (found earlier; delete {} to try again)", status->message(),
                                  CacheEntryPath(directory, key)));
      }
    }
  }
  FORETOKEN_ASSIGN_OR_RETURN(const std::string probe, FindProbe(options.probe_path));
  const auto gib = static_cast<int64_t>(file_bytes >> 30);
  const int64_t timeout_ms =
      options.timeout_ms > 0 ? options.timeout_ms : kBaseTimeoutMs + gib * kTimeoutMsPerGib;
  IsolatedCommand command;
  command.executable = probe;
  command.arguments = {path};
  command.environment = {"GGML_NO_BACKTRACE=1"};  // ggml's abort would start a debugger
  command.timeout_ms = timeout_ms;
  FORETOKEN_ASSIGN_OR_RETURN(const IsolatedOutcome outcome, RunIsolated(command));
  const Verdict verdict = Judge(path, outcome, timeout_ms);
  if (cache.ok() && verdict.keep) {
    const Status written = WriteCacheEntry(directory, key, Serialise(verdict.status));
    if (!written.ok()) Log(LogLevel::kWarning, "the next start tries again: " + written.message());
  }
  return verdict.status;
}

}  // namespace foretoken
