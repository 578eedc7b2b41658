#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_CHECK_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_CHECK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "bench_load_generator.h"
#include "foretoken/options.h"
#include "foretoken/status.h"
#include "model/loaded_model.h"
#include "near_tie_judge.h"

namespace foretoken {

struct LoadPrompt {
  std::string id;
  std::vector<TokenId> tokens;
};

// Answers that part from the plain one at the same position with the same token.
struct LoadDifference {
  std::string id;     // the prompt's
  std::string where;  // the load in which the first of them was seen
  int32_t answers = 0;
  NearTieVerdict verdict;
};

struct LoadCheck {
  std::string skipped;  // why nothing was compared; empty: it was
  int32_t compared = 0;
  int32_t equal = 0;
  std::vector<LoadDifference> differences;

  int32_t excused() const;
  int32_t unexcused() const { return compared - equal - excused(); }
};

// Compares answers with those that the same prompts got alone and without speculation, and judges
// the first difference of each. One thread.
class AnswerChecker {
 public:
  // Of the requests: their sampling and seed, which all share.
  AnswerChecker(std::shared_ptr<LoadedModel> target, const std::vector<LoadPrompt>& prompts,
                const SamplingOptions& sampling, int32_t threads);

  void SetReference(size_t prompt, std::vector<TokenId> tokens);

  // Counts the finished answers of a load; `where` names it. A difference not seen before takes
  // some forwards of a back end made for it. Errors are the back end's.
  Status Check(const LoadRecord& record, std::string_view where);

  const LoadCheck& check() const { return check_; }

 private:
  // Prompt, position, token.
  using DifferenceKey = std::tuple<size_t, int32_t, TokenId>;

  Result<NearTieVerdict> Judge(const LoadAnswer& answer) const;

  const std::shared_ptr<LoadedModel> target_;  // second owner: whoever loads the models
  const std::vector<LoadPrompt>& prompts_;     // outlive this
  const SamplingOptions sampling_;
  const int32_t threads_;
  std::map<size_t, std::vector<TokenId>> references_;
  std::map<DifferenceKey, size_t> seen_;  // in check_.differences
  LoadCheck check_;
};

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_CHECK_H_
