#ifndef FORETOKEN_ENGINE_DRAFT_CONTEXT_H_
#define FORETOKEN_ENGINE_DRAFT_CONTEXT_H_

#include <memory>
#include <string>
#include <utility>

#include "model/loaded_model.h"
#include "model/sequence_pool.h"

namespace foretoken {

// A draft model's context beside an engine's target. Made by Engine::NewDraftContext and used on
// that engine's thread only; held by the tenants that draft with it (shared_ptr: the tenant and
// its running requests), the last of which frees it.
class DraftContext {
 public:
  DraftContext(std::string id, std::shared_ptr<LoadedModel> model,
               std::unique_ptr<ModelBackend> backend)
      : id_(std::move(id)),
        model_(std::move(model)),
        backend_(std::move(backend)),
        sequences_(*backend_) {}

  const std::string& id() const { return id_; }
  SequencePool& sequences() { return sequences_; }

 private:
  const std::string id_;
  const std::shared_ptr<LoadedModel> model_;  // outlives its back end
  const std::unique_ptr<ModelBackend> backend_;
  SequencePool sequences_;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_DRAFT_CONTEXT_H_
