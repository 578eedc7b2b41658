#ifndef FORETOKEN_SPECULATIVE_SHARED_FORWARD_H_
#define FORETOKEN_SPECULATIVE_SHARED_FORWARD_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "model/model_backend.h"
#include "speculative/cached_sequence.h"

namespace foretoken {

// One sequence's rows in a forward that others share.
struct ForwardPart {
  CachedSequence* cache = nullptr;
  std::vector<TokenId> tokens;  // to run after what is cached; not empty
  int32_t logits_rows = 0;      // the last so many of them want logits
  // The last so many of them are guesses: dropped, with their logits, rather than let the part
  // fail.
  int32_t droppable_rows = 0;

  Status status;              // out: why this part did not run
  LogitsRows logits;          // out: valid while `consume` runs
  Status dropped;             // out: why the guesses were dropped; OK when they were not
  int32_t cached_before = 0;  // RunForward's own
};

struct ForwardReport {
  int32_t forwards = 0;    // 1 unless something failed or was too large for one
  int32_t rows = 0;        // of forwards that ran
  int64_t forward_us = 0;  // on the device, without the wait for it where that is known
};

// Runs all parts in one forward, and gives those that ran to `consume` (once, unless a failure or
// the back end's limits made several forwards of it). A failing forward is repeated in halves, so
// that only the part that causes it fails; that one is tried once more without its guesses.
// CANCELLED is not retried: it ends all parts that have not run. Where a memory cannot be cut back,
// a failing forward of several takes what they had cached: UNAVAILABLE, and it takes another call,
// best alone, to find out whose fault it was. After the call a part's cache holds its tokens
// (without guesses that were dropped) when its status is OK, and otherwise what it held before, or
// nothing where the memory cannot be cut.
ForwardReport RunForward(ModelBackend& backend, std::span<ForwardPart* const> parts,
                         const std::function<void(std::span<ForwardPart* const>)>& consume);

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SHARED_FORWARD_H_
