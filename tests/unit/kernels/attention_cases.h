#ifndef FORETOKEN_UNIT_KERNELS_ATTENTION_CASES_H_
#define FORETOKEN_UNIT_KERNELS_ATTENTION_CASES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/attention.h"
#include "kernels/attention_plan.h"

namespace foretoken {

inline bool Supports(InstructionSet set) {
  const auto sets = SupportedInstructionSets();
  return std::find(sets.begin(), sets.end(), set) != sets.end();
}

inline void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  ASSERT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

// What an attention looks like apart from its rows and cells.
struct AttentionShape {
  int32_t heads = 6;
  int32_t kv_heads = 2;
  int32_t head_size_k = 64;
  int32_t head_size_v = 64;
  KvType key_type = KvType::kF16;
  KvType value_type = KvType::kF16;
  float logit_softcap = 0;
  bool slopes = false;  // ALiBi: the mask holds distances
  bool sinks = false;
  int32_t window = 0;  // a row sees this many positions up to its own; 0: all
};

// One of every kind.
inline std::vector<AttentionShape> VariedShapes() {
  std::vector<AttentionShape> shapes(11);
  shapes[1].head_size_k = shapes[1].head_size_v = 80;
  shapes[2].head_size_k = shapes[2].head_size_v = 96;
  shapes[3].head_size_k = shapes[3].head_size_v = 128;
  shapes[3].heads = 12;
  shapes[4].head_size_k = shapes[4].head_size_v = 256;
  shapes[4].logit_softcap = 3;
  shapes[5].head_size_k = 192;
  shapes[5].head_size_v = 128;
  shapes[5].key_type = KvType::kQ8_0;
  shapes[6].key_type = shapes[6].value_type = KvType::kQ8_0;
  shapes[6].heads = 14;
  shapes[7].key_type = shapes[7].value_type = KvType::kBf16;
  shapes[7].sinks = true;
  shapes[8].key_type = shapes[8].value_type = KvType::kF32;
  shapes[8].heads = shapes[8].kv_heads = 3;
  shapes[8].slopes = true;
  shapes[9].window = 70;
  shapes[9].heads = 9;
  shapes[9].kv_heads = 3;
  shapes[9].sinks = true;
  shapes[10].head_size_k = 37;  // no multiple of anything
  shapes[10].head_size_v = 21;
  shapes[10].logit_softcap = 2;
  shapes[10].slopes = true;
  return shapes;
}

// A token of a cache. What its key and value hold follows from `content` alone.
struct CachedToken {
  uint64_t content = 0;
  int32_t position = 0;
  uint32_t sequences = 1;  // a bit each
};

// A row that asks. What its query holds follows from `content` alone.
struct AskingRow {
  uint64_t content = 0;
  int32_t position = 0;
  int32_t sequence = 0;
};

inline float DecodeF16(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const double fraction = half & 1023;
  double size =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) {
    size = fraction == 0 ? std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  return static_cast<float>((half & 0x8000) != 0 ? -size : size);
}

// Rounds towards zero, which is as good as any for test data.
inline uint16_t EncodeF16(float x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(static_cast<double>(x)), &exponent);
  if (x == 0) return sign;
  if (std::isnan(x)) return 0x7e00;
  if (std::isinf(x)) return static_cast<uint16_t>(sign | 0x7c00);
  if (exponent < -13) {
    return static_cast<uint16_t>(sign | static_cast<int>(std::ldexp(fraction, exponent + 24)));
  }
  const int digits = static_cast<int>(fraction * 2048);  // 1024 to 2047
  return static_cast<uint16_t>(sign | ((exponent + 14) << 10) | (digits - 1024));
}

inline size_t KvBytes(KvType type, int32_t size) {
  const auto n = static_cast<size_t>(size);
  if (type == KvType::kF32) return 4 * n;
  return type == KvType::kQ8_0 ? n / 32 * 34 : 2 * n;
}

