#ifndef FORETOKEN_INTEGRATION_SCHEDULE_ORACLE_H_
#define FORETOKEN_INTEGRATION_SCHEDULE_ORACLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "foretoken/generation.h"
#include "testing/fake_model.h"

namespace foretoken {

// What a request gives when nothing disturbs it.
struct Answer {
  std::vector<GeneratedToken> tokens;  // id, text and log-probabilities
  std::string text;
  FinishReason reason = FinishReason::kLength;
};

// Answers requests from first principles: one sequence, one row at a time, no draft, no neighbour,
// no engine. Whatever an engine does with a request must come to the same.
// Any thread may call it.
class Oracle {
 public:
  Oracle(const FakeModelOptions& target, int32_t context_tokens);

  // `adapters` are those of the request's tenant. Precondition: a prompt of tokens that leaves room
  // in the context, a seed.
  Answer Ask(const GenerateRequest& request, std::span<const AdapterConfig> adapters = {}) const;
  // The text that these tokens make visible; with what is held back at their end, or without.
  std::string TextOf(std::span<const GeneratedToken> tokens, const std::vector<std::string>& stop,
                     bool flush) const;

 private:
  const int32_t context_tokens_;
  const std::shared_ptr<LoadedModel> model_;
};

}  // namespace foretoken

#endif  // FORETOKEN_INTEGRATION_SCHEDULE_ORACLE_H_
