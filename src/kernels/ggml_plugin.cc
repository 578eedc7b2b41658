#include "kernels/ggml_plugin.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <ggml-backend-impl.h>
#include <ggml-cpu.h>
#include <traits.h>

#include "kernels/ggml_forward.h"
#include "kernels/ggml_operations.h"
#include "kernels/ggml_weight_buffer.h"
#include "kernels/matmul.h"

namespace foretoken {
namespace {

thread_local int pack_scopes = 0;  // NOLINT: ggml's callbacks have no other place for it

std::string NameOf(const ggml_tensor& operation) {
  std::string name = ggml_op_name(operation.op);
  if (operation.op == GGML_OP_MUL_MAT || operation.op == GGML_OP_MUL_MAT_ID) {
    name += std::string(" ") + ggml_type_name(operation.src[0]->type);
  }
  return name;
}

// ggml asks it for every operation: where it goes, what work space it needs, and to compute it.
class Traits : public ggml::cpu::tensor_traits {
 public:
  bool work_size(int /*threads*/, const ggml_tensor* /*operation*/, size_t& size) override {
    GgmlForward* const forward = ForwardScope::Current();
    if (forward == nullptr) return false;
    forward->NoteLayout();
    size = 0;  // the forward has its own
    return true;
  }

  bool compute_forward(ggml_compute_params* /*params*/, ggml_tensor* operation) override {
    GgmlForward* const forward = ForwardScope::Current();
    if (forward == nullptr) return false;
    forward->NoteCompute();
    if (forward->report() == nullptr) {
      ComputeTaken(*operation, *forward);
      return true;
    }
    const auto start = std::chrono::steady_clock::now();
    ComputeTaken(*operation, *forward);
    OperationTime& time = forward->report()->operations[NameOf(*operation)];
    ++time.calls;
    time.nanoseconds += std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
    return true;
  }
};

class Dispatch : public ggml::cpu::extra_buffer_type {
 public:
  // Of operations with a tensor in a buffer of packed weights, or of those that a loader asks
  // about.
  bool supports_op(ggml_backend_dev_t /*device*/, const ggml_tensor* operation) override {
    const ggml_tensor* weights = operation->src[0];
    if (operation->op != GGML_OP_MUL_MAT && operation->op != GGML_OP_MUL_MAT_ID) return false;
    if (weights == nullptr || !HasPackedWeights(*weights) || !IsPackable(*weights)) return false;
    const bool asked_by_loader = ggml_backend_buffer_get_size(weights->buffer) == 0;
    if (asked_by_loader && pack_scopes == 0) return false;
    return operation->src[1]->type == GGML_TYPE_F32;
  }

  ggml::cpu::tensor_traits* get_tensor_traits(const ggml_tensor* operation) override {
    GgmlForward* const forward = ForwardScope::Current();
    if (forward != nullptr && TakeOf(*operation, *forward) != OperationTake::kNot) return &traits_;
    return nullptr;
  }

 private:
  Traits traits_;
};

}  // namespace

void RegisterGgmlKernels() {
  static const bool registered = [] {
    static Dispatch dispatch;
    // The front: the first buffer type that can hold a tensor gets it.
    std::vector<ggml_backend_buffer_type_t>& types = ggml_backend_cpu_get_extra_buffer_types();
    types.insert(types.begin(), PackedWeightBufferType(&dispatch));
    return true;
  }();
  static_cast<void>(registered);
}

PackWeightsScope::PackWeightsScope() {
  ++pack_scopes;
}

PackWeightsScope::~PackWeightsScope() {
  --pack_scopes;
}

}  // namespace foretoken
