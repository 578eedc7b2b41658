#include "kernels/ggml_weight_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include <ggml-alloc.h>
#include <ggml-backend-impl.h>
#include <ggml-cpu.h>

#include "base/cpu_count.h"
#include "base/mutex.h"
#include "kernels/matmul.h"
#include "kernels/thread_team.h"

namespace foretoken {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

int64_t MatricesOf(const ggml_tensor& weights) {
  return weights.ne[2] * weights.ne[3];
}

void PackTensor(ggml_backend_buffer_t /*buffer*/, ggml_tensor* tensor, const void* data,
                size_t offset, size_t size) {
  // A loader of ggml writes a tensor of a buffer that is not the host's in one piece.
  GGML_ASSERT(offset == 0 && size == ggml_nbytes(tensor));
  static ThreadTeam team(DefaultThreadCount().threads);
  static Mutex mutex;
  MutexLock lock(mutex);  // models may load at the same time
  const int64_t rows = tensor->ne[1];
  const int64_t tiles = (rows + kMatMulTileRows - 1) / kMatMulTileRows;
  const size_t packed_bytes = PackedMatrixBytes(*tensor);
  const int64_t all_tiles = tiles * MatricesOf(*tensor);
  constexpr int64_t kTilesAtATime = 16;
  team.Run([&](TeamMember& member) {
    for (int64_t first = member.Take(kTilesAtATime); first < all_tiles;
         first = member.Take(kTilesAtATime)) {
      const int64_t last = std::min(first + kTilesAtATime, all_tiles);
      for (int64_t tile = first; tile < last;) {
        const int64_t matrix = tile / tiles;
        const int64_t end = std::min(last, (matrix + 1) * tiles);
        const PackJob job = {
            .type = *WeightTypeOf(tensor->type),
            .rows = rows,
            .columns = tensor->ne[0],
            .source = static_cast<const char*>(data) + static_cast<size_t>(matrix) * tensor->nb[2],
            .row_bytes = tensor->nb[1],
            .packed =
                static_cast<char*>(tensor->data) + static_cast<size_t>(matrix) * packed_bytes};
        PackTiles(job, tile - matrix * tiles, end - matrix * tiles);
        tile = end;
      }
    }
  });
}

const char* BufferName(ggml_backend_buffer_type_t /*type*/) {
  return "CPU_FORETOKEN";
}

ggml_backend_buffer_t AllocateBuffer(ggml_backend_buffer_type_t type, size_t size) {
  ggml_backend_buffer_t buffer =
      ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
  if (buffer == nullptr) return nullptr;
  void* first = ggml_backend_buffer_get_base(buffer);
  size_t space = size;
  // Only a hint: without huge pages the same is a few percent slower.
  if (std::align(kHugePage, 1, first, space) != nullptr) madvise(first, space, MADV_HUGEPAGE);
  buffer->buft = type;
  buffer->iface.set_tensor = PackTensor;
  buffer->iface.memset_tensor = nullptr;
  buffer->iface.get_tensor = nullptr;  // the packed form is not what was written
  buffer->iface.cpy_tensor = nullptr;
  return buffer;
}

size_t Alignment(ggml_backend_buffer_type_t /*type*/) {
  return kAlignment;
}

size_t AllocationBytes(ggml_backend_buffer_type_t /*type*/, const ggml_tensor* tensor) {
  return PackedMatrixBytes(*tensor) * static_cast<size_t>(MatricesOf(*tensor));
}

}  // namespace

std::optional<WeightType> WeightTypeOf(ggml_type type) {
  switch (type) {
    case GGML_TYPE_F32:
      return WeightType::kF32;
    case GGML_TYPE_F16:
      return WeightType::kF16;
    case GGML_TYPE_BF16:
      return WeightType::kBf16;
    case GGML_TYPE_Q4_0:
      return WeightType::kQ4_0;
    case GGML_TYPE_Q4_1:
      return WeightType::kQ4_1;
    case GGML_TYPE_Q5_0:
      return WeightType::kQ5_0;
    case GGML_TYPE_Q5_1:
      return WeightType::kQ5_1;
    case GGML_TYPE_Q8_0:
      return WeightType::kQ8_0;
    case GGML_TYPE_IQ4_NL:
      return WeightType::kIq4Nl;
    case GGML_TYPE_Q4_K:
      return WeightType::kQ4K;
    case GGML_TYPE_Q5_K:
      return WeightType::kQ5K;
    case GGML_TYPE_Q6_K:
      return WeightType::kQ6K;
    default:
      return std::nullopt;
  }
}

bool IsPackable(const ggml_tensor& weights) {
  const auto type = WeightTypeOf(weights.type);
  return type && CanPack(*type, weights.ne[0]) && ggml_is_contiguous(&weights);
}

size_t PackedMatrixBytes(const ggml_tensor& weights) {
  return PackedBytes(*WeightTypeOf(weights.type), weights.ne[1], weights.ne[0]);
}

ggml_backend_buffer_type_t PackedWeightBufferType(void* dispatch) {
  static ggml_backend_buffer_type type = {
      .iface = {.get_name = BufferName,
                .alloc_buffer = AllocateBuffer,
                .get_alignment = Alignment,
                .get_max_size = nullptr,
                .get_alloc_size = AllocationBytes,
                .is_host = nullptr},
      .device = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
      .context = dispatch};
  return &type;
}

bool HasPackedWeights(const ggml_tensor& weights) {
  return weights.buffer != nullptr && weights.buffer->buft->iface.get_name == BufferName;
}

}  // namespace foretoken
