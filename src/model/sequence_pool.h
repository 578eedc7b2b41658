#ifndef FORETOKEN_MODEL_SEQUENCE_POOL_H_
#define FORETOKEN_MODEL_SEQUENCE_POOL_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "foretoken/status.h"
#include "model/model_backend.h"

namespace foretoken {

class Sequence;

// Hands out a back end's sequence ids, each to one owner at a time.
// Used on the back end's thread only. It must outlive its sequences; the back end must outlive it.
class SequencePool {
 public:
  explicit SequencePool(ModelBackend& backend);
  SequencePool(const SequencePool&) = delete;
  SequencePool& operator=(const SequencePool&) = delete;

  // RESOURCE_EXHAUSTED when all ids are in use.
  Result<Sequence> Acquire();

  ModelBackend& backend() { return backend_; }
  int32_t used() const {
    return backend_.description().max_sequences - static_cast<int32_t>(free_.size());
  }

 private:
  friend class Sequence;
  void Release(SequenceId id);

  ModelBackend& backend_;
  std::vector<SequenceId> free_;
};

// A sequence id and what is cached under it; dropping it forgets both. Move-only.
class Sequence {
 public:
  Sequence() = default;
  Sequence(Sequence&& other) noexcept { *this = std::move(other); }
  Sequence& operator=(Sequence&& other) noexcept;
  ~Sequence() { Reset(); }

  bool valid() const { return pool_ != nullptr; }
  SequenceId id() const { return id_; }
  void Reset();

 private:
  friend class SequencePool;
  Sequence(SequencePool* pool, SequenceId id) : pool_(pool), id_(id) {}

  SequencePool* pool_ = nullptr;
  SequenceId id_{};
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_SEQUENCE_POOL_H_
