#ifndef FORETOKEN_MODEL_INVARIANCE_CHECK_H_
#define FORETOKEN_MODEL_INVARIANCE_CHECK_H_

#include <cstdint>
#include <set>
#include <string>

#include "foretoken/status.h"
#include "model/loaded_model.h"

namespace foretoken {

// What CheckInvariance found.
struct InvarianceReport {
  int32_t rows_compared = 0;
  int32_t rows_different = 0;
  // The first tensor of the graph whose bits differ where the same rows are in forwards of other
  // sizes, as "OPERATION NAME"; empty: none does.
  std::string first_difference;
  // The case in which the first row of logits differed; empty: in none.
  std::string first_case;
  // Operations that the kernels left to the library underneath, each with the reason.
  std::set<std::string> stock_operations;

  bool invariant() const { return rows_different == 0 && first_difference.empty(); }
};

// Whether a row's logits are the same bits whatever is in the batch: one sequence is run token by
// token and then in forwards of other sizes, with neighbours, in cells out of order, and from a
// fork. `threads` as in BackendOptions. A few seconds for a model of a billion parameters.
Result<InvarianceReport> CheckInvariance(LoadedModel& model, int32_t threads);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_INVARIANCE_CHECK_H_
