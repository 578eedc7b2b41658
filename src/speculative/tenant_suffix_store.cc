#include "speculative/tenant_suffix_store.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/macros.h"

namespace foretoken {
namespace {

constexpr SuffixProposalOptions kProposalOptions;
// Of one text, its context not counted: what the lock is held for, and what is forgotten at a time.
constexpr size_t kTextTokens = 256;
static_assert(kTextTokens + SuffixIndex::kMaxMatchTokens <= kMaxStoredTextTokens);

// The numbers and the checksum of a file without texts, and a few to spare.
constexpr size_t kMaxFileOverheadBytes = 256;

// The first position of a text that is put into the index: those before it match too little, or are
// those of the text or prompt before.
size_t FirstOffset(size_t context_tokens) {
  return std::max<size_t>(context_tokens, kProposalOptions.min_match_tokens);
}

}  // namespace

TenantSuffixStore::TenantSuffixStore(SuffixStoreIdentity identity, int64_t max_bytes)
    : identity_(std::move(identity)),
      max_bytes_(static_cast<size_t>(std::max<int64_t>(max_bytes, 0))) {}

void TenantSuffixStore::Learn(std::span<const TokenId> tokens, size_t context_tokens) {
  for (size_t begin = context_tokens; begin < tokens.size(); begin += kTextTokens) {
    const size_t context = std::min<size_t>(begin, SuffixIndex::kMaxMatchTokens);
    const size_t size = std::min(kTextTokens, tokens.size() - begin);
    const MutexLock lock(mutex_);
    LearnText(tokens.subspan(begin - context, context + size), context);
  }
}

void TenantSuffixStore::LearnText(std::span<const TokenId> tokens, size_t context_tokens) {
  if (tokens.size() <= FirstOffset(context_tokens)) return;
  const uint32_t text = index_.AddText(tokens);
  by_use_.push_back({text, static_cast<uint32_t>(context_tokens)});
  if (kept_.size() <= text) kept_.resize(text + 1);
  kept_[text] = std::prev(by_use_.end());
  for (size_t offset = FirstOffset(context_tokens); offset < tokens.size(); ++offset) {
    index_.Insert({text, static_cast<uint32_t>(offset)});
  }
  while (LockedMemoryBytes() > max_bytes_) ForgetOldest();
}

void TenantSuffixStore::ForgetOldest() {
  if (by_use_.size() == 1) return ForgetAll();
  const KeptText oldest = by_use_.front();
  by_use_.pop_front();
  const size_t size = index_.text(oldest.text).size();
  for (size_t offset = FirstOffset(oldest.context_tokens); offset < size; ++offset) {
    index_.Erase({oldest.text, static_cast<uint32_t>(offset)});
  }
  index_.RemoveText(oldest.text);
}

// Leaves nothing on the heap, so that any store can come down to its bytes.
void TenantSuffixStore::ForgetAll() {
  index_ = SuffixIndex();
  by_use_.clear();
  kept_ = std::vector<std::list<KeptText>::iterator>();
}

SuffixProposal TenantSuffixStore::Propose(std::span<const TokenId> tokens, int32_t max_tokens) {
  const MutexLock lock(mutex_);
  SuffixProposal proposal = ProposeContinuation(index_, tokens, max_tokens, kProposalOptions);
  if (!proposal.tokens.empty()) by_use_.splice(by_use_.end(), by_use_, kept_[proposal.text]);
  return proposal;
}

Status TenantSuffixStore::Save(const std::string& path) const {
  std::vector<StoredText> texts;
  {
    const MutexLock lock(mutex_);
    for (const KeptText& kept : by_use_) {
      texts.push_back({index_.text(kept.text), kept.context_tokens});
    }
  }
  return ReplaceFile(path, EncodeSuffixStore(identity_, texts));
}

Status TenantSuffixStore::Load(const std::string& path) {
  // A text takes less in the file than here.
  const size_t max_file_bytes = max_bytes_ + identity_.tenant.size() + kMaxFileOverheadBytes;
  FORETOKEN_ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(path, max_file_bytes));
  const auto texts = DecodeSuffixStore(bytes, identity_);
  if (!texts.ok()) return Status(texts.status().code(), path + ": " + texts.status().message());
  {
    const MutexLock lock(mutex_);
    ForgetAll();
  }
  for (const StoredText& text : *texts) {
    const MutexLock lock(mutex_);
    LearnText(text.tokens, text.context_tokens);
  }
  return OkStatus();
}

size_t TenantSuffixStore::text_count() const {
  const MutexLock lock(mutex_);
  return by_use_.size();
}

size_t TenantSuffixStore::token_count() const {
  const MutexLock lock(mutex_);
  return index_.position_count();
}

size_t TenantSuffixStore::memory_bytes() const {
  const MutexLock lock(mutex_);
  return LockedMemoryBytes();
}

size_t TenantSuffixStore::LockedMemoryBytes() const {
  constexpr size_t kListNodeBytes = sizeof(KeptText) + 2 * sizeof(void*);
  return index_.memory_bytes() + by_use_.size() * HeapBytes(kListNodeBytes) +
         HeapBytes(kept_.capacity() * sizeof(kept_[0]));
}

}  // namespace foretoken
