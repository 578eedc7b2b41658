#include "kernels/attention.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

#include "kernels/attention_kernels.h"

namespace foretoken {
namespace {

// A tile and KV head that is more than such a part of a thread's share is computed by several
// members; smaller ones by one, which keeps their states in its cache. The spans are merged in the
// same way, so the bits are the same.
constexpr int64_t kItemsPerThread = 4;

// Reading a block's keys and values costs as much as so many pairs.
constexpr int64_t kPairsOfGathering = 6;

// (row, head) pairs that a member takes at a time when spans are merged.
constexpr int64_t kMergedTogether = 8;

size_t RoundUp(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

size_t PaddedHead(int32_t size) {
  return static_cast<size_t>(size + 15) / 16 * 16;
}

// How a job is divided and where its scratch memory is. The same for every member.
class Layout {
 public:
  Layout(const AttentionJob& job, const AttentionPlan& plan, int32_t threads)
      : group_(job.heads / job.kv_heads),
        kv_heads_(job.kv_heads),
        state_floats_(kStateHeader + PaddedHead(job.head_size_v)) {
    int32_t most_rows = 0;
    int64_t cost = 0;
    for (int32_t t = 0; t < plan.tile_count(); ++t) {
      most_rows = std::max(most_rows, plan.tile(t).row_count());
      cost += Cost(plan.tile(t)) * kv_heads_;
    }
    largest_item_ = threads > 1 ? cost / (kItemsPerThread * threads) : cost;
    tile_floats_ = static_cast<size_t>(most_rows) * static_cast<size_t>(group_) * state_floats_;
    work_bytes_ = AttentionWorkspaceBytes(job, most_rows);
    for (int32_t t = 0; t < plan.tile_count(); ++t) {
      if (IsSplit(plan.tile(t))) split_states_ += StatesOf(plan.tile(t));
    }
  }

  int32_t group() const { return group_; }                // heads per KV head
  size_t state_floats() const { return state_floats_; }   // of one (row, head)
  size_t tile_floats() const { return tile_floats_; }     // of a tile's states for one KV head
  size_t work_bytes() const { return work_bytes_; }       // of one member's workspace
  int64_t split_states() const { return split_states_; }  // of the spans of all split tiles

  // Of one member: workspace, and the states of a tile for a span and for all before it.
  size_t member_bytes() const { return work_bytes_ + 2 * tile_floats_ * sizeof(float); }

  // Whether the tile's spans are computed apart and merged afterwards.
  bool IsSplit(const AttentionPlan::Tile& tile) const {
    return SpansPerItem(tile) < tile.span_count();
  }

  // How many spans, for one KV head, a member computes one after the other.
  int32_t SpansPerItem(const AttentionPlan::Tile& tile) const {
    const int64_t cost = Cost(tile);
    if (cost <= largest_item_) return std::max(tile.span_count(), 1);
    return std::max(1, static_cast<int32_t>(tile.span_count() * largest_item_ / cost));
  }

  // Parts of a tile that members take.
  int32_t ItemsPerKvHead(const AttentionPlan::Tile& tile) const {
    const int32_t spans = SpansPerItem(tile);
    return std::max((tile.span_count() + spans - 1) / spans, 1);
  }

  // A split tile's states: by KV head, span, row and head of the group.
  int64_t StatesOf(const AttentionPlan::Tile& tile) const {
    return int64_t{kv_heads_} * tile.span_count() * tile.row_count() * group_;
  }

 private:
  // Of a tile for one KV head.
  int64_t Cost(const AttentionPlan::Tile& tile) const {
    const int64_t pairs = int64_t{tile.row_count()} * group_;
    return static_cast<int64_t>(tile.order.size()) * (pairs + kPairsOfGathering);
  }

  int32_t group_;
  int32_t kv_heads_;
  size_t state_floats_;
  size_t tile_floats_ = 0;
  size_t work_bytes_ = 0;
  int64_t largest_item_ = 0;
  int64_t split_states_ = 0;
};

// One member's part of Attend.
class Attender {
 public:
  Attender(const AttentionJob& job, const AttentionPlan& plan, void* scratch, TeamMember& member,
           InstructionSet set)
      : job_(job),
        plan_(plan),
        member_(member),
        kernels_(AttentionKernelsOf(set)),
        layout_(job, plan, member.size()) {
    char* const all = static_cast<char*>(scratch);
    char* const mine = all + layout_.member_bytes() * static_cast<size_t>(member.index());
    workspace_ = mine;
    span_states_ = reinterpret_cast<float*>(mine + layout_.work_bytes());
    states_ = span_states_ + layout_.tile_floats();
    split_states_ =
        reinterpret_cast<float*>(all + layout_.member_bytes() * static_cast<size_t>(member.size()));
  }

  void Run() {
    ComputeItems();
    member_.Barrier();
    if (layout_.split_states() == 0) return;
    MergeSplitTiles();
    member_.Barrier();
  }

 private:
  void ComputeItems() {
    // The last tiles of a prompt see the most cells; they go first.
    int32_t t = plan_.tile_count() - 1;
    int64_t begin = 0;  // the first item of tile t
    float* states = split_states_;
    for (int64_t item = member_.Take(); t >= 0;) {
      const auto& tile = plan_.tile(t);
      const int32_t items = layout_.ItemsPerKvHead(tile);
      const int64_t end = begin + int64_t{items} * job_.kv_heads;
      if (item >= end) {
        begin = end;
        if (layout_.IsSplit(tile)) states = StateOf(states, layout_.StatesOf(tile));
        --t;
        continue;
      }
      const auto kv_head = static_cast<int32_t>((item - begin) / items);
      if (layout_.IsSplit(tile)) {
        ComputeSpans(tile, kv_head, static_cast<int32_t>((item - begin) % items), states);
      } else {
        ComputeTile(tile, kv_head);
      }
      item = member_.Take();
    }
  }

  void ComputeTile(const AttentionPlan::Tile& tile, int32_t kv_head) {
    const int32_t pairs = tile.row_count() * layout_.group();
    for (int32_t i = 0; i < pairs; ++i) Clear(StateOf(states_, i));
    for (int32_t span = 0; span < tile.span_count(); ++span) {
      ComputeSpan(tile, kv_head, span, span + 1 < tile.span_count(), span_states_);
      for (int32_t i = 0; i < pairs; ++i) {
        kernels_.merge(job_, StateOf(span_states_, i), StateOf(states_, i));
      }
    }
    for (int32_t i = 0; i < pairs; ++i) {
      const int32_t row = tile.rows[static_cast<size_t>(i / layout_.group())];
      Finish(row, kv_head * layout_.group() + i % layout_.group(), StateOf(states_, i));
    }
  }

  // Item `item` of a split tile and KV head.
  void ComputeSpans(const AttentionPlan::Tile& tile, int32_t kv_head, int32_t item, float* states) {
    const int32_t begin = item * layout_.SpansPerItem(tile);
    const int32_t end = std::min(begin + layout_.SpansPerItem(tile), tile.span_count());
    for (int32_t span = begin; span < end; ++span) {
      ComputeSpan(tile, kv_head, span, span + 1 < end, SplitState(tile, states, kv_head, span, 0));
    }
  }

  void MergeSplitTiles() {
    float* states = split_states_;
    int64_t begin = 0;  // the first (row, head) of tile t
    int64_t first = member_.Take(kMergedTogether);
    for (int32_t t = plan_.tile_count() - 1; t >= 0; --t) {
      const auto& tile = plan_.tile(t);
      if (!layout_.IsSplit(tile)) continue;
      const int64_t count = int64_t{tile.row_count()} * job_.heads;
      for (; first < begin + count; first = member_.Take(kMergedTogether)) {
        const int64_t end = std::min(first + kMergedTogether, begin + count);
        for (int64_t i = first - begin; i < end - begin; ++i) {
          MergeSpans(tile, states, static_cast<int32_t>(i / job_.heads),
                     static_cast<int32_t>(i % job_.heads));
        }
      }
      // The next tile's begin where a whole portion does.
      begin += (count + kMergedTogether - 1) / kMergedTogether * kMergedTogether;
      states = StateOf(states, layout_.StatesOf(tile));
    }
  }

  // For row r of a split tile.
  void MergeSpans(const AttentionPlan::Tile& tile, float* states, int32_t r, int32_t head) {
    Clear(states_);
    const int32_t kv_head = head / layout_.group();
    const int32_t pair = r * layout_.group() + head % layout_.group();
    for (int32_t span = 0; span < tile.span_count(); ++span) {
      kernels_.merge(job_, SplitState(tile, states, kv_head, span, pair), states_);
    }
    Finish(tile.rows[static_cast<size_t>(r)], head, states_);
  }

  // goes_on: this member computes the next span of the tile afterwards.
  void ComputeSpan(const AttentionPlan::Tile& tile, int32_t kv_head, int32_t span, bool goes_on,
                   float* states) {
    const int32_t begin = tile.spans[static_cast<size_t>(span)];
    const int32_t end = tile.spans[static_cast<size_t>(span) + 1];
    AttentionSpanTask task{};
    task.job = &job_;
    task.kv_head = kv_head;
    task.rows = tile.rows.data();
    task.row_count = tile.row_count();
    task.block_ids = tile.order.data() + begin;
    task.block_count = end - begin;
    task.cells = tile.cells.data();
    if (goes_on) {
      const ptrdiff_t next = tile.order[static_cast<size_t>(end)];
      task.next_cells = task.cells + next * kAttentionBlock;
    }
    task.visible = tile.visible.data();
    task.add_mask = tile.add_mask;
    task.states = states;
    task.workspace = workspace_;
    kernels_.compute_span(task);
  }

  void Clear(float* state) const {
    std::memset(state, 0, layout_.state_floats() * sizeof(float));
    state[0] = -std::numeric_limits<float>::infinity();
  }

  void Finish(int32_t row, int32_t head, const float* state) const {
    char* const output = reinterpret_cast<char*>(job_.output) +
                         static_cast<size_t>(row) * job_.output_row_bytes +
                         static_cast<size_t>(head) * job_.output_head_bytes;
    kernels_.finish(job_, head, state, reinterpret_cast<float*>(output));
  }

  float* SplitState(const AttentionPlan::Tile& tile, float* states, int32_t kv_head, int32_t span,
                    int32_t pair) const {
    const int64_t task = int64_t{kv_head} * tile.span_count() + span;
    return StateOf(states, task * tile.row_count() * layout_.group() + pair);
  }

  float* StateOf(float* states, int64_t i) const {
    return states + i * static_cast<int64_t>(layout_.state_floats());
  }

  const AttentionJob& job_;
  const AttentionPlan& plan_;
  TeamMember& member_;
  const AttentionKernels& kernels_;
  const Layout layout_;
  void* workspace_;
  float* span_states_;   // of the span that is computed
  float* states_;        // of the spans before, merged
  float* split_states_;  // of the split tiles, the last tile first
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
  const size_t pairs = static_cast<size_t>(rows) * static_cast<size_t>(job.heads / job.kv_heads);
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
  const Layout layout(job, plan, threads);
  return layout.member_bytes() * static_cast<size_t>(threads) +
         static_cast<size_t>(layout.split_states()) * layout.state_floats() * sizeof(float);
}

void Attend(const AttentionJob& job, const AttentionPlan& plan, void* scratch, TeamMember& member,
            InstructionSet set) {
  Attender(job, plan, scratch, member, set).Run();
}

}  // namespace foretoken
