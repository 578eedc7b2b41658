#include "speculative/tenant_suffix_store.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <random>
#include <thread>
#include <vector>

#include "testing/temp_directory.h"
#include "unit/speculative/suffix_reference.h"

// The thread sanitizer has an operator new of its own, which cannot be replaced.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FORETOKEN_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define FORETOKEN_THREAD_SANITIZER
#endif

namespace {

// What operator new has given out and not got back, allocator's overhead included.
std::atomic<size_t> heap_bytes{0};

#if defined(FORETOKEN_THREAD_SANITIZER)
constexpr bool kCountsHeap = false;
}  // namespace
#else
constexpr bool kCountsHeap = true;
}  // namespace

// Not inlined: GCC would take the malloc that it then sees for one that delete must not free.
[[gnu::noinline]] void* operator new(size_t size) {
  void* pointer = std::malloc(size);  // NOLINT: it is what operator new is made of
  if (pointer == nullptr) std::abort();
  heap_bytes += malloc_usable_size(pointer) + sizeof(size_t);
  return pointer;
}

void* operator new(size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return operator new(size);
}

[[gnu::noinline]] void operator delete(void* pointer) noexcept {
  if (pointer != nullptr) heap_bytes -= malloc_usable_size(pointer) + sizeof(size_t);
  std::free(pointer);  // NOLINT
}

void operator delete(void* pointer, size_t /*size*/) noexcept {
  operator delete(pointer);
}

#endif

