#include "kernels/ggml_attention.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "kernels/attention.h"

namespace foretoken {
namespace {

std::optional<KvType> KvTypeOf(ggml_type type) {
  switch (type) {
    case GGML_TYPE_F32:
      return KvType::kF32;
    case GGML_TYPE_F16:
      return KvType::kF16;
    case GGML_TYPE_BF16:
      return KvType::kBf16;
    case GGML_TYPE_Q8_0:
      return KvType::kQ8_0;
    default:
      return std::nullopt;
  }
}

float Parameter(const ggml_tensor& operation, int index) {
  float value = 0;
  std::memcpy(&value, &operation.op_params[index], sizeof(value));
  return value;
}

// The heads' slopes of attention with linear biases (arXiv 2108.12409), as ggml has them.
std::vector<float> SlopesOf(float max_bias, int64_t heads) {
  std::vector<float> slopes;
  if (max_bias <= 0) return slopes;
  const auto power_of_two = static_cast<int64_t>(std::exp2(std::floor(std::log2(heads))));
  const float base = std::exp2(-max_bias / static_cast<float>(power_of_two));
  const float half_base = std::exp2(-max_bias / 2.0f / static_cast<float>(power_of_two));
  for (int64_t head = 0; head < heads; ++head) {
    slopes.push_back(head < power_of_two
                         ? std::pow(base, static_cast<float>(head + 1))
                         : std::pow(half_base, static_cast<float>(2 * (head - power_of_two) + 1)));
  }
  return slopes;
}

// Everything but the slopes. Before the graph is computed, data pointers may be null.
AttentionJob JobOf(const ggml_tensor& operation) {
  const ggml_tensor& query = *operation.src[0];
  const ggml_tensor& keys = *operation.src[1];
  const ggml_tensor& values = *operation.src[2];
  const ggml_tensor* mask = operation.src[3];
  const ggml_tensor* sinks = operation.src[4];
  return {.heads = static_cast<int32_t>(query.ne[2]),
          .kv_heads = static_cast<int32_t>(keys.ne[2]),
          .head_size_k = static_cast<int32_t>(keys.ne[0]),
          .head_size_v = static_cast<int32_t>(values.ne[0]),
          .query = static_cast<const float*>(query.data),
          .query_row_bytes = query.nb[1],
          .query_head_bytes = query.nb[2],
          .key = keys.data,
          .key_cell_bytes = keys.nb[1],
          .key_head_bytes = keys.nb[2],
          .key_type = *KvTypeOf(keys.type),
          .value = values.data,
          .value_cell_bytes = values.nb[1],
          .value_head_bytes = values.nb[2],
          .value_type = *KvTypeOf(values.type),
          .mask = mask != nullptr ? static_cast<const uint16_t*>(mask->data) : nullptr,
          .mask_row_bytes = mask != nullptr ? mask->nb[1] : 0,
          .output = static_cast<float*>(operation.data),
          .output_row_bytes = operation.nb[2],
          .output_head_bytes = operation.nb[1],
          .scale = Parameter(operation, 0),
          .logit_softcap = Parameter(operation, 2),
          .slopes = nullptr,
          .sinks = sinks != nullptr ? static_cast<const float*>(sinks->data) : nullptr};
}

}  // namespace

const char* WhyNoAttention(const ggml_tensor& operation, CellPositions* positions) {
  const ggml_tensor& query = *operation.src[0];
  const ggml_tensor& keys = *operation.src[1];
  const ggml_tensor& values = *operation.src[2];
  const ggml_tensor* mask = operation.src[3];
  if (query.type != GGML_TYPE_F32) return "query not f32";
  if (!KvTypeOf(keys.type)) return ggml_type_name(keys.type);
  if (!KvTypeOf(values.type)) return ggml_type_name(values.type);
  if (keys.ne[2] != values.ne[2]) return "keys and values with different numbers of heads";
  if (query.nb[0] != ggml_type_size(query.type) || keys.nb[0] != ggml_type_size(keys.type) ||
      values.nb[0] != ggml_type_size(values.type)) {
    return "rows not contiguous";
  }
  if (query.ne[3] != 1 || keys.ne[3] != 1) return "several caches in one operation";
  if (mask != nullptr && (mask->ne[2] != 1 || mask->ne[3] != 1)) return "a mask for each head";
  if (!SupportsAttention(JobOf(operation))) return "head sizes";
  if (positions != nullptr && keys.view_src != nullptr && !positions->Knows(keys)) {
    return "a cache of an unknown kind";
  }
  return nullptr;
}

void ComputeAttention(const ggml_tensor& operation, GgmlForward& forward) {
  AttentionJob job = JobOf(operation);
  const std::vector<float> slopes = SlopesOf(Parameter(operation, 1), job.heads);
  if (!slopes.empty()) job.slopes = slopes.data();
  const AttentionPlan& plan =
      forward.PlanFor(*operation.src[1], operation.src[3],
                      {.rows = static_cast<int32_t>(operation.src[0]->ne[1]),
                       .cells = static_cast<int32_t>(operation.src[1]->ne[1]),
                       .mask = job.mask,
                       .mask_row_bytes = job.mask_row_bytes,
                       .positions = nullptr,
                       .heads_per_kv_head = job.heads / job.kv_heads});
  void* const scratch = forward.Scratch(AttentionScratchBytes(job, plan, forward.team().size()));
  forward.team().Run([&](TeamMember& member) { Attend(job, plan, scratch, member); });
}

}  // namespace foretoken
