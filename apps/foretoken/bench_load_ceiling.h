#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_CEILING_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_CEILING_H_

#include <cstdint>
#include <map>
#include <set>
#include <span>

#include "foretoken/generation.h"
#include "model/loaded_model.h"

namespace foretoken {

// Milliseconds of a forward by its number of rows, T(n).
using ForwardTimes = std::map<int32_t, double>;

struct MeasuredForwards {
  ForwardTimes target_ms;
  ForwardTimes draft_ms;  // empty: no draft model
};

// How much faster the best fixed draft length could decode at one concurrency.
struct SpeculationCeiling {
  int32_t draft_tokens = 0;
  double ratio = 1;  // to plain decoding; 1 where nothing pays
};

// The row counts that CeilingAt looks up for lengths 0 to `max_draft_tokens`.
std::set<int32_t> CeilingRows(std::span<const int32_t> concurrencies, int32_t max_draft_tokens);

// Times forwards of each of `rows` over a short cached prefix, several times in turns; the median
// of each. Errors are the back end's; a model that cannot be cut back is FAILED_PRECONDITION.
Result<ForwardTimes> MeasureForwards(LoadedModel& model, const std::set<int32_t>& rows,
                                     int32_t threads);

// With n sequences that all draft k tokens, a round commits 1 + the accepted share of each of the k
// positions, and costs T(n (k + 1)) and k drafting forwards of n rows; plain decoding costs T(n)
// for 1. The share of drafts that no model made costs nothing. Lengths that were not seen or not
// measured are left out.
SpeculationCeiling CeilingAt(int32_t concurrency, const MeasuredForwards& costs,
                             const SpeculationStats& seen);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_CEILING_H_
