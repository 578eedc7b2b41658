#ifndef FORETOKEN_TENANCY_TENANT_RUNTIME_H_
#define FORETOKEN_TENANCY_TENANT_RUNTIME_H_

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "engine/engine.h"
#include "foretoken/runtime_manager.h"

namespace foretoken {

// What a tenant was given when it was added.
struct TenantParts {
  std::shared_ptr<Engine> engine;       // second owners: tenants of the same target
  std::shared_ptr<TenantState> state;   // second owners: its requests
  std::shared_ptr<DraftContext> draft;  // null: see draft_status. Second owners: its requests
  Status draft_status;
  std::vector<AdapterPtr> adapters;
};

// A tenant over an engine that it shares with every tenant of the same target.
// Any thread may call it. Everything it holds it shares ownership of, so that it may outlive its
// removal from the manager; it refuses new work from then on.
class SharedTargetTenant : public TenantRuntime {
 public:
  SharedTargetTenant(TenantConfig config, TenantParts parts);

  const TenantConfig& config() const override { return config_; }
  Status draft_ready() const override { return parts_.draft_status; }
  const TargetInfo& target_info() const override { return target_info_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  TenantMetrics Metrics() const override;
  Result<std::unique_ptr<GenerationStream>> GenerateStream(GenerateRequest request) override;
  Status AddPublicPrefix(const PromptContent& prompt) override;

  // Cancels what runs, refuses new requests, forgets what is cached and saves the suffix store.
  Status Close() FORETOKEN_EXCLUDES(mutex_);
  const Engine& engine() const { return *parts_.engine; }

 private:
  // The tenant's policy, within which a request's own may move.
  SpeculativeConfig SpeculationFor(const GenerateOptions& options) const;
  Result<EngineRequest> MakeEngineRequest(GenerateRequest request) const;
  Result<std::shared_ptr<StreamChannel>> Submit(EngineRequest request) FORETOKEN_EXCLUDES(mutex_);

  class TargetTokenizer : public Tokenizer {
   public:
    explicit TargetTokenizer(const LoadedModel& target) : target_(target) {}
    Result<std::vector<TokenId>> Tokenize(const PromptContent& prompt,
                                          bool add_special) const override;
    std::string TokenBytes(TokenId token) const override;
    std::string TokenText(TokenId token) const override;
    Result<std::unique_ptr<ReplyParser>> NewReplyParser(const ChatPrompt& prompt) const override;

   private:
    const LoadedModel& target_;
  };

  const TenantConfig config_;
  const TenantParts parts_;
  const TargetTokenizer tokenizer_;
  const TargetInfo target_info_;

  Mutex mutex_;
  bool closed_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::vector<std::weak_ptr<StreamChannel>> streams_ FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_TENANCY_TENANT_RUNTIME_H_