inline float DecodeKv(KvType type, const unsigned char* head, int32_t i) {
  uint16_t half = 0;
  float x = 0;
  switch (type) {
    case KvType::kF32:
      std::memcpy(&x, head + 4 * i, 4);
      return x;
    case KvType::kF16:
      std::memcpy(&half, head + 2 * i, 2);
      return DecodeF16(half);
    case KvType::kBf16:
      std::memcpy(reinterpret_cast<char*>(&x) + 2, head + 2 * i, 2);
      return x;
    case KvType::kQ8_0:
      std::memcpy(&half, head + i / 32 * 34, 2);
      return DecodeF16(half) *
             static_cast<float>(static_cast<int8_t>(head[i / 32 * 34 + 2 + i % 32]));
  }
  return x;
}

inline void EncodeKv(KvType type, float x, unsigned char* head, int32_t i) {
  const uint16_t half = type == KvType::kQ8_0 ? EncodeF16(3.0f / 127) : EncodeF16(x);
  switch (type) {
    case KvType::kF32:
      std::memcpy(head + 4 * i, &x, 4);
      break;
    case KvType::kF16:
      std::memcpy(head + 2 * i, &half, 2);
      break;
    case KvType::kBf16:
      std::memcpy(head + 2 * i, reinterpret_cast<char*>(&x) + 2, 2);
      break;
    case KvType::kQ8_0:
      std::memcpy(head + i / 32 * 34, &half, 2);
      head[i / 32 * 34 + 2 + i % 32] =
          static_cast<unsigned char>(std::lround(std::clamp(x, -3.0f, 3.0f) * 127 / 3));
      break;
  }
}

// A cache, rows, and the attention over them.
class AttentionCase {
 public:
  AttentionCase(const AttentionShape& shape, const std::vector<CachedToken>& cache,
                const std::vector<AskingRow>& asking)
      : shape_(shape),
        rows_(static_cast<int32_t>(asking.size())),
        cells_(static_cast<int32_t>(cache.size())),
        key_bytes_(KvBytes(shape.key_type, shape.head_size_k)),
        value_bytes_(KvBytes(shape.value_type, shape.head_size_v)) {
    const auto kv_heads = static_cast<size_t>(shape.kv_heads);
    keys.resize(cache.size() * kv_heads * key_bytes_);
    values.resize(cache.size() * kv_heads * value_bytes_);
    for (size_t c = 0; c < cache.size(); ++c) {
      positions.push_back(cache[c].position);
      std::minstd_rand random(static_cast<uint32_t>(cache[c].content * 2 + 12345));
      for (int32_t g = 0; g < shape.kv_heads; ++g) {
        for (int32_t i = 0; i < shape.head_size_k; ++i) {
          EncodeKv(shape.key_type, Draw(&random), KeyOf(static_cast<int32_t>(c), g), i);
        }
        for (int32_t i = 0; i < shape.head_size_v; ++i) {
          EncodeKv(shape.value_type, Draw(&random), ValueOf(static_cast<int32_t>(c), g), i);
        }
      }
    }
    for (const AskingRow& row : asking) {
      std::minstd_rand random(static_cast<uint32_t>(row.content * 2 + 54321));
      for (int32_t i = 0; i < shape.heads * shape.head_size_k; ++i) {
        queries.push_back(Draw(&random) * 1.5f);
      }
      for (const CachedToken& token : cache) mask.push_back(MaskOf(row, token));
    }
    for (int32_t h = 0; h < shape.heads; ++h) {
      slopes.push_back(std::exp2f(-static_cast<float>(h + 1)));
      sinks.push_back(static_cast<float>(h) * 0.5f - 1);
    }
  }

  AttentionMask Mask() const {
    AttentionMask result;
    result.rows = rows_;
    result.cells = cells_;
    result.mask = mask.empty() ? nullptr : mask.data();
    result.mask_row_bytes = static_cast<size_t>(cells_) * 2;
    result.positions = positions.empty() ? nullptr : positions.data();
    result.heads_per_kv_head = shape_.heads / shape_.kv_heads;
    return result;
  }

