// Times attention per layer, for the layers of a model one after the other, so that keys and values
// come from memory as they do in a forward. Checks first that a few rows are what double precision
// gives. Models by heads/KV heads/head size; two threads unless FORETOKEN_BENCH_THREADS says
// otherwise.
//   attention_bench --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/attention.h"
#include "kernels/attention_plan.h"
#include "kernels/thread_team.h"

namespace foretoken {
namespace {

struct Model {
  const char* name;
  int32_t layers;
  int32_t heads;
  int32_t kv_heads;
  int32_t head_size;
};

constexpr Model kModels[] = {
    {"12/2/128", 28, 12, 2, 128}, {"9/3/64", 30, 9, 3, 64}, {"14/2/64", 24, 14, 2, 64}};

constexpr uint16_t kHidden = 0xfc00;

int32_t Threads() {
  const char* wanted = std::getenv("FORETOKEN_BENCH_THREADS");
  return wanted == nullptr ? 2 : std::atoi(wanted);
}

uint16_t Half(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000;
  const int32_t exponent = static_cast<int32_t>(bits >> 23 & 255) - 112;
  return static_cast<uint16_t>(exponent <= 0 ? sign : sign | exponent << 10 | (bits >> 13 & 1023));
}

constexpr size_t kAlignment = 64;

unsigned char* Align(unsigned char* at) {
  return at + (kAlignment - reinterpret_cast<uintptr_t>(at) % kAlignment) % kAlignment;
}

// A sequence of `cells` tokens whose last `rows` ask, in every layer of a model.
class Forward {
 public:
  Forward(const Model& model, KvType type, int32_t rows, int32_t cells, bool window)
      : model_(model), type_(type), rows_(rows), cells_(cells), team_(Threads()) {
    std::mt19937 random(1);
    std::normal_distribution<float> bell;
    const auto head = static_cast<size_t>(model.head_size);
    head_bytes_ = type == KvType::kQ8_0 ? head / 32 * 34 : head * 2;
    const size_t layer_bytes =
        head_bytes_ * static_cast<size_t>(model.kv_heads) * static_cast<size_t>(cells);
    std::vector<unsigned char> layer(layer_bytes);
    for (size_t i = 0; i + 1 < layer_bytes; i += 2) {
      const size_t in_block = i % 34;
      if (type == KvType::kQ8_0 && in_block != 0) {
        layer[i] = static_cast<unsigned char>(random());
        layer[i + 1] = static_cast<unsigned char>(random());
        continue;
      }
      const uint16_t half = Half(type == KvType::kQ8_0 ? 0.02f : bell(random));
      std::memcpy(layer.data() + i, &half, 2);
    }
    // Aligned as ggml's buffers are.
    for (int32_t l = 0; l < 2 * model.layers; ++l) {
      std::vector<unsigned char> aligned(layer_bytes + kAlignment);
      std::memcpy(Align(aligned.data()), layer.data(), layer_bytes);
      cache_.push_back(std::move(aligned));
    }
    query_.resize(static_cast<size_t>(rows) * static_cast<size_t>(model.heads) * head);
    for (float& x : query_) x = bell(random);
    output_.resize(query_.size());
    for (int32_t r = 0; r < rows; ++r) {
      for (int32_t c = 0; c < cells; ++c) {
        const int32_t distance = cells - rows + r - c;
        mask_.push_back(distance < 0 || (window && distance >= 1024) ? kHidden : 0);
      }
    }
  }

  AttentionMask Mask() const {
    AttentionMask mask;
    mask.rows = rows_;
    mask.cells = cells_;
    mask.mask = mask_.data();
    mask.mask_row_bytes = static_cast<size_t>(cells_) * 2;
    mask.heads_per_kv_head = model_.heads / model_.kv_heads;
    return mask;
  }

  AttentionJob Job(int32_t layer) {
    const auto head_bytes = static_cast<size_t>(model_.head_size) * 4;
    AttentionJob job{};
    job.heads = model_.heads;
    job.kv_heads = model_.kv_heads;
    job.head_size_k = job.head_size_v = model_.head_size;
    job.query = query_.data();
    job.output = output_.data();
    job.query_head_bytes = job.output_head_bytes = head_bytes;
    job.query_row_bytes = job.output_row_bytes = head_bytes * static_cast<size_t>(model_.heads);
    job.key = Align(cache_[size_t{2} * static_cast<size_t>(layer)].data());
    job.value = Align(cache_[size_t{2} * static_cast<size_t>(layer) + 1].data());
    job.key_type = job.value_type = type_;
    job.key_head_bytes = job.value_head_bytes = head_bytes_;
    job.key_cell_bytes = job.value_cell_bytes = head_bytes_ * static_cast<size_t>(model_.kv_heads);
    job.mask = mask_.data();
    job.mask_row_bytes = static_cast<size_t>(cells_) * 2;
    job.scale = 1 / std::sqrt(static_cast<float>(model_.head_size));
    return job;
  }

  void Prepare() {
    plan_.Build(Mask());
    scratch_.resize(AttentionScratchBytes(Job(0), plan_, team_.size()) + kAlignment);
  }

  void Run() {
    unsigned char* const scratch = Align(scratch_.data());
    team_.Run([&](TeamMember& member) {
      for (int32_t l = 0; l < model_.layers; ++l) Attend(Job(l), plan_, scratch, member);
    });
  }