namespace foretoken {
namespace {

using testing::TempDirectory;

const SuffixStoreIdentity kIdentity{"tenant a", 0x1234, 1 << 20};
constexpr int64_t kMebibyte = 1 << 20;

Tokens Slice(const Tokens& tokens, size_t begin, size_t size) {
  return {tokens.begin() + static_cast<ptrdiff_t>(begin),
          tokens.begin() + static_cast<ptrdiff_t>(begin + size)};
}

// A text of its own: no two share tokens.
Tokens NumberedText(TokenId number, TokenId size = 20) {
  Tokens tokens;
  for (TokenId i = 0; i < size; ++i) tokens.push_back(number * 1000 + i);
  return tokens;
}

bool Knows(TenantSuffixStore& store, TokenId number) {
  const Tokens text = NumberedText(number);
  return store.Propose(Slice(text, 0, 4), 2).tokens == Slice(text, 4, 2);
}

TEST(TenantSuffixStoreTest, ProposesHowAFinishedAnswerWentOn) {
  TenantSuffixStore store(kIdentity, kMebibyte);
  EXPECT_TRUE(store.Propose({{1, 2, 3}}, 4).tokens.empty());
  store.Learn({{1, 2, 3, 4, 5, 6}});
  const SuffixProposal proposal = store.Propose({{9, 1, 2, 3}}, 4);
  EXPECT_EQ(proposal.tokens, (Tokens{4, 5, 6}));
  EXPECT_EQ(proposal.confidence, (std::vector<float>{0.5F, 1, 1}));
  EXPECT_EQ(store.text_count(), 1u);
  for (int i = 0; i < 3; ++i) store.Learn({{1, 2, 3, 7}});
  EXPECT_EQ(store.Propose({{9, 1, 2, 3}}, 4).tokens, (Tokens{7}));
  store.Learn({});
  store.Learn({{1, 2}});  // nothing follows a pair
  EXPECT_EQ(store.text_count(), 4u);
}

TEST(TenantSuffixStoreTest, ThePromptsEndIsMatchedAndNeverProposed) {
  TenantSuffixStore store(kIdentity, kMebibyte);
  store.Learn({{1, 2, 3, 4, 5, 6}}, 4);
  EXPECT_EQ(store.Propose({{9, 3, 4}}, 4).tokens, (Tokens{5, 6}));
  EXPECT_EQ(store.Propose({{3, 4, 5}}, 4).tokens, (Tokens{6}));
  EXPECT_TRUE(store.Propose({{1, 2}}, 4).tokens.empty());
  EXPECT_EQ(store.token_count(), 2u);
  store.Learn({{7, 8}}, 2);  // no answer
  EXPECT_EQ(store.text_count(), 1u);

  // Of an answer that is kept in several texts the beginning only has the prompt before it.
  const Tokens text = NumberedText(1, 900);
  store.Learn(text, 24);
  EXPECT_EQ(store.token_count(), 2u + 900 - 24);
  EXPECT_TRUE(store.Propose(Slice(text, 0, 23), 1).tokens.empty());
  for (size_t end = 24; end < text.size(); ++end) {
    ASSERT_EQ(store.Propose(Slice(text, 0, end), 1).tokens, (Tokens{text[end]})) << end;
  }
}

// The store against texts that are searched from end to end; which are still there is known from
// how many there are and when each was used.
TEST(TenantSuffixStoreTest, EqualsTheReferenceWithTheLeastRecentlyUsedTextsGone) {
  std::mt19937 random(1);
  size_t proposed = 0;
  size_t forgotten = 0;
  for (int trial = 0; trial < 30; ++trial) {
    TenantSuffixStore store(kIdentity, 8000 + static_cast<int64_t>(random() % 8000));
    ReferenceTexts reference;
    std::vector<size_t> by_use;
    for (int step = 0; step < 300; ++step) {
      const Tokens tokens = RandomText(random, 3 + random() % 60, 12);
      if (random() % 3 == 0) {
        store.Learn(tokens);
        by_use.push_back(reference.texts.size());
        reference.texts.push_back({tokens, 2, reference.texts.size()});
        while (by_use.size() > store.text_count()) {
          reference.texts[by_use.front()].tokens.clear();
          by_use.erase(by_use.begin());
          ++forgotten;
        }
        continue;
      }
      SuffixProposalOptions options;
      const SuffixProposal expected = ReferenceProposal(reference, tokens, 6, options);
      const SuffixProposal proposal = store.Propose(tokens, 6);
      // Beyond this many occurrences the store looks at a choice of them.
      if (reference.FindAll(tokens, 2).size() <= options.max_occurrences) {
        ASSERT_EQ(proposal.tokens, expected.tokens);
        ASSERT_EQ(proposal.confidence, expected.confidence);
      }
      if (proposal.tokens.empty()) continue;
      ++proposed;
      // Used: the first text that goes on so after the match.
      Tokens passage = Slice(tokens, tokens.size() - static_cast<size_t>(proposal.match_tokens),
                             static_cast<size_t>(proposal.match_tokens));
      passage.insert(passage.end(), proposal.tokens.begin(), proposal.tokens.end());
      for (const Occurrence& occurrence : reference.FindAll(tokens, proposal.match_tokens)) {
        const Tokens& text = reference.texts[occurrence.position.text].tokens;
        const Tokens rest(text.begin() + occurrence.position.offset, text.end());
        if (rest.size() < proposal.tokens.size() ||
            Slice(rest, 0, proposal.tokens.size()) != proposal.tokens) {
          continue;
        }
        std::erase(by_use, occurrence.position.text);
        by_use.push_back(occurrence.position.text);
        break;
      }
    }
  }
  EXPECT_GT(proposed, 1000u);
  EXPECT_GT(forgotten, 1000u);
}

TEST(TenantSuffixStoreTest, AMatchKeepsATextAndTheOthersGoInOrder) {
  TenantSuffixStore store(kIdentity, 6000);
  TokenId learned = 0;
  while (store.text_count() == static_cast<size_t>(learned)) {
    store.Learn(NumberedText(++learned));
    ASSERT_TRUE(Knows(store, 1));  // used again
  }
  ASSERT_GT(learned, 4);
  EXPECT_TRUE(Knows(store, 1));
  EXPECT_FALSE(Knows(store, 2));
  EXPECT_TRUE(Knows(store, learned));
}

TEST(TenantSuffixStoreTest, ForgottenTextsLeaveTheCounts) {
  TenantSuffixStore store(kIdentity, 8000);
  for (int i = 0; i < 5; ++i) store.Learn({{1, 2, 3}});
  for (int i = 0; i < 3; ++i) store.Learn({{1, 2, 4}});
  EXPECT_EQ(store.Propose({{1, 2}}, 1).confidence, (std::vector<float>{5.0F / 9}));  // one is used
  TokenId learned = 0;
  const auto forgotten = [&] { return 8 + static_cast<size_t>(learned) - store.text_count(); };
  while (forgotten() < 3) store.Learn(NumberedText(++learned));
  ASSERT_LE(forgotten(), 5u);
  EXPECT_EQ(store.Propose({{1, 2}}, 1).tokens, (Tokens{4}));  // 3 against 2 that are left
}

TEST(TenantSuffixStoreTest, TwoStoresNeverMeet) {
  std::mt19937 random(2);
  TenantSuffixStore a({"a", 1, 1000}, kMebibyte);
  TenantSuffixStore b({"b", 1, 1000}, kMebibyte);
  TenantSuffixStore alone({"b", 1, 1000}, kMebibyte);
  for (int i = 0; i < 300; ++i) {
    a.Learn(RandomText(random, 100, 5));
    const Tokens own = RandomText(random, 100, 5);
    b.Learn(own);
    alone.Learn(own);
    const Tokens context = RandomText(random, 30, 5);
    a.Propose(context, 8);
    const SuffixProposal proposal = b.Propose(context, 8);
    const SuffixProposal expected = alone.Propose(context, 8);
    ASSERT_EQ(proposal.tokens, expected.tokens);
    ASSERT_EQ(proposal.confidence, expected.confidence);
  }
  EXPECT_EQ(b.memory_bytes(), alone.memory_bytes());
}

TEST(TenantSuffixStoreTest, ALongAnswerIsOneThroughout) {
  std::mt19937 random(3);
  Tokens answer;
  for (TokenId i = 0; i < 1000; ++i) answer.push_back(i);
  TenantSuffixStore store(kIdentity, kMebibyte);
  store.Learn(answer);
  EXPECT_EQ(store.text_count(), 4u);
  EXPECT_EQ(store.token_count(), 998u);  // each but the first two, once
  for (size_t end = 2; end < answer.size(); ++end) {
    const SuffixProposal proposal = store.Propose(Slice(answer, 0, end), 1);
    ASSERT_EQ(proposal.tokens, (Tokens{answer[end]})) << end;
    ASSERT_EQ(proposal.match_tokens, std::min<int32_t>(static_cast<int32_t>(end), 24));
  }
}

TEST(TenantSuffixStoreTest, NeverHoldsMoreThanItMayAndCountsWhatItHolds) {
  std::mt19937 random(4);
  const size_t before = heap_bytes;
  {
    constexpr int64_t kBytes = 200'000;
    TenantSuffixStore store(kIdentity, kBytes);
    size_t most = 0;
    for (int i = 0; i < 100'000; ++i) {
      // Times of tiny texts, times of long ones.
      const size_t size = 1 + random() % (i / 5000 % 2 == 0 ? 12 : 80);
      Tokens tokens;
      for (size_t j = 0; j < size; ++j) tokens.push_back(static_cast<TokenId>(random() % 300));
      store.Learn(tokens);
      if (random() % 4 == 0) store.Propose(tokens, 4);
      const size_t counted = store.memory_bytes();
      ASSERT_LE(counted, static_cast<size_t>(kBytes));
      most = std::max(most, counted);
      if (!kCountsHeap || i % 100 != 0) continue;
      tokens = Tokens();
      const size_t held = heap_bytes - before;
      ASSERT_GT(static_cast<double>(counted), 0.9 * static_cast<double>(held)) << i;
      ASSERT_LT(static_cast<double>(counted), 1.1 * static_cast<double>(held) + 1000) << i;
    }
    EXPECT_GT(most, kBytes * 9 / 10);
  }
  EXPECT_EQ(heap_bytes, before);
}

TEST(TenantSuffixStoreTest, AStoreThatIsTooSmallHoldsNothing) {
  const Tokens text = NumberedText(1, 900);
  for (const int64_t max_bytes : {-1, 0, 1, 100, 1000, 2000, 3000, 5000}) {
    TenantSuffixStore store(kIdentity, max_bytes);
    for (int i = 0; i < 3; ++i) {
      store.Learn(text);
      EXPECT_LE(store.memory_bytes(), static_cast<size_t>(std::max<int64_t>(max_bytes, 0)));
      store.Propose(text, 4);
    }
    if (max_bytes < 2000) {
      EXPECT_EQ(store.text_count(), 0u);
    }
  }
}

TEST(TenantSuffixStoreTest, WhatWasSavedIsTakenUpAsItWas) {
  std::mt19937 random(5);
  const TempDirectory directory;
  const std::string path = directory.path() + "/store";
  TenantSuffixStore store(kIdentity, 100'000);
  EXPECT_EQ(store.Load(path).code(), StatusCode::kNotFound);
  for (int i = 0; i < 100; ++i) {
    store.Learn(RandomText(random, 3 + random() % 400, 50));
    store.Propose(RandomText(random, 30, 50), 8);
  }
  ASSERT_TRUE(store.Save(path).ok());
  TenantSuffixStore loaded(kIdentity, 100'000);
  loaded.Learn({{1, 2, 3, 4}});  // is replaced
  ASSERT_TRUE(loaded.Load(path).ok());
  EXPECT_EQ(loaded.text_count(), store.text_count());
  EXPECT_EQ(loaded.token_count(), store.token_count());
  // Also the order in which texts go: both forget the same ones from here on.
  TenantSuffixStore again(kIdentity, 100'000);
  ASSERT_TRUE(again.Load(path).ok());
  for (int i = 0; i < 300; ++i) {
    const Tokens answer = RandomText(random, 3 + random() % 400, 50);
    loaded.Learn(answer);
    again.Learn(answer);
    const Tokens context = RandomText(random, 30, 50);
    ASSERT_EQ(loaded.Propose(context, 8).tokens, again.Propose(context, 8).tokens);
  }

  ASSERT_TRUE(store.Save(path).ok());  // over the old one
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(TenantSuffixStoreTest, TheUsedOnesOfASavedStoreStayLongest) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/store";
  {
    TenantSuffixStore store(kIdentity, kMebibyte);
    for (TokenId number = 1; number <= 200; ++number) store.Learn(NumberedText(number));
    ASSERT_TRUE(Knows(store, 1));
    ASSERT_TRUE(store.Save(path).ok());
  }
  // Not all of them fit.
  TenantSuffixStore smaller(kIdentity, 60'000);
  ASSERT_TRUE(smaller.Load(path).ok());
  EXPECT_LT(smaller.text_count(), 200u);
  EXPECT_LE(smaller.memory_bytes(), 60'000u);
  EXPECT_TRUE(Knows(smaller, 1));
  EXPECT_TRUE(Knows(smaller, 200));
  EXPECT_FALSE(Knows(smaller, 2));
}

TEST(TenantSuffixStoreTest, ARefusedFileChangesNothing) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/store";
  TenantSuffixStore store(kIdentity, kMebibyte);
  for (TokenId number = 1; number <= 200; ++number) store.Learn(NumberedText(number));
  ASSERT_TRUE(store.Save(path).ok());
  const auto expect_refused = [&](const SuffixStoreIdentity& identity, int64_t max_bytes,
                                  StatusCode code) {
    TenantSuffixStore other(identity, max_bytes);
    other.Learn({{1, 2, 3, 4}});
    const Status status = other.Load(path);
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.message().find(path), std::string::npos) << status.ToString();
    EXPECT_EQ(other.Propose({{1, 2}}, 1).tokens, (Tokens{3}));
    EXPECT_FALSE(Knows(other, 1));
  };
  SuffixStoreIdentity another = kIdentity;
  another.tenant = "tenant b";
  expect_refused(another, kMebibyte, StatusCode::kFailedPrecondition);
  another = kIdentity;
  another.vocabulary_fingerprint = 0x1235;
  expect_refused(another, kMebibyte, StatusCode::kFailedPrecondition);
  expect_refused(kIdentity, 10'000, StatusCode::kFailedPrecondition);  // larger than may be held
  another = kIdentity;
  another.vocabulary_size = 1000;
  expect_refused(another, kMebibyte, StatusCode::kDataLoss);
  std::ofstream(path, std::ios::app) << "x";
  expect_refused(kIdentity, kMebibyte, StatusCode::kDataLoss);
}

TEST(TenantSuffixStoreTest, ThreadsLearnProposeAndSaveAtOnce) {
  const TempDirectory directory;
  TenantSuffixStore store(kIdentity, 50'000);
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (unsigned worker = 0; worker < 4; ++worker) {
    threads.emplace_back([&, worker] {
      std::mt19937 random(worker);
      const std::string path = directory.path() + "/" + std::to_string(worker / 2);
      for (int i = 0; i < 200; ++i) {
        store.Learn(RandomText(random, 3 + random() % 600, 50));
        const SuffixProposal proposal = store.Propose(RandomText(random, 30, 50), 8);
        if (proposal.tokens.size() != proposal.confidence.size()) ++failures;
        if (store.memory_bytes() > 50'000) ++failures;
        if (i % 50 == 0 && !store.Save(path).ok()) ++failures;
        if (i % 50 == 25 && !store.Load(path).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace foretoken