  AttentionJob Job(float* output) const {
    AttentionJob job{};
    job.heads = shape_.heads;
    job.kv_heads = shape_.kv_heads;
    job.head_size_k = shape_.head_size_k;
    job.head_size_v = shape_.head_size_v;
    job.query = queries.data();
    job.query_head_bytes = static_cast<size_t>(shape_.head_size_k) * 4;
    job.query_row_bytes = job.query_head_bytes * static_cast<size_t>(shape_.heads);
    job.key = keys.data();
    job.key_head_bytes = key_bytes_;
    job.key_cell_bytes = key_bytes_ * static_cast<size_t>(shape_.kv_heads);
    job.key_type = shape_.key_type;
    job.value = values.data();
    job.value_head_bytes = value_bytes_;
    job.value_cell_bytes = value_bytes_ * static_cast<size_t>(shape_.kv_heads);
    job.value_type = shape_.value_type;
    job.mask = Mask().mask;
    job.mask_row_bytes = Mask().mask_row_bytes;
    job.output = output;
    job.output_head_bytes = static_cast<size_t>(shape_.head_size_v) * 4;
    job.output_row_bytes = job.output_head_bytes * static_cast<size_t>(shape_.heads);
    job.scale = 1 / std::sqrt(static_cast<float>(shape_.head_size_k));
    job.logit_softcap = shape_.logit_softcap;
    job.slopes = shape_.slopes ? slopes.data() : nullptr;
    job.sinks = shape_.sinks ? sinks.data() : nullptr;
    return job;
  }

  size_t row_floats() const {
    return static_cast<size_t>(shape_.heads) * static_cast<size_t>(shape_.head_size_v);
  }

  std::vector<float> Compute(ThreadTeam& team, InstructionSet set = BestInstructionSet()) const {
    std::vector<float> output(static_cast<size_t>(rows_) * row_floats(), -7.0f);
    const AttentionJob job = Job(output.data());
    AttentionPlan plan;
    plan.Build(Mask(), set);
    // No byte more, so that the address sanitizer sees one that is written past it; what is left
    // over from before must not matter.
    const size_t bytes = AttentionScratchBytes(job, plan, team.size());
    void* const scratch = ::operator new (bytes, std::align_val_t{64});
    std::memset(scratch, 0xff, bytes);
    team.Run([&](TeamMember& member) { Attend(job, plan, scratch, member, set); });
    ::operator delete (scratch, std::align_val_t{64});
    return output;
  }

  std::vector<float> Compute(int32_t threads, InstructionSet set = BestInstructionSet()) const {
    ThreadTeam team(threads);
    return Compute(team, set);
  }

  // By the textbook, in double precision.
  std::vector<float> Reference() const {
    std::vector<float> output;
    for (int32_t r = 0; r < rows_; ++r) {
      for (int32_t h = 0; h < shape_.heads; ++h) {
        const std::vector<float> row = ReferenceOf(r, h);
        output.insert(output.end(), row.begin(), row.end());
      }
    }
    return output;
  }

  const unsigned char* KeyOf(int32_t cell, int32_t head) const {
    return keys.data() + static_cast<size_t>(cell * shape_.kv_heads + head) * key_bytes_;
  }
  unsigned char* KeyOf(int32_t cell, int32_t head) {
    return keys.data() + static_cast<size_t>(cell * shape_.kv_heads + head) * key_bytes_;
  }
  const unsigned char* ValueOf(int32_t cell, int32_t head) const {
    return values.data() + static_cast<size_t>(cell * shape_.kv_heads + head) * value_bytes_;
  }
  unsigned char* ValueOf(int32_t cell, int32_t head) {
    return values.data() + static_cast<size_t>(cell * shape_.kv_heads + head) * value_bytes_;
  }

  std::vector<float> queries;
  std::vector<unsigned char> keys;
  std::vector<unsigned char> values;
  std::vector<uint16_t> mask;  // empty: none
  std::vector<int32_t> positions;
  std::vector<float> slopes;
  std::vector<float> sinks;

 private:
  static float Draw(std::minstd_rand* random) {
    return static_cast<float>((*random)() % 4001) / 1000 - 2;
  }

