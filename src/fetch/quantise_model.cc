#include "fetch/quantise_model.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/macros.h"
#include "fetch/file_error.h"
#include "model/gguf_reader.h"
#include "model/importance_matrix.h"
#include "model/isolated_process.h"
#include "model/model_check.h"
#include "model/probe.h"

namespace foretoken {
namespace {

namespace fs = std::filesystem;

// Whoever waits ends it when it takes too long; a stuck one is ended after a week.
constexpr int64_t kTimeoutMs = int64_t{7} * 24 * 3600 * 1000;
// Where no more than this is free after a failure, the failure is that.
constexpr uint64_t kFullDiskBytes = 1 << 20;

// Removes what was begun, unless it has got its name.
class PartGuard {
 public:
  explicit PartGuard(std::string path) : path_(std::move(path)) { unlink(path_.c_str()); }
  ~PartGuard() { unlink(path_.c_str()); }
  PartGuard(const PartGuard&) = delete;
  PartGuard& operator=(const PartGuard&) = delete;
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

Status CheckPaths(const QuantiseOptions& options) {
  const std::string& output = options.request.output_path;
  std::error_code error;
  const fs::file_status status = fs::status(output, error);
  if (!fs::exists(status)) return OkStatus();
  if (fs::equivalent(options.request.input_path, output, error)) {
    return InvalidArgumentError(output + " is the input itself; give the result another name");
  }
  if (!fs::is_regular_file(status)) return InvalidArgumentError(output + " is not a file");
  if (!options.replaces) return FailedPreconditionError(output + " exists already");
  return OkStatus();
}

// An importance matrix says something of one model only.
Status CheckImportance(const QuantiseRequest& request, const GgufFile& source) {
  if (request.importance_path.empty()) return OkStatus();
  FORETOKEN_ASSIGN_OR_RETURN(const ImportanceMatrix matrix,
                             ReadImportanceMatrix(request.importance_path));
  const bool is_known = std::any_of(matrix.begin(), matrix.end(), [&](const auto& entry) {
    return source.FindTensor(entry.first) != nullptr;
  });
  if (is_known) return OkStatus();
  return InvalidArgumentError(fmt::format("{} is another model's: {} has no tensor '{}'",
                                          request.importance_path, source.name(),
                                          matrix.begin()->first));
}

class Quantiser {
 public:
  Quantiser(const QuantiseOptions& options, const FetchObserver& observer, const GgufFile& source,
            std::string part_path)
      : options_(options), observer_(observer), source_(source), part_path_(std::move(part_path)) {
    const std::string parent = fs::path(part_path_).parent_path().string();
    directory_ = parent.empty() ? "." : parent;
    for (const GgufTensor& tensor : source_.tensors()) total_bytes_ += tensor.bytes;
  }

  // Leaves the result in the part file.
  Status Run() {
    Status status = RunProbe();
    if (status.ok() || status.code() == StatusCode::kCancelled) return status;
    // llama.cpp does not say so.
    const auto free_bytes = options_.disk.free_bytes(directory_);
    return free_bytes.ok() && *free_bytes < kFullDiskBytes ? DiskFull(*free_bytes) : status;
  }

 private:
  Status RunProbe() {
    QuantiseRequest request = options_.request;
    request.output_path = part_path_;
    IsolatedCommand command;
    FORETOKEN_ASSIGN_OR_RETURN(command.executable, FindProbe(options_.probe_path));
    command.arguments = QuantiseArguments(request);
    command.environment = {"GGML_NO_BACKTRACE=1"};  // ggml's abort would start a debugger
    command.timeout_ms = kTimeoutMs;
    command.on_error_line = [this](std::string_view line) { Read(line); };
    command.cancelled = [this] { return observer_.Cancelled() || !room_.ok(); };
    FORETOKEN_ASSIGN_OR_RETURN(const IsolatedOutcome outcome, RunIsolated(command));
    FORETOKEN_RETURN_IF_ERROR(room_);
    if (outcome.cancelled) return CancelledError("interrupted");
    FORETOKEN_RETURN_IF_ERROR(StatusOf(outcome));
    FORETOKEN_ASSIGN_OR_RETURN(const GgufFile result, ReadGgufFile(part_path_));
    return CheckQuantised(source_, result, options_.request);
  }

