#ifndef FORETOKEN_UNIT_SPECULATIVE_SESSION_FIXTURE_H_
#define FORETOKEN_UNIT_SPECULATIVE_SESSION_FIXTURE_H_

#include <memory>
#include <utility>
#include <vector>

#include "model/sequence_pool.h"
#include "speculative/session.h"
#include "testing/fake_model.h"

namespace foretoken {

// A fake model with one back end and what a test watches of it.
struct FakeSetup {
  explicit FakeSetup(FakeModelOptions options = {})
      : control(std::make_shared<FakeControl>()),
        model(NewFakeModel(options, control)),
        backend(model->NewBackend({}).value()),
        pool(std::make_unique<SequencePool>(*backend)) {}

  std::shared_ptr<FakeControl> control;
  std::shared_ptr<LoadedModel> model;
  std::unique_ptr<ModelBackend> backend;
  std::unique_ptr<SequencePool> pool;
};

inline Session NewSession(const std::vector<TokenId>& prompt, SamplingOptions sampling = {},
                          uint64_t seed = 7, int32_t vocabulary_size = 16) {
  return Session(prompt, Sampler::Create(sampling, seed, vocabulary_size).value(), seed);
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SPECULATIVE_SESSION_FIXTURE_H_