  std::vector<float> ReferenceOf(int32_t r, int32_t h) const {
    const int32_t g = h / (shape_.heads / shape_.kv_heads);
    std::vector<double> logits;
    std::vector<int32_t> seen;
    for (int32_t c = 0; c < cells_; ++c) {
      const float added = mask.empty() ? 0 : DecodeF16(mask[static_cast<size_t>(r * cells_ + c)]);
      if (std::isinf(added) && added < 0) continue;
      const float* query = queries.data() + (r * shape_.heads + h) * shape_.head_size_k;
      double logit = 0;
      for (int32_t i = 0; i < shape_.head_size_k; ++i) {
        logit += double{query[i]} * DecodeKv(shape_.key_type, KeyOf(c, g), i);
      }
      logit *= Job(nullptr).scale;
      const double cap = shape_.logit_softcap;
      if (cap != 0) logit = cap * std::tanh(logit / cap);
      logits.push_back(logit + (shape_.slopes ? slopes[static_cast<size_t>(h)] : 1.0) * added);
      seen.push_back(c);
    }
    double most = shape_.sinks ? sinks[static_cast<size_t>(h)] : -1e30;
    for (const double logit : logits) most = std::max(most, logit);
    double sum = shape_.sinks ? std::exp(sinks[static_cast<size_t>(h)] - most) : 0;
    std::vector<double> value(static_cast<size_t>(shape_.head_size_v), 0.0);
    for (size_t k = 0; k < seen.size(); ++k) {
      const double weight = std::exp(logits[k] - most);
      sum += weight;
      for (int32_t i = 0; i < shape_.head_size_v; ++i) {
        value[static_cast<size_t>(i)] +=
            weight * DecodeKv(shape_.value_type, ValueOf(seen[k], g), i);
      }
    }
    std::vector<float> result;
    for (const double v : value) result.push_back(sum == 0 ? 0 : static_cast<float>(v / sum));
    return result;
  }

  uint16_t MaskOf(const AskingRow& row, const CachedToken& token) const {
    const int32_t distance = row.position - token.position;
    const bool seen = ((token.sequences >> row.sequence) & 1) != 0 && distance >= 0 &&
                      (shape_.window == 0 || distance < shape_.window);
    if (!seen) return 0xfc00;
    return shape_.slopes ? EncodeF16(-static_cast<float>(distance) / 16) : 0;
  }

  AttentionShape shape_;
  int32_t rows_;
  int32_t cells_;
  size_t key_bytes_;
  size_t value_bytes_;
};

// `count` tokens of one sequence, from position 0 on, in cells of the same order.
inline std::vector<CachedToken> CachedSequence(int32_t count, int32_t sequence = 0) {
  std::vector<CachedToken> cache;
  for (int32_t i = 0; i < count; ++i) {
    cache.push_back({static_cast<uint64_t>(i) * 100 + static_cast<uint64_t>(sequence), i,
                     uint32_t{1} << sequence});
  }
  return cache;
}

// Other sequences' tokens (of sequences 8 to 11, at any position) among the cache's, and all of
// them in any order.
inline std::vector<CachedToken> Scattered(std::vector<CachedToken> cache, uint32_t seed) {
  std::mt19937 random(seed);
  const auto strangers = static_cast<int32_t>(cache.size() / 2 + 5);
  for (int32_t i = 0; i < strangers; ++i) {
    cache.push_back({uint64_t{random()}, static_cast<int32_t>(random() % 1500),
                     uint32_t{1} << (8 + random() % 4)});
  }
  std::shuffle(cache.begin(), cache.end(), random);
  return cache;
}

// The rows of a result from `first` on.
inline std::vector<float> RowsOf(const std::vector<float>& result, size_t row_floats, size_t first,
                                 size_t count) {
  const auto begin = result.begin() + static_cast<ptrdiff_t>(first * row_floats);
  return {begin, begin + static_cast<ptrdiff_t>(count * row_floats)};
}

// The last `count` rows of a sequence of `length` tokens.
inline std::vector<AskingRow> LastRows(int32_t length, int32_t count, int32_t sequence = 0) {
  std::vector<AskingRow> rows;
  for (int32_t i = length - count; i < length; ++i) {
    rows.push_back({static_cast<uint64_t>(i) * 100 + static_cast<uint64_t>(sequence), i, sequence});
  }
  return rows;
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_KERNELS_ATTENTION_CASES_H_