  Status StatusOf(const IsolatedOutcome& outcome) const {
    const std::string& words = outcome.last_error_line;
    const std::string& input = options_.request.input_path;
    if (outcome.timed_out) return DeadlineExceededError(input + ": the quantiser hung");
    if (outcome.signal == SIGXFSZ) {
      return ResourceExhaustedError(
          fmt::format("{} would be larger than this process may write (ulimit -f)",
                      options_.request.output_path));
    }
    if (outcome.signal != 0) {
      return InternalError(fmt::format("{}: llama.cpp's quantiser died of {}{}{}", input,
                                       SignalName(outcome.signal), words.empty() ? "" : ": ",
                                       words));
    }
    return ReportedByProbe(outcome, input + ": the quantiser");
  }

  void Read(std::string_view line) {
    if (line.starts_with(kQuantiseTensorLine)) {
      observer_.Progress(done_bytes_, total_bytes_);
      const GgufTensor* tensor = source_.FindTensor(line.substr(kQuantiseTensorLine.size()));
      if (tensor != nullptr) done_bytes_ += tensor->bytes;
    } else if (line.starts_with(kQuantiseBytesLine)) {
      uint64_t tensor_bytes = 0;
      const std::string_view number = line.substr(kQuantiseBytesLine.size());
      std::from_chars(number.data(), number.data() + number.size(), tensor_bytes);
      needed_bytes_ = tensor_bytes + source_.data_offset();
      const auto free_bytes = options_.disk.free_bytes(directory_);
      if (!free_bytes.ok()) {
        room_ = free_bytes.status();
      } else if (*free_bytes < needed_bytes_) {
        room_ = DiskFull(*free_bytes);
      }
    }
  }

  Status DiskFull(uint64_t free_bytes) const {
    return ResourceExhaustedError(
        fmt::format("the disk is full: {} is needed in {} and {} is free; make room, or name "
                    "another place for the result",
                    needed_bytes_ > 0 ? FormatBytes(needed_bytes_) : "space", directory_,
                    FormatBytes(free_bytes)));
  }

  const QuantiseOptions& options_;
  const FetchObserver& observer_;
  const GgufFile& source_;
  const std::string part_path_;
  std::string directory_;
  uint64_t total_bytes_ = 0;
  uint64_t done_bytes_ = 0;
  uint64_t needed_bytes_ = 0;
  Status room_;
};

}  // namespace

Result<QuantisedModel> QuantiseModel(const QuantiseOptions& options,
                                     const FetchObserver& observer) {
  const QuantiseRequest& request = options.request;
  FORETOKEN_RETURN_IF_ERROR(CheckPaths(options));
  FORETOKEN_RETURN_IF_ERROR(
      CheckModelFile(request.input_path, {.probe_path = options.probe_path, .hash_progress = {}}));
  FORETOKEN_ASSIGN_OR_RETURN(const GgufFile source, ReadGgufFile(request.input_path));
  FORETOKEN_RETURN_IF_ERROR(CheckImportance(request, source));

  const PartGuard part(request.output_path + ".part");
  FORETOKEN_RETURN_IF_ERROR(Quantiser(options, observer, source, part.path()).Run());
  if (observer.Cancelled()) return CancelledError("interrupted");
  FORETOKEN_RETURN_IF_ERROR(
      CheckModelFile(part.path(), {.probe_path = options.probe_path, .hash_progress = {}}));
  FORETOKEN_ASSIGN_OR_RETURN(PartFile whole,
                             PartFile::Open(part.path(), 0, options.disk, observer));
  QuantisedModel model{.bytes = whole.bytes(), .sha256 = {}};
  FORETOKEN_ASSIGN_OR_RETURN(model.sha256, std::move(whole).Commit(request.output_path, ""));
  return model;
}

}  // namespace foretoken
