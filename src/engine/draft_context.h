#ifndef FORETOKEN_ENGINE_DRAFT_CONTEXT_H_
#define FORETOKEN_ENGINE_DRAFT_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "model/loaded_model.h"
#include "model/sequence_pool.h"

namespace foretoken {

// A draft model's context beside an engine's target, in which all sequences that draft with it
// share its forwards. Made by Engine::DraftContextFor and used on that engine's thread only; held
// by the tenants that draft with it and by their requests (shared_ptr), the last of which frees it.
class DraftContext {
 public:
  // `cost_id` is what the engine's budget knows its forwards' costs by.
  DraftContext(std::string id, int32_t cost_id, std::shared_ptr<LoadedModel> model,
               std::unique_ptr<ModelBackend> backend)
      : id_(std::move(id)),
        cost_id_(cost_id),
        model_(std::move(model)),
        backend_(std::move(backend)),
        sequences_(*backend_) {}

  const std::string& id() const { return id_; }
  int32_t cost_id() const { return cost_id_; }
  SequencePool& sequences() { return sequences_; }

 private:
  const std::string id_;
  const int32_t cost_id_;
  const std::shared_ptr<LoadedModel> model_;  // outlives its back end
  const std::unique_ptr<ModelBackend> backend_;
  SequencePool sequences_;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_DRAFT_CONTEXT_H_
