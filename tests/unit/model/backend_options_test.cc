#include "model/backend_options.h"

#include <gtest/gtest.h>

namespace foretoken {
namespace {

TEST(BackendOptionsTest, ZerosBecomeTheModelsOwn) {
  const auto known = ResolveBackendOptions({}, 2048);
  ASSERT_TRUE(known.ok());
  EXPECT_EQ(known->context_tokens, 2048);
  EXPECT_EQ(known->kv_cache_tokens, 2048);
  EXPECT_EQ(ResolveBackendOptions({}, 131072)->context_tokens, 8192);
  EXPECT_EQ(ResolveBackendOptions({}, 0)->context_tokens, 8192);
  EXPECT_EQ(ResolveBackendOptions({.context_tokens = 100}, 2048)->kv_cache_tokens, 100);
}

TEST(BackendOptionsTest, TheCacheMayBeLargerThanTheTrainedContextAndTheContextMayNot) {
  const auto options =
      ResolveBackendOptions({.context_tokens = 2048, .kv_cache_tokens = 10000}, 2048);
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->context_tokens, 2048);
  EXPECT_EQ(options->kv_cache_tokens, 10000);
  EXPECT_EQ(ResolveBackendOptions({.context_tokens = 2049}, 2048).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(ResolveBackendOptions({.context_tokens = 2049}, 0).ok());
}

TEST(BackendOptionsTest, ACacheHoldsAtLeastOneContext) {
  EXPECT_EQ(ResolveBackendOptions({.context_tokens = 64, .kv_cache_tokens = 63}, 0).status().code(),
            StatusCode::kInvalidArgument);
  // The default context is the model's own, whatever the cache.
  EXPECT_EQ(ResolveBackendOptions({.kv_cache_tokens = 63}, 64).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(ResolveBackendOptions({.kv_cache_tokens = 64}, 64).ok());
}

TEST(BackendOptionsTest, RowLimitsAreBroughtIntoRange) {
  EXPECT_EQ(ResolveBackendOptions({.max_sequences = 0}, 64).status().code(),
            StatusCode::kInvalidArgument);
  const auto small = ResolveBackendOptions(
      {.context_tokens = 32, .max_batch_rows = 512, .max_logits_rows = 64}, 64);
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(small->max_batch_rows, 32);
  EXPECT_EQ(small->max_logits_rows, 32);
  const auto none = ResolveBackendOptions({.max_batch_rows = 0, .max_logits_rows = -1}, 64);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->max_batch_rows, 1);
  EXPECT_EQ(none->max_logits_rows, 1);
}

}  // namespace
}  // namespace foretoken
