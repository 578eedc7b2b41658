#ifndef FORETOKEN_TENANCY_TENANT_RUNTIME_H_
#define FORETOKEN_TENANCY_TENANT_RUNTIME_H_

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "engine/engine.h"
#include "foretoken/runtime_manager.h"

namespace foretoken {

// A tenant over an engine that it shares with every tenant of the same target.
// Any thread may call it. Everything it holds it shares ownership of, so that it may outlive its
// removal from the manager; it refuses new work from then on.
class SharedTargetTenant : public TenantRuntime {
 public:
  // `draft` or, when it is null, `draft_status` saying why there is none.
  SharedTargetTenant(TenantConfig config, std::shared_ptr<Engine> engine,
                     std::shared_ptr<DraftContext> draft, Status draft_status);

  const TenantConfig& config() const override { return config_; }
  const ModelConfig* draft_model_config() const override;
  Status draft_ready() const override { return draft_status_; }
  SamplingOptions recommended_sampling() const override;
  Result<std::unique_ptr<GenerationStream>> GenerateStream(GenerateRequest request) override;

  // Cancels what runs and refuses new requests.
  void Close() FORETOKEN_EXCLUDES(mutex_);

 private:
  Result<std::vector<TokenId>> PromptTokens(const GenerateRequest& request) const;
  Result<std::shared_ptr<StreamChannel>> Submit(EngineRequest request) FORETOKEN_EXCLUDES(mutex_);

  const TenantConfig config_;
  const std::shared_ptr<Engine> engine_;       // second owners: tenants of the same target
  const std::shared_ptr<DraftContext> draft_;  // second owners: running requests
  const Status draft_status_;
  const std::shared_ptr<DraftLengthPolicy> policy_;  // second owners: running requests

  Mutex mutex_;
  bool closed_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::vector<std::weak_ptr<StreamChannel>> streams_ FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_TENANCY_TENANT_RUNTIME_H_
