#ifndef FORETOKEN_KERNELS_ATTENTION_H_
#define FORETOKEN_KERNELS_ATTENTION_H_

#include <cstddef>
#include <cstdint>

#include "kernels/attention_job.h"
#include "kernels/attention_plan.h"
#include "kernels/instruction_set.h"
#include "kernels/thread_team.h"

namespace foretoken {

// Softmax attention whose result for a (row, head) depends, to the last bit, on its own query and
// on the keys, values, positions and mask numbers of the cells that the row sees: not on other
// rows, other cells, where cells lie, how many threads run, nor the instruction set.
//
// The rule: logits are sums over the head's elements in their order by fused multiply-add; the
// cells of 64 positions share one maximum; softmax runs online over such blocks within a span of
// 512 positions; spans are merged in their order (attention_plan.h says what is a position where
// those of the cells do not serve). Infinities and NaNs go by IEEE rules, every NaN is written as
// the same one, and a cell that a row does not see is as if it were not there. A row that sees none
// is zero.

// Whether Attend can run it: head counts that divide, head sizes up to kMaxHeadSize, in whole
// blocks for kQ8_0.
bool SupportsAttention(const AttentionJob& job);

// Bytes that Attend needs at `scratch`, aligned to 64.
size_t AttentionScratchBytes(const AttentionJob& job, const AttentionPlan& plan, int32_t threads);

// Every member of a team calls it with the same arguments at the beginning of a phase (nothing
// taken X `plan` was built from the job's mask, and may serve any number of jobs.
void Attend(const AttentionJob& job, const AttentionPlan& plan, void* scratch, TeamMember& member,
            InstructionSet set = BestInstructionSet());

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_H_
