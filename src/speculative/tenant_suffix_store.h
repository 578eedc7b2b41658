#ifndef FORETOKEN_SPECULATIVE_TENANT_SUFFIX_STORE_H_
#define FORETOKEN_SPECULATIVE_TENANT_SUFFIX_STORE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "foretoken/options.h"
#include "foretoken/status.h"
#include "speculative/suffix_index.h"
#include "speculative/suffix_proposal.h"
#include "speculative/suffix_store_file.h"

namespace foretoken {

// What followed what in one tenant's finished answers, as a source of drafts. An answer is kept in
// texts of at most 256 tokens; those neither learned nor matched for longest go first, and what is
// kept is never more than the bytes given.
// Any thread may call it; the lock is held for one text or proposal at a time, and for the copy
// that is saved. Learning and proposing never fail.
class TenantSuffixStore {
 public:
  // `max_bytes` 0 or less: keeps nothing.
  TenantSuffixStore(SuffixStoreIdentity identity, int64_t max_bytes);

  // A finished answer, tokens of the vocabulary. The first `context_tokens` of them are the end of
  // its prompt: never proposed, but matched, so that an answer's beginning is found after the same
  // end of a prompt.
  void Learn(std::span<const TokenId> tokens, size_t context_tokens = 0);
  // What is likely to follow `tokens` (prompt and output so far); see ProposeContinuation. Counts
  // as a use of the text it is from.
  SuffixProposal Propose(std::span<const TokenId> tokens, int32_t max_tokens);

  // Writes everything to a file beside `path`, which then takes its place: after a failure `path`
  // is as it was. NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (disk) or INTERNAL.
  Status Save(const std::string& path) const;
  // Takes up what was saved, in place of what is kept. After a failure nothing has changed:
  // NOT_FOUND; DATA_LOSS says what is wrong and where; FAILED_PRECONDITION for a file of another
  // tenant, vocabulary or version, no regular file, or one that is larger than `max_bytes`.
  Status Load(const std::string& path);

  size_t text_count() const;
  size_t token_count() const;
  // What is held on the heap; at most `max_bytes`.
  size_t memory_bytes() const;

 private:
  struct KeptText {
    uint32_t text = 0;            // of the index
    uint32_t context_tokens = 0;  // see StoredText
  };

  void LearnText(std::span<const TokenId> tokens, size_t context_tokens) FORETOKEN_REQUIRES(mutex_);
  void ForgetOldest() FORETOKEN_REQUIRES(mutex_);
  void ForgetAll() FORETOKEN_REQUIRES(mutex_);
  size_t LockedMemoryBytes() const FORETOKEN_REQUIRES(mutex_);

  const SuffixStoreIdentity identity_;
  const size_t max_bytes_;
  mutable Mutex mutex_;
  SuffixIndex index_ FORETOKEN_GUARDED_BY(mutex_);
  std::list<KeptText> by_use_ FORETOKEN_GUARDED_BY(mutex_);  // least recently used first
  // By the index's text number.
  std::vector<std::list<KeptText>::iterator> kept_ FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_TENANT_SUFFIX_STORE_H_
