#include "kernels/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/attention_kernels.h"

namespace foretoken {
namespace {

// Tiles times KV heads per thread from which on no tile is split into its spans: whole ones keep
// their states in the cache.
constexpr int64_t kUnitsPerThread = 4;

// (row, head) pairs that a member takes at a time when spans are merged.
constexpr int64_t kMergedTogether = 8;

struct Layout {
  int32_t group;        // heads per KV head
  size_t state_floats;  // of one (row, head)
  size_t tile_floats;   // the states of the largest tile and one KV head
  size_t work_bytes;    // of one member's workspace
  size_t member_bytes;  // of one member: workspace and the states of two tiles
  size_t split_bytes;   // the states of all spans
  bool split;           // spans are computed apart and merged afterwards
};

size_t RoundUp(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

size_t PaddedHead(int32_t size) {
  return static_cast<size_t>(size + 15) / 16 * 16;
}

Layout LayoutOf(const AttentionJob& job, const AttentionPlan& plan, int32_t threads) {
  int32_t most_rows = 0;
  int32_t most_spans = 0;
  size_t rows_of_spans = 0;
  for (int32_t t = 0; t < plan.tile_count(); ++t) {
    const AttentionPlan::Tile& tile = plan.tile(t);
    most_rows = std::max(most_rows, tile.rows);
    most_spans = std::max(most_spans, tile.span_count());
    rows_of_spans += static_cast<size_t>(tile.span_count()) * static_cast<size_t>(tile.rows);
  }
  Layout layout{};
  layout.group = job.heads / job.kv_heads;
  layout.state_floats = kStateHeader + PaddedHead(job.head_size_v);
  layout.tile_floats = static_cast<size_t>(most_rows * layout.group) * layout.state_floats;
  layout.work_bytes = AttentionWorkspaceBytes(job, most_rows);
  layout.member_bytes = layout.work_bytes + 2 * layout.tile_floats * sizeof(float);
  const int64_t units = int64_t{plan.tile_count()} * job.kv_heads;
  layout.split = most_spans > 1 && threads > 1 && units < kUnitsPerThread * threads;
  if (layout.split) {
    layout.split_bytes =
        rows_of_spans * static_cast<size_t>(job.heads) * layout.state_floats * sizeof(float);
  }
  return layout;
}

// One member's part of Attend.
class Attender {
 public:
  Attender(const AttentionJob& job, const AttentionPlan& plan, void* scratch, TeamMember& member,
           InstructionSet set)
      : job_(job),
        plan_(plan),
        member_(member),
        kernels_(AttentionKernelsOf(set)),
        layout_(LayoutOf(job, plan, member.size())) {
    auto* const mine =
        static_cast<char*>(scratch) + layout_.member_bytes * static_cast<size_t>(member.index());
    workspace_ = mine;
    span_states_ = reinterpret_cast<float*>(mine + layout_.work_bytes);
    states_ = span_states_ + layout_.tile_floats;
    split_states_ = reinterpret_cast<float*>(
        static_cast<char*>(scratch) + layout_.member_bytes * static_cast<size_t>(member.size()));
  }

  void Run() {
    if (layout_.split) {
      ComputeSpans();
      member_.Barrier();
      MergeSpans();
    } else {
      ComputeTiles();
    }
    member_.Barrier();
  }

 private:
  // Every tile and KV head by one member from its first span to its last.
  void ComputeTiles() {
    const int64_t units = int64_t{plan_.tile_count()} * job_.kv_heads;
    for (int64_t unit = member_.Take(); unit < units; unit = member_.Take()) {
      // The last tiles of a prompt see the most cells; they go first.
      const auto& tile =
          plan_.tile(plan_.tile_count() - 1 - static_cast<int32_t>(unit / job_.kv_heads));
      const auto kv_head = static_cast<int32_t>(unit % job_.kv_heads);
      const int32_t pairs = tile.rows * layout_.group;
      float* const states = tile.span_count() == 1 ? span_states_ : states_;
      if (states == states_) {
        for (int32_t i = 0; i < pairs; ++i) Clear(StateOf(states_, i));
      }
      for (int32_t span = 0; span < tile.span_count(); ++span) {
        ComputeSpan(tile, span, kv_head, span + 1 < tile.span_count(), span_states_);
        if (states == span_states_) continue;
        for (int32_t i = 0; i < pairs; ++i) {
          kernels_.merge(job_, StateOf(span_states_, i), StateOf(states_, i));
        }
      }
      for (int32_t i = 0; i < pairs; ++i) {
        const int32_t head = kv_head * layout_.group + i % layout_.group;
        Finish(tile.first_row + i / layout_.group, head, StateOf(states, i));
      }
    }
  }

  // Spans one by one, some of one tile and KV head at a time.
  void ComputeSpans() {
    float* states = split_states_;
    int64_t units = 0;
    for (int32_t t = 0; t < plan_.tile_count(); ++t) units += Units(plan_.tile(t));
    const int64_t together = std::max<int64_t>(1, units / (kUnitsPerThread * member_.size()));
    int64_t begin = 0;  // the first unit of the tile
    int32_t t = 0;
    for (int64_t first = member_.Take(together); first < units; first = member_.Take(together)) {
      const int64_t end = std::min(first + together, units);
      for (int64_t unit = first; unit < end; ++unit) {
        while (unit >= begin + Units(plan_.tile(t))) {
          const auto& tile = plan_.tile(t++);
          begin += Units(tile);
          states = StateOf(states, Units(tile) * tile.rows * layout_.group);
        }
        const auto& tile = plan_.tile(t);
        const auto i = static_cast<int32_t>(unit - begin);
        const int32_t span = i % tile.span_count();
        const bool goes_on = unit + 1 < end && span + 1 < tile.span_count();
        ComputeSpan(tile, span, i / tile.span_count(), goes_on,
                    StateOf(states, int64_t{i} * tile.rows * layout_.group));
      }
    }
  }

  void MergeSpans() {
    const int64_t count = int64_t{plan_.rows()} * job_.heads;
    float* states = split_states_;
    int32_t t = 0;
    for (int64_t first = member_.Take(kMergedTogether); first < count;
         first = member_.Take(kMergedTogether)) {
      const int64_t end = std::min(first + kMergedTogether, count);
      for (int64_t i = first; i < end; ++i) {
        const auto row = static_cast<int32_t>(i / job_.heads);
        const auto head = static_cast<int32_t>(i % job_.heads);
        while (row >= plan_.tile(t).first_row + plan_.tile(t).rows) {
          const auto& tile = plan_.tile(t++);
          states = StateOf(states, int64_t{tile.span_count()} * tile.rows * job_.heads);
        }
        MergeSpansOf(plan_.tile(t), states, row, head);
      }
    }
  }

  void MergeSpansOf(const AttentionPlan::Tile& tile, float* states, int32_t row, int32_t head) {
    Clear(states_);
    const int32_t kv_head = head / layout_.group;
    const int32_t pair = (row - tile.first_row) * layout_.group + head % layout_.group;
    for (int32_t span = 0; span < tile.span_count(); ++span) {
      const int64_t unit = int64_t{kv_head} * tile.span_count() + span;
      kernels_.merge(job_, StateOf(states, unit * tile.rows * layout_.group + pair), states_);
    }
    Finish(row, head, states_);
  }

  int64_t Units(const AttentionPlan::Tile& tile) const {
    return int64_t{tile.span_count()} * job_.kv_heads;
  }

  // goes_on: this member computes the next span of the tile afterwards.
  void ComputeSpan(const AttentionPlan::Tile& tile, int32_t span, int32_t kv_head, bool goes_on,
                   float* states) {
    const int32_t begin = tile.spans[static_cast<size_t>(span)];
    const int32_t end = tile.spans[static_cast<size_t>(span) + 1];
    AttentionSpanTask task{};
    task.job = &job_;
    task.kv_head = kv_head;
    task.first_row = tile.first_row;
    task.rows = tile.rows;
    task.block_ids = tile.order.data() + begin;
    task.block_count = end - begin;
    task.cells = tile.cells.data();
    if (goes_on) {
      task.next_cells =
          task.cells + ptrdiff_t{tile.order[static_cast<size_t>(end)]} * kAttentionBlock;
    }
    task.visible = tile.visible.data();
    task.add_mask = tile.add_mask;
    task.states = states;
    task.workspace = workspace_;
    kernels_.compute_span(task);
  }

  void Clear(float* state) const {
    std::memset(state, 0, layout_.state_floats * sizeof(float));
    state[0] = -std::numeric_limits<float>::infinity();
  }

  void Finish(int32_t row, int32_t head, const float* state) const {
    char* const output = reinterpret_cast<char*>(job_.output) +
                         static_cast<size_t>(row) * job_.output_row_bytes +
                         static_cast<size_t>(head) * job_.output_head_bytes;
    kernels_.finish(job_, head, state, reinterpret_cast<float*>(output));
  }

  float* StateOf(float* states, int64_t pair) const {
    return states + pair * static_cast<int64_t>(layout_.state_floats);
  }

  const AttentionJob& job_;
  const AttentionPlan& plan_;
  TeamMember& member_;
  const AttentionKernels& kernels_;
  const Layout layout_;
  void* workspace_;
  float* span_states_;   // of the span that is computed
  float* states_;        // of the spans before, merged
  float* split_states_;  // of all spans, tile by tile, KV head by KV head, span by span
};

}  // namespace

const AttentionKernels& AttentionKernelsOf(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512Vnni) return kAttentionAvx512;
  if (set == InstructionSet::kAvx2 || set == InstructionSet::kAvxVnni) return kAttentionAvx2;
#endif
  static_cast<void>(set);
  return kAttentionGeneric;
}

size_t AttentionWorkspaceBytes(const AttentionJob& job, int32_t rows) {
  const size_t block = std::max(PaddedHead(job.head_size_k), PaddedHead(job.head_size_v));
  const auto pairs = static_cast<size_t>(rows * (job.heads / job.kv_heads));
  const size_t lanes = block + static_cast<size_t>(rows) + pairs;
  return RoundUp(lanes * kAttentionBlock * sizeof(float) + pairs * sizeof(AttentionPair));
}

bool SupportsAttention(const AttentionJob& job) {
  const auto size_ok = [](KvType type, int32_t size) {
    return size > 0 && size <= kMaxHeadSize && (type != KvType::kQ8_0 || size % 32 == 0);
  };
  return job.kv_heads > 0 && job.heads > 0 && job.heads % job.kv_heads == 0 &&
         size_ok(job.key_type, job.head_size_k) && size_ok(job.value_type, job.head_size_v);
}

size_t AttentionScratchBytes(const AttentionJob& job, const AttentionPlan& plan, int32_t threads) {
  const Layout layout = LayoutOf(job, plan, threads);
  return layout.member_bytes * static_cast<size_t>(threads) + layout.split_bytes;
}

void Attend(const AttentionJob& job, const AttentionPlan& plan, void* scratch, TeamMember& member,
            InstructionSet set) {
  Attender(job, plan, scratch, member, set).Run();
}

}  // namespace foretoken
