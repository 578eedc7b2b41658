#ifndef FORETOKEN_KERNELS_GGML_FORWARD_H_
#define FORETOKEN_KERNELS_GGML_FORWARD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <ggml.h>

#include "kernels/attention_plan.h"
#include "kernels/kernel_report.h"
#include "kernels/thread_team.h"

namespace foretoken {

// Where the tokens of a KV cache lie: the seam to the library that owns the cache.
class CellPositions {
 public:
  virtual ~CellPositions() = default;
  // Whether `tensor` is a view of a cache whose cells are known.
  virtual bool Knows(const ggml_tensor& tensor) const = 0;
  // The position in its sequence of each of the first `cells` cells of the cache that `keys` is a
  // view of, negative for an empty cell, as they are in the forward that runs; nothing for a cache
  // that is not known. Valid until the next call.
  virtual std::span<const int32_t> Of(const ggml_tensor& keys, int64_t cells) = 0;
};

// What the kernels need to know of one ggml context to take its operations over: the threads, the
// cells' positions, and what one forward's operations share. While a ForwardScope of it is alive on
// a thread, that thread's graphs (of ggml, with one ggml thread) run on these kernels.
// One thread at a time. What it is made with must outlive it.
class GgmlForward {
 public:
  // `positions` may be null: cells are then taken in the order of their indices. `report` as well.
  GgmlForward(ThreadTeam* team, CellPositions* positions, KernelReport* report)
      : team_(team), positions_(positions), report_(report) {}

  ThreadTeam& team() { return *team_; }
  CellPositions* positions() { return positions_; }
  KernelReport* report() { return report_; }

  // As KernelReport::stock_operations, of all forwards so far.
  const std::set<std::string>& stock_operations() const { return stock_operations_; }

  // For the operations. A graph is first laid out, operation by operation, and then computed.
  void NoteLayout();
  void NoteCompute() { computing_ = true; }
  void NoteStock(const ggml_tensor& operation, const char* reason);
  // The plan that all attention of the graph with this mask and these numbers of cells and heads
  // shares; `shape`'s positions are filled in. Without a mask it is that of these keys alone.
  const AttentionPlan& PlanFor(const ggml_tensor& keys, const ggml_tensor* mask,
                               AttentionMask shape);
  // Memory for one operation, aligned to 64 bytes; its content is lost with the next call.
  void* Scratch(size_t bytes);

 private:
  struct CachedPlan {
    const ggml_tensor* mask = nullptr;
    const ggml_tensor* keys = nullptr;  // where there is no mask
    int32_t heads_per_kv_head = 1;
    AttentionPlan plan;
  };

  ThreadTeam* const team_;
  CellPositions* const positions_;
  KernelReport* const report_;
  std::set<std::string> stock_operations_;
  // Of the graph that is computed; those beyond plan_count_ keep their memory for the next one.
  std::vector<std::unique_ptr<CachedPlan>> plans_;
  size_t plan_count_ = 0;
  std::vector<std::byte> scratch_;
  bool computing_ = false;
};

// See GgmlForward. Scopes of a thread nest; a null one switches the kernels off within.
class ForwardScope {
 public:
  explicit ForwardScope(GgmlForward* forward);
  ~ForwardScope();
  ForwardScope(const ForwardScope&) = delete;
  ForwardScope& operator=(const ForwardScope&) = delete;

  // That of this thread; null outside of all scopes.
  static GgmlForward* Current();

 private:
  GgmlForward* const outer_;
};

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_GGML_FORWARD_H_
