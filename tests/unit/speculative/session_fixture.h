#ifndef FORETOKEN_UNIT_SPECULATIVE_SESSION_FIXTURE_H_
#define FORETOKEN_UNIT_SPECULATIVE_SESSION_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "model/backend_options.h"
#include "model/sequence_pool.h"
#include "speculative/session.h"
#include "testing/fake_model.h"

namespace foretoken {

using Tokens = std::vector<TokenId>;

// For gtest's messages.
inline void PrintTo(const Status& status, std::ostream* out) {
  *out << status.ToString();
}

// A fake model with one back end and what a test watches of it. What a test takes of the pool it
// must have given back before this goes.
struct FakeSetup {
  explicit FakeSetup(const FakeModelOptions& fake_options = {},
                     const BackendOptions& backend_options = {.kv_cache_tokens = 512,
                                                              .max_sequences = 8})
      : options(fake_options),
        control(std::make_shared<FakeControl>()),
        model(NewFakeModel(options, control)),
        backend(model->NewBackend(backend_options).value()),
        pool(std::make_unique<SequencePool>(*backend)) {}
  ~FakeSetup() {
    EXPECT_EQ(pool->used(), 0);
    EXPECT_EQ(pool->used_cells(), 0);
    EXPECT_EQ(control->cells_in_use, 0);
  }

  const FakeModelOptions options;
  std::shared_ptr<FakeControl> control;
  std::shared_ptr<LoadedModel> model;
  std::unique_ptr<ModelBackend> backend;
  std::unique_ptr<SequencePool> pool;
};

inline Session NewSession(const Tokens& prompt, SamplingOptions sampling = {}, uint64_t seed = 7,
                          int32_t vocabulary_size = 16) {
  return Session(prompt, Sampler::Create(sampling, seed, vocabulary_size).value(), seed);
}

inline std::vector<float> Copy(std::span<const float> row) {
  return {row.begin(), row.end()};
}

// The row of logits after `tokens`, from a cache that never held anything else.
inline std::vector<float> RowAfter(FakeModelOptions options, std::span<const TokenId> tokens) {
  options.context_tokens = options.max_batch_rows = static_cast<int32_t>(tokens.size());
  const auto backend = NewFakeModel(options)->NewBackend({}).value();
  std::vector<BatchRow> rows;
  for (const TokenId token : tokens) {
    const auto position = static_cast<int32_t>(rows.size());
    rows.push_back({.token = token,
                    .position = position,
                    .sequences = {SequenceId{0}},
                    .wants_logits = rows.size() + 1 == tokens.size()});
  }
  return Copy(backend->Decode(rows).value()[0]);
}

// What plain decoding with this model appends to the session, every row from a fresh cache.
inline Tokens Continuation(const FakeModelOptions& options, Session session, int32_t tokens) {
  const size_t begin = session.tokens.size();
  for (int32_t i = 0; i < tokens; ++i) {
    session.Commit(session.sampler
                       .Select(RowAfter(options, session.tokens), session.history, session.stream,
                               session.next_position())
                       .value());
  }
  return {session.tokens.begin() + static_cast<std::ptrdiff_t>(begin), session.tokens.end()};
}

// The sequences that a forward has rows of.
inline std::set<SequenceId> SequencesOf(std::span<const BatchRow> rows) {
  std::set<SequenceId> sequences;
  for (const BatchRow& row : rows) sequences.insert(row.sequences.begin(), row.sequences.end());
  return sequences;
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SPECULATIVE_SESSION_FIXTURE_H_
