#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/matmul_kernels.h"

namespace foretoken {
namespace {

static_assert(kTileRows == kMatMulTileRows);

constexpr size_t kAlignment = 64;
// Enough items for each member that none waits long for the last.
constexpr int64_t kItemsPerMember = 16;

const PackedFormat& FormatOf(WeightType type) {
  return kPackedFormats[static_cast<int>(type)];
}

const MatMulKernels& KernelsOf(InstructionSet set) {
#if defined(__x86_64__)
  switch (set) {
    case InstructionSet::kAvx512Vnni:
      return Avx512VnniMatMulKernels();
    case InstructionSet::kAvxVnni:
      return AvxVnniMatMulKernels();
    case InstructionSet::kAvx2:
      return Avx2MatMulKernels();
    case InstructionSet::kGeneric:
      break;
  }
#endif
  return GenericMatMulKernels();
}

bool IsFloat(WeightType type) {
  return FormatOf(type).inputs == 0;
}

int64_t TileCount(int64_t rows) {
  return (rows + kTileRows - 1) / kTileRows;
}

size_t RoundedUp(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

size_t PackedTileBytes(WeightType type, int64_t columns) {
  const PackedFormat& format = FormatOf(type);
  return RoundedUp(static_cast<size_t>(columns / format.inputs) *
                   static_cast<size_t>(format.main_bytes + format.side_bytes));
}

TileSource SourceOf(const void* weights, size_t row_bytes, int64_t rows, int64_t tile) {
  const int64_t first_row = tile * kTileRows;
  return {static_cast<const uint8_t*>(weights) + static_cast<size_t>(first_row) * row_bytes,
          row_bytes, static_cast<int32_t>(std::min<int64_t>(kTileRows, rows - first_row))};
}

// Where things lie in scratch memory: the inputs in blocks of 32 and of 256, as far as the jobs
// need them, and an unpacked tile for each member.
class Scratch {
 public:
  explicit Scratch(std::span<const MatMulJob> jobs) {
    for (const MatMulJob& job : jobs) {
      if (IsFloat(job.type)) continue;
      (FormatOf(job.type).inputs == 256 ? blocks_256_ : blocks_32_) = true;
      if (!job.packed) {
        tile_bytes_ = std::max(tile_bytes_, PackedTileBytes(job.type, job.columns));
      }
    }
    if (jobs.empty()) return;
    inputs_ = jobs.front().columns;
    columns_ = static_cast<int64_t>(jobs.front().inputs.size());
  }

  size_t Bytes(int32_t team_size) const {
    return kAlignment + Bytes32() + Bytes256() + tile_bytes_ * static_cast<size_t>(team_size);
  }

  Activations At256(uint8_t* scratch, int32_t max_group) const {
    if (!blocks_256_) return {};
    const int64_t blocks = inputs_ / 256;
    int32_t* quants = reinterpret_cast<int32_t*>(scratch + Bytes32());
    int32_t* sums = quants + columns_ * blocks * 64;
    float* scales = reinterpret_cast<float*>(sums + columns_ * blocks * kSums256);
    return {columns_, blocks, max_group, quants, sums, nullptr, scales};
  }

  Activations At32(uint8_t* scratch, int32_t max_group) const {
    if (!blocks_32_) return {};
    const int64_t blocks = inputs_ / 32;
    int32_t* quants = reinterpret_cast<int32_t*>(scratch);
    int32_t* sums = quants + columns_ * blocks * 8;
    float* scaled_sums = reinterpret_cast<float*>(sums + columns_ * blocks);
    return {
        columns_, blocks, max_group, quants, sums, scaled_sums, scaled_sums + columns_ * blocks};
  }

  uint8_t* TileOf(uint8_t* scratch, int32_t member) const {
    return scratch + Bytes32() + Bytes256() + tile_bytes_ * static_cast<size_t>(member);
  }

 private:
  size_t Bytes32() const {
    return blocks_32_ ? RoundedUp(static_cast<size_t>(columns_ * (inputs_ / 32) * (8 + 3) * 4)) : 0;
  }
  size_t Bytes256() const {
    return blocks_256_ ? RoundedUp(static_cast<size_t>(columns_ * (inputs_ / 256) *
                                                       (64 + kSums256 + 1) * 4))
                       : 0;
  }

  int64_t inputs_ = 0;
  int64_t columns_ = 0;
  bool blocks_32_ = false;
  bool blocks_256_ = false;
  size_t tile_bytes_ = 0;
};

// A member's share of `count` units.
IndexRange ShareOf(int64_t count, const TeamMember& member) {
  return {count * member.index() / member.size(), count * (member.index() + 1) / member.size()};
}

class Product {
 public:
  Product(std::span<const MatMulJob> jobs, void* scratch, TeamMember& member,
          const MatMulKernels& kernels)
      : jobs_(jobs), kernels_(kernels), member_(member) {
    const Scratch layout(jobs);
    auto* aligned =
        static_cast<uint8_t*>(scratch) +
        (RoundedUp(reinterpret_cast<uintptr_t>(scratch)) - reinterpret_cast<uintptr_t>(scratch));
    activations_32_ = layout.At32(aligned, kernels.max_group);
    activations_256_ = layout.At256(aligned, kernels.max_group);
    tile_ = layout.TileOf(aligned, member.index());
    inputs_ = jobs.front().inputs;
    panel_groups_ = std::max<int64_t>(1, kernels.panel_columns / kernels.max_group);
    groups_ = GroupCount(static_cast<int64_t>(inputs_.size()), kernels.max_group);
  }

  void Quantize() {
    const auto quantize = [&](const Activations& x, auto kernel) {
      if (x.blocks > 0) kernel(inputs_.data(), ShareOf(groups_ * x.blocks, member_), x);
    };
    quantize(activations_32_, kernels_.quantize_32);
    quantize(activations_256_, kernels_.quantize_256);
  }

  void Multiply() {
    int64_t tiles = 0;
    for (const MatMulJob& job : jobs_) tiles += TileCount(job.rows);
    const int64_t step = std::max<int64_t>(1, tiles / (member_.size() * kItemsPerMember));
    const int64_t chunks = (tiles + step - 1) / step;
    const int64_t panels = (groups_ + panel_groups_ - 1) / panel_groups_;
    // All tiles with a panel of columns before the next panel: a panel stays in the second cache.
    for (int64_t item = member_.Take(); item < panels * chunks; item = member_.Take()) {
      const int64_t panel = item / chunks, chunk = item % chunks;
      const IndexRange groups = {panel * panel_groups_,
                                 std::min(groups_, (panel + 1) * panel_groups_)};
      int64_t first = chunk * step, last = std::min(tiles, first + step);
      for (const MatMulJob& job : jobs_) {
        const int64_t count = TileCount(job.rows);
        for (int64_t tile = std::max<int64_t>(first, 0); tile < std::min(last, count); ++tile) {
          MultiplyTile(job, tile, groups);
        }
        first -= count;
        last -= count;
      }
    }
  }

 private:
  void MultiplyTile(const MatMulJob& job, int64_t tile, IndexRange groups) {
    const int type = static_cast<int>(job.type);
    const TileSource source = SourceOf(job.weights, job.row_bytes, job.rows, tile);
    const TileOutputs outputs = {job.outputs.data(), tile * kTileRows, source.rows};
    if (IsFloat(job.type)) {
      const ColumnGroup last =
          GroupAt(static_cast<int64_t>(inputs_.size()), groups_, groups.last - 1);
      const IndexRange columns = {
          GroupAt(static_cast<int64_t>(inputs_.size()), groups_, groups.first).first,
          last.first + last.size};
      kernels_.multiply_floats[type](source, {inputs_.data(), job.columns}, columns, outputs);
      return;
    }
    const Activations& x = FormatOf(job.type).inputs == 256 ? activations_256_ : activations_32_;
    const uint8_t* packed = tile_;
    if (job.packed) {
      packed = static_cast<const uint8_t*>(job.weights) +
               static_cast<size_t>(tile) * PackedTileBytes(job.type, job.columns);
    } else {
      kernels_.pack_tile[type](source, x.blocks, tile_);
    }
    kernels_.multiply_tile[type](packed, x, groups, outputs);
  }

  const std::span<const MatMulJob> jobs_;
  const MatMulKernels& kernels_;
  TeamMember& member_;
  Activations activations_32_ = {};
  Activations activations_256_ = {};
  uint8_t* tile_ = nullptr;
  std::span<const float* const> inputs_;
  int64_t groups_ = 0;
  int64_t panel_groups_ = 0;
};

}  // namespace

bool CanPack(WeightType type, int64_t columns) {
  return !IsFloat(type) && columns % FormatOf(type).inputs == 0;
}

size_t PackedBytes(WeightType type, int64_t rows, int64_t columns) {
  return static_cast<size_t>(TileCount(rows)) * PackedTileBytes(type, columns);
}

void PackTiles(const PackJob& job, int64_t first_tile, int64_t last_tile, InstructionSet set) {
  const auto pack = KernelsOf(set).pack_tile[static_cast<int>(job.type)];
  const size_t tile_bytes = PackedTileBytes(job.type, job.columns);
  for (int64_t tile = first_tile; tile < last_tile; ++tile) {
    pack(SourceOf(job.source, job.row_bytes, job.rows, tile),
         job.columns / FormatOf(job.type).inputs,
         static_cast<uint8_t*>(job.packed) + static_cast<size_t>(tile) * tile_bytes);
  }
}

size_t MatMulScratchBytes(std::span<const MatMulJob> jobs, int32_t team_size) {
  return Scratch(jobs).Bytes(team_size);
}

size_t MatMulScratchBytes(const MatMulJob& job, int32_t team_size) {
  return MatMulScratchBytes({&job, 1}, team_size);
}

void MatMul(std::span<const MatMulJob> jobs, void* scratch, TeamMember& member,
            InstructionSet set) {
  if (jobs.empty() || jobs.front().inputs.empty()) return;
  Product product(jobs, scratch, member, KernelsOf(set));
  product.Quantize();
  member.Barrier();
  product.Multiply();
  member.Barrier();
}

void MatMul(const MatMulJob& job, void* scratch, TeamMember& member, InstructionSet set) {
  MatMul({&job, 1}, scratch, member, set);
}

}  // namespace foretoken
