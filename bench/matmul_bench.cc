// Times the matrix products of src/kernels on all cores, after checking that they give the bits of
// the portable ones. Weights come from memory: copies of a matrix larger than the caches take
// turns.
//   matmul_bench --benchmark_filter='q4_k/.*/8$' --benchmark_repetitions=9
//   FORETOKEN_INSTRUCTION_SET=avx2 matmul_bench
// Names are type/columns x rows/columns of input; pack/type is the packing of GGUF rows.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/matmul.h"
#include "testing/weight_matrix.h"

namespace foretoken {
namespace {

constexpr size_t kBytesOfCopies = size_t{128} << 20;
constexpr int64_t kMostColumns = 512;

int32_t ThreadCount() {
  return static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
}

class AlignedBytes {
 public:
  explicit AlignedBytes(size_t size) : bytes_(size + 64) {}
  uint8_t* data() {
    const size_t past = reinterpret_cast<uintptr_t>(bytes_.data()) % 64;
    return bytes_.data() + (past == 0 ? 0 : 64 - past);
  }

 private:
  std::vector<uint8_t> bytes_;
};

void Pack(const WeightMatrix& weights, uint8_t* packed, ThreadTeam& team, InstructionSet set) {
  const PackJob job = {weights.type,   weights.rows,      weights.columns,
                       weights.data(), weights.row_bytes, packed};
  const int64_t tiles = (weights.rows + kMatMulTileRows - 1) / kMatMulTileRows;
  team.Run([&](TeamMember& member) {
    for (int64_t tile = member.Take(8); tile < tiles; tile = member.Take(8)) {
      PackTiles(job, tile, std::min(tile + 8, tiles), set);
    }
  });
}

// A matrix in as many copies as do not fit into a cache, and columns to multiply it with.
class Workload {
 public:
  Workload(WeightType type, int64_t columns, int64_t rows)
      : random_(1), weights_(RandomWeights(type, rows, columns, random_)), team_(ThreadCount()) {
    is_packed_ = CanPack(type, columns);
    weight_bytes_ = is_packed_ ? PackedBytes(type, rows, columns) : weights_.bytes.size();
    copies_ = kBytesOfCopies / weight_bytes_ + 1;
    stride_ = (weight_bytes_ + 63) / 64 * 64;
    copied_ = std::make_unique<AlignedBytes>(stride_ * copies_);
    if (is_packed_) {
      Pack(weights_, copied_->data(), team_, BestInstructionSet());
    } else {
      std::memcpy(copied_->data(), weights_.data(), weights_.bytes.size() - 1);
    }
    for (size_t i = 1; i < copies_; ++i) {
      std::memcpy(copied_->data() + i * stride_, copied_->data(), weight_bytes_);
    }
    std::normal_distribution<float> bell(0, 1);
    input_.resize(static_cast<size_t>(kMostColumns * columns));
    for (float& x : input_) x = bell(random_);
    output_.resize(static_cast<size_t>(kMostColumns * rows));
    for (int64_t c = 0; c < kMostColumns; ++c) {
      inputs_.push_back(input_.data() + c * columns);
      outputs_.push_back(output_.data() + c * rows);
    }
  }

  size_t weight_bytes() const { return weight_bytes_; }
  int64_t weights() const { return weights_.rows * weights_.columns; }

  void Multiply(int64_t columns, InstructionSet set) {
    MatMulJob job = {weights_.type, weights_.rows, weights_.columns};
    job.weights = copied_->data() + stride_ * (turn_++ % copies_);
    job.row_bytes = weights_.row_bytes;
    job.packed = is_packed_;
    job.inputs = std::span(inputs_).first(static_cast<size_t>(columns));
    job.outputs = std::span(outputs_).first(static_cast<size_t>(columns));
    scratch_.resize(MatMulScratchBytes(job, team_.size()));
    team_.Run([&](TeamMember& member) { MatMul(job, scratch_.data(), member, set); });
  }

