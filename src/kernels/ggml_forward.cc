#include "kernels/ggml_forward.h"

#include <memory>
#include <span>
#include <utility>

namespace foretoken {
namespace {

thread_local GgmlForward* current_forward = nullptr;  // NOLINT: ggml hands nothing through

}  // namespace

void GgmlForward::NoteLayout() {
  if (!computing_) return;
  // The next graph: what tensors hold is another one's now, whatever their addresses are.
  plan_count_ = 0;
  computing_ = false;
}

void GgmlForward::NoteStock(const ggml_tensor& operation, const char* reason) {
  const std::string name = std::string(ggml_op_name(operation.op)) + " (" + reason + ")";
  stock_operations_.insert(name);
  if (report_ != nullptr) report_->stock_operations.insert(name);
}

const AttentionPlan& GgmlForward::PlanFor(const ggml_tensor& keys, const ggml_tensor* mask,
                                          AttentionMask shape) {
  const ggml_tensor* mask_free_keys = mask == nullptr ? &keys : nullptr;
  for (size_t i = 0; i < plan_count_; ++i) {
    const CachedPlan& cached = *plans_[i];
    if (cached.mask == mask && cached.keys == mask_free_keys &&
        cached.heads_per_kv_head == shape.heads_per_kv_head) {
      return cached.plan;
    }
  }
  if (plan_count_ == plans_.size()) plans_.push_back(std::make_unique<CachedPlan>());
  CachedPlan& made = *plans_[plan_count_++];
  made.mask = mask;
  made.keys = mask_free_keys;
  made.heads_per_kv_head = shape.heads_per_kv_head;
  std::span<const int32_t> positions;
  if (positions_ != nullptr) positions = positions_->Of(keys, shape.cells);
  if (!positions.empty()) shape.positions = positions.data();
  team_->Run([&](TeamMember& member) { made.plan.Build(shape, member); });
  return made.plan;
}

void* GgmlForward::Scratch(size_t bytes) {
  constexpr size_t kAlignment = 64;
  if (scratch_.size() < bytes + kAlignment) scratch_.resize(bytes + kAlignment);
  void* aligned = scratch_.data();
  size_t space = scratch_.size();
  return std::align(kAlignment, bytes, aligned, space);
}

ForwardScope::ForwardScope(GgmlForward* forward)
    : outer_(std::exchange(current_forward, forward)) {}

ForwardScope::~ForwardScope() {
  current_forward = outer_;
}

GgmlForward* ForwardScope::Current() {
  return current_forward;
}

}  // namespace foretoken
