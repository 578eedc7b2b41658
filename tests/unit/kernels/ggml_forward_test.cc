#include "kernels/ggml_forward.h"

#include <cstdint>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "unit/kernels/ggml_graph.h"

namespace foretoken {
namespace {

TEST(GgmlForwardTest, ScopesNestAndBelongToTheirThread) {
  ThreadTeam team(1);
  GgmlForward outer(&team, nullptr, nullptr);
  GgmlForward inner(&team, nullptr, nullptr);
  EXPECT_EQ(ForwardScope::Current(), nullptr);
  {
    const ForwardScope outer_scope(&outer);
    {
      const ForwardScope inner_scope(&inner);
      EXPECT_EQ(ForwardScope::Current(), &inner);
      const ForwardScope off(nullptr);
      EXPECT_EQ(ForwardScope::Current(), nullptr);
    }
    EXPECT_EQ(ForwardScope::Current(), &outer);
    std::thread([] { EXPECT_EQ(ForwardScope::Current(), nullptr); }).join();
  }
  EXPECT_EQ(ForwardScope::Current(), nullptr);
}

TEST(GgmlForwardTest, APlanLastsForOneGraph) {
  ThreadTeam team(1);
  GgmlForward forward(&team, nullptr, nullptr);
  GgmlGraph graph;
  ggml_tensor* keys = ggml_new_tensor_3d(graph.tensors(), GGML_TYPE_F16, 64, 8, 2);
  ggml_tensor* mask = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F16, 8, 1);
  const AttentionMask one_row = {.rows = 1, .cells = 8};
  forward.NoteLayout();
  forward.NoteCompute();
  const AttentionPlan* plan = &forward.PlanFor(*keys, mask, one_row);
  EXPECT_EQ(plan, &forward.PlanFor(*keys, mask, one_row));
  EXPECT_NE(plan, &forward.PlanFor(*keys, nullptr, one_row));
  EXPECT_NE(plan, &forward.PlanFor(*keys, mask, {.rows = 1, .cells = 8, .heads_per_kv_head = 2}));
  // The next graph may have another mask at the same address.
  forward.NoteLayout();
  forward.NoteCompute();
  EXPECT_EQ(forward.PlanFor(*keys, mask, {.rows = 3, .cells = 8}).tile(0).row_count(), 3);
}

TEST(GgmlForwardTest, ScratchIsAligned) {
  ThreadTeam team(1);
  GgmlForward forward(&team, nullptr, nullptr);
  for (const size_t bytes : {size_t{1}, size_t{1000}, size_t{100000}, size_t{10}}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(forward.Scratch(bytes)) % 64, 0u);
  }
}

TEST(GgmlForwardTest, TheReportHearsWhatRanStock) {
  ThreadTeam team(1);
  KernelReport report;
  GgmlForward forward(&team, nullptr, &report);
  GgmlGraph graph;
  ggml_tensor* a = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F32, 8, 4);
  forward.NoteStock(*ggml_out_prod(graph.tensors(), a, a), "because");
  EXPECT_EQ(report.stock_operations, std::set<std::string>{"OUT_PROD (because)"});
  EXPECT_EQ(forward.stock_operations(), report.stock_operations);
}

}  // namespace
}  // namespace foretoken
