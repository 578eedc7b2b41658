#include "speculative/shared_forward.h"

#include <chrono>
#include <utility>

#include "base/macros.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;
using Consumer = std::function<void(std::span<ForwardPart* const>)>;

class Forward {
 public:
  Forward(ModelBackend& backend, const Consumer& consume) : backend_(backend), consume_(consume) {}

  void Run(std::span<ForwardPart* const> parts) {
    const Status status = cancelled_.ok() ? Try(parts) : cancelled_;
    if (status.ok()) return;
    if (status.code() == StatusCode::kCancelled) {
      cancelled_ = status;
      for (ForwardPart* part : parts) part->status = status;
    } else if (parts.size() > 1) {
      const std::vector<ForwardPart*> kept = WithoutLost(parts, status);
      const std::span<ForwardPart* const> rest(kept);
      if (!rest.empty()) Run(rest.first((rest.size() + 1) / 2));
      if (rest.size() > 1) Run(rest.subspan((rest.size() + 1) / 2));
    } else if (ForwardPart& part = *parts[0]; part.droppable_rows > 0 && !IsLost(part)) {
      part.dropped = status;
      part.tokens.resize(part.tokens.size() - static_cast<size_t>(part.droppable_rows));
      part.logits_rows -= std::exchange(part.droppable_rows, 0);
      Run(parts);
    } else {
      part.status = status;
    }
  }

  const ForwardReport& report() const { return report_; }

 private:
  // A memory that cannot be cut back lost what it held before the failure: the part's rows mean
  // nothing any more.
  static bool IsLost(const ForwardPart& part) {
    return part.cached_before != part.cache->cached_tokens();
  }

  static std::vector<ForwardPart*> WithoutLost(std::span<ForwardPart* const> parts,
                                               const Status& status) {
    std::vector<ForwardPart*> kept;
    for (ForwardPart* part : parts) {
      if (IsLost(*part)) {
        part->status = UnavailableError(
            "lost what was cached to a forward of several that failed: " + status.message());
      } else {
        kept.push_back(part);
      }
    }
    return kept;
  }

  // On failure every part's cache is as it was, or empty.
  Status Try(std::span<ForwardPart* const> parts) {
    for (ForwardPart* part : parts) part->cached_before = part->cache->cached_tokens();
    rows_.clear();
    size_t staged = 0;
    Status status;
    for (; staged < parts.size(); ++staged) {
      ForwardPart& part = *parts[staged];
      status = part.cache->Stage(part.tokens, part.logits_rows, rows_);
      if (!status.ok()) break;
    }
    if (status.ok()) status = Decode(parts);
    if (!status.ok()) {
      for (ForwardPart* part : parts.first(staged)) part->cache->Abandon();
      return status;
    }
    for (ForwardPart* part : parts) part->cache->Commit();
    consume_(parts);
    return OkStatus();
  }

  Status Decode(std::span<ForwardPart* const> parts) {
    const Clock::time_point start = Clock::now();
    ++report_.forwards;
    auto logits = backend_.Decode(rows_);
    const int64_t elapsed_us =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
    report_.forward_us += logits.ok() ? logits->device_us().value_or(elapsed_us) : elapsed_us;
    FORETOKEN_RETURN_IF_ERROR(logits.status());
    report_.rows += static_cast<int32_t>(rows_.size());
    int32_t row = 0;
    for (ForwardPart* part : parts) {
      part->logits = logits->Slice(row, part->logits_rows);
      row += part->logits_rows;
    }
    return OkStatus();
  }

  ModelBackend& backend_;
  const Consumer& consume_;
  ForwardReport report_;
  Status cancelled_;  // why nothing runs any more
  std::vector<BatchRow> rows_;
};

}  // namespace

ForwardReport RunForward(ModelBackend& backend, std::span<ForwardPart* const> parts,
                         const Consumer& consume) {
  Forward forward(backend, consume);
  const BackendDescription& limits = backend.description();
  // Consecutive parts as far as they fit together; one that does not fit alone is refused below.
  size_t begin = 0;
  while (begin < parts.size()) {
    size_t end = begin;
    size_t rows = 0;
    int32_t logits_rows = 0;
    while (end < parts.size()) {
      rows += parts[end]->tokens.size();
      logits_rows += parts[end]->logits_rows;
      if (end > begin && (rows > static_cast<size_t>(limits.max_batch_rows) ||
                          logits_rows > limits.max_logits_rows)) {
        break;
      }
      ++end;
    }
    forward.Run(parts.subspan(begin, end - begin));
    begin = end;
  }
  return forward.report();
}

}  // namespace foretoken