  bool Check() {
    const unsigned char* const key = Align(cache_[0].data());
    const unsigned char* const value = Align(cache_[1].data());
    const auto size = static_cast<size_t>(model_.head_size);
    for (const int32_t row : {0, rows_ - 1}) {
      for (const int32_t head : {0, model_.heads - 1}) {
        const size_t at = static_cast<size_t>(row * model_.heads + head) * size;
        const auto group = static_cast<size_t>(head / (model_.heads / model_.kv_heads));
        double sum = 0;
        std::vector<double> wanted(size, 0.0);
        for (int32_t c = 0; c < cells_; ++c) {
          if (mask_[static_cast<size_t>(row) * static_cast<size_t>(cells_) +
                    static_cast<size_t>(c)] == kHidden)
            continue;
          const size_t cell =
              (static_cast<size_t>(c) * static_cast<size_t>(model_.kv_heads) + group) * head_bytes_;
          double logit = 0;
          for (size_t i = 0; i < size; ++i) {
            logit += double{query_[at + i]} * Element(key + cell, i);
          }
          const double weight = std::exp(logit / std::sqrt(static_cast<double>(size)));
          sum += weight;
          for (size_t i = 0; i < size; ++i) {
            wanted[i] += weight * Element(value + cell, i);
          }
        }
        for (size_t i = 0; i < size; ++i) {
          if (!(std::fabs(output_[at + i] - wanted[i] / sum) < 1e-5)) return false;
        }
      }
    }
    return true;
  }

  int32_t layers() const { return model_.layers; }

 private:
  static double Value(const unsigned char* at) {
    uint16_t half;
    std::memcpy(&half, at, 2);
    const double size = std::ldexp(1024 + (half & 1023), (half >> 10 & 31) - 25);
    return (half & 0x7fff) == 0 ? 0 : (half & 0x8000) != 0 ? -size : size;
  }
  double Element(const unsigned char* head, size_t i) const {
    if (type_ == KvType::kF16) return Value(head + 2 * i);
    const unsigned char* const block = head + i / 32 * 34;
    return Value(block) * static_cast<int8_t>(block[2 + i % 32]);
  }

  const Model model_;
  const KvType type_;
  const int32_t rows_;
  const int32_t cells_;
  size_t head_bytes_;
  std::vector<std::vector<unsigned char>> cache_;
  std::vector<float> query_;
  std::vector<float> output_;
  std::vector<uint16_t> mask_;
  std::vector<unsigned char> scratch_;
  AttentionPlan plan_;
  ThreadTeam team_;
};

void BM_Attend(benchmark::State& state, const Model& model, KvType type, bool window) {
  const auto rows = static_cast<int32_t>(state.range(0));
  const auto cells = static_cast<int32_t>(state.range(1));
  Forward forward(model, type, rows, cells, window);
  forward.Prepare();
  forward.Run();
  if (!forward.Check()) {
    state.SkipWithError("the answer is wrong");
    return;
  }
  for (auto _ : state) forward.Run();
  const double layers = forward.layers();
  state.counters["per_layer"] = benchmark::Counter(
      layers, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  // Multiplications with additions, as if every row saw every cell.
  const double fma = 2.0 * rows * cells * model.heads * model.head_size * layers;
  state.counters["fma"] = benchmark::Counter(fma, benchmark::Counter::kIsIterationInvariantRate);
}

void BM_Plan(benchmark::State& state) {
  const auto rows = static_cast<int32_t>(state.range(0));
  const auto cells = static_cast<int32_t>(state.range(1));
  Forward forward({"", 1, 1, 1, 32}, KvType::kF16, rows, cells, false);
  AttentionMask mask = forward.Mask();
  mask.heads_per_kv_head = 6;
  // Cells in no order, as in a cache that many have used.
  std::vector<int32_t> positions(static_cast<size_t>(cells));
  for (int32_t c = 0; c < cells; ++c) {
    positions[static_cast<size_t>(c)] = static_cast<int32_t>(int64_t{c} * 1021 % cells);
  }
  if (state.range(2) != 0) mask.positions = positions.data();
  AttentionPlan plan;
  for (auto _ : state) plan.Build(mask);
}
BENCHMARK(BM_Plan)
    ->ArgNames({"rows", "cells", "shuffled"})
    ->ArgsProduct({{1, 16}, {4096, 16384}, {0, 1}})
    ->ArgsProduct({{512}, {4096}, {0, 1}})
    ->Unit(benchmark::kMicrosecond);

void Register() {
  for (const Model& model : kModels) {
    for (const KvType type : {KvType::kF16, KvType::kQ8_0}) {
      const std::string name =
          std::string("Attend/") + model.name + (type == KvType::kF16 ? "/f16" : "/q8_0");
      benchmark::RegisterBenchmark(
          name.c_str(),
          [&model, type](benchmark::State& state) { BM_Attend(state, model, type, false); })
          ->ArgNames({"rows", "cells"})
          ->ArgsProduct({{1, 2, 4, 8, 16}, {32, 1024, 4096}})
          ->Args({512, 512})
          ->Args({512, 4096})
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
  benchmark::RegisterBenchmark(
      "Attend/12/2/128/f16/window_1024",
      [](benchmark::State& state) { BM_Attend(state, kModels[0], KvType::kF16, true); })
      ->ArgNames({"rows", "cells"})
      ->Args({8, 4096})
      ->Args({512, 4096})
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  foretoken::Register();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
