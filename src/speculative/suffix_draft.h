#ifndef FORETOKEN_SPECULATIVE_SUFFIX_DRAFT_H_
#define FORETOKEN_SPECULATIVE_SUFFIX_DRAFT_H_

#include <cstdint>

#include "speculative/draft_model.h"
#include "speculative/suffix_index.h"
#include "speculative/tenant_suffix_store.h"

namespace foretoken {

// Text seen before as a draft source: what followed the last tokens when they occurred earlier, in
// the session or in its tenant's finished answers, whichever promises more accepted tokens; of
// equals the session. Runs no model. The session is indexed only when a draft is asked for, newest
// text first and a long prompt over several calls. Never fails.
class SuffixDraft : public DraftModel {
 public:
  // `store`, if any, must outlive this.
  explicit SuffixDraft(TenantSuffixStore* store = nullptr) : store_(store) {}

  DraftSourceKind kind() const override { return DraftSourceKind::kSuffix; }
  Result<Draft> GenerateDraft(Session& session, int32_t k) override;

 private:
  void IndexSession(const Session& session);

  TenantSuffixStore* store_;
  SuffixIndex index_;  // its text 0 is the session, once asked
  bool asked_ = false;
  // Positions of the session that are in the index: [indexed_begin_, indexed_end_).
  uint32_t indexed_begin_ = 0;
  uint32_t indexed_end_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SUFFIX_DRAFT_H_
