#ifndef FORETOKEN_ENGINE_GENERATION_RUN_H_
#define FORETOKEN_ENGINE_GENERATION_RUN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/draft_context.h"
#include "engine/stream_channel.h"
#include "foretoken/generation.h"
#include "model/loaded_model.h"
#include "model/sequence_pool.h"
#include "speculative/draft_length_policy.h"

namespace foretoken {

// A request as an engine runs it: validated, tokenized, with every choice made.
struct EngineRequest {
  std::vector<TokenId> prompt;
  GenerateOptions options;
  SpeculativeConfig speculation;
  uint64_t seed = 0;
  std::shared_ptr<DraftContext> draft;  // null: no draft model
  // What the tenant has learned; used on the engine's thread only. Second owner: the tenant.
  std::shared_ptr<DraftLengthPolicy> policy;
  std::vector<std::string> warnings;  // to be returned with the answer
};

// The target a request runs on.
struct TargetContext {
  std::string id;
  const Vocabulary* vocabulary = nullptr;
  SequencePool* sequences = nullptr;
};

// Runs one request to its end on the calling thread, its tokens going through the channel. The
// returned event is for the caller to send, when what the request held is given back.
FinishedEvent RunGeneration(const EngineRequest& request, const TargetContext& target,
                            StreamChannel& channel);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_GENERATION_RUN_H_