  bool AgreesWithGeneric(int64_t columns) {
    Multiply(columns, InstructionSet::kGeneric);
    const std::vector<float> expected = output_;
    std::fill(output_.begin(), output_.end(), 0.0f);
    Multiply(columns, BestInstructionSet());
    return std::memcmp(output_.data(), expected.data(),
                       static_cast<size_t>(columns * weights_.rows) * sizeof(float)) == 0;
  }

 private:
  std::mt19937_64 random_;
  WeightMatrix weights_;
  ThreadTeam team_;
  bool is_packed_ = false;
  size_t weight_bytes_ = 0, copies_ = 0, stride_ = 0, turn_ = 0;
  std::unique_ptr<AlignedBytes> copied_;
  std::vector<float> input_, output_;
  std::vector<const float*> inputs_;
  std::vector<float*> outputs_;
  std::vector<uint8_t> scratch_;
};

// The workload of the benchmarks before: those of one matrix follow each other.
Workload& WorkloadOf(WeightType type, int64_t columns, int64_t rows) {
  static std::unique_ptr<Workload> workload;
  static std::tuple<WeightType, int64_t, int64_t> shape;
  if (workload == nullptr || shape != std::tuple(type, columns, rows)) {
    workload.reset();
    workload = std::make_unique<Workload>(type, columns, rows);
    shape = {type, columns, rows};
  }
  return *workload;
}

struct Shape {
  WeightType type;
  int64_t columns;
  int64_t rows;
  int64_t inputs;
};

void Run(benchmark::State& state, const Shape& shape) {
  Workload& workload = WorkloadOf(shape.type, shape.columns, shape.rows);
  if (!workload.AgreesWithGeneric(std::min<int64_t>(shape.inputs, 3))) {
    state.SkipWithError("the product is not that of the portable kernels");
    return;
  }
  for (auto _ : state) workload.Multiply(shape.inputs, BestInstructionSet());
  const auto per_second = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["MAC/s"] =
      benchmark::Counter(static_cast<double>(workload.weights() * shape.inputs), per_second);
  state.counters["B/s"] =
      benchmark::Counter(static_cast<double>(workload.weight_bytes()), per_second);
}

void RunPacking(benchmark::State& state, WeightType type) {
  std::mt19937_64 random(1);
  const WeightMatrix weights = RandomWeights(type, 8960, 1536, random);
  ThreadTeam team(ThreadCount());
  AlignedBytes packed(PackedBytes(type, weights.rows, weights.columns));
  for (auto _ : state) Pack(weights, packed.data(), team, BestInstructionSet());
  state.counters["B/s"] = benchmark::Counter(static_cast<double>(weights.bytes.size()),
                                             benchmark::Counter::kIsIterationInvariantRate);
}

int Main(int argc, char** argv) {
  for (const WeightType type : kAllWeightTypes) {
    for (const auto& [columns, rows] : {std::pair<int64_t, int64_t>{1536, 8960}, {8960, 1536}}) {
      for (const int64_t inputs : {1, 2, 4, 6, 8, 12, 16, 32, 64, 512}) {
        const Shape shape = {type, columns, rows, inputs};
        const std::string name = std::string(WeightTypeName(type)) + "/" + std::to_string(columns) +
                                 "x" + std::to_string(rows) + "/" + std::to_string(inputs);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { Run(s, shape); })
            ->Unit(benchmark::kMicrosecond)
            ->UseRealTime();
      }
    }
    if (!CanPack(type, 1536)) continue;
    benchmark::RegisterBenchmark((std::string("pack/") + WeightTypeName(type)).c_str(),
                                 [=](benchmark::State& s) { RunPacking(s, type); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::printf("%s, %d threads\n", std::string(InstructionSetName(BestInstructionSet())).c_str(),
              ThreadCount());
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  return foretoken::Main(argc, argv);
}
