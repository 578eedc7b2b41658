#ifndef FORETOKEN_SPECULATIVE_SUFFIX_DRAFT_H_
#define FORETOKEN_SPECULATIVE_SUFFIX_DRAFT_H_

#include <cstddef>

#include "speculative/draft_model.h"
#include "speculative/suffix_index.h"

namespace foretoken {

// A session's own text as a draft source: what followed the last tokens when they occurred before
// (arXiv 2411.04975). Runs no model.
class SuffixDraft : public DraftModel {
 public:
  SuffixDraft();

  DraftSourceKind kind() const override { return DraftSourceKind::kSuffix; }
  Result<Draft> GenerateDraft(Session& session, int32_t k) override;

 private:
  SuffixIndex index_;
  size_t indexed_ = 0;  // tokens of the session that are in the index
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SUFFIX_DRAFT_H_
