#ifndef FORETOKEN_MODEL_FORWARD_CALIBRATION_H_
#define FORETOKEN_MODEL_FORWARD_CALIBRATION_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "foretoken/status.h"
#include "model/model_backend.h"

namespace foretoken {

// What a forward of so many rows, the logits of all wanted, took.
struct ForwardTime {
  int32_t rows = 0;
  double us = 0;
};

// How often threads of this process had to leave a processor to others so far.
int64_t ProcessPreemptions();

// Times forwards of 1 to 16 rows on a back end without sequences, the small ones first, until
// `budget` is used up (the first forward always runs), and leaves it as it was. A forward in which
// `preemptions` rises says more of the other programs than of the model and is left out.
Result<std::vector<ForwardTime>> TimeForwards(
    ModelBackend& backend, std::chrono::milliseconds budget,
    const std::function<int64_t()>& preemptions = ProcessPreemptions);

// The same with a budget of half a second, or what was measured earlier for an equal
// BackendDescription::cost_identity and kept in `directory` (cache_files.h). Nothing for a back
// end without one. What was not measured well, or cannot be read or kept, is measured again the
// next time.
Result<std::vector<ForwardTime>> CalibrateForwards(
    ModelBackend& backend, const std::string& directory,
    const std::function<int64_t()>& preemptions = ProcessPreemptions);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_FORWARD_CALIBRATION_H_
