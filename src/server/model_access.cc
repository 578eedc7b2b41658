#include "server/model_access.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "base/log.h"
#include "server/api_errors.h"

namespace foretoken {

const ServedModel* FindAllowedModel(const ModelPool& pool, const TenantRecord& record,
                                    std::string_view name) {
  const auto is_allowed = [&](const ServedModel& model) {
    return record.models.empty() ||
           std::find(record.models.begin(), record.models.end(), model.name) != record.models.end();
  };
  if (name.empty()) name = record.target;
  if (name.empty()) {
    const auto first = std::find_if(pool.models().begin(), pool.models().end(), is_allowed);
    return first == pool.models().end() ? nullptr : &*first;
  }
  const ServedModel* const model = pool.Find(name);
  return model != nullptr && is_allowed(*model) ? model : nullptr;
}

SpeculativeConfig PolicyOf(const TenantRecord& record, const ServedModel& model) {
  SpeculativeConfig policy = model.speculation;
  if (record.speculation) {
    policy.mode = record.speculation->mode;
    policy.draft_k = record.speculation->draft_k;
    policy.max_draft_tokens = record.speculation->max_draft_tokens;
  }
  return policy;
}

asio::awaitable<WireResult<ModelLease>> AcquireModel(ApiContext& context, const ApiCaller& caller,
                                                     const std::string& name,
                                                     const ModelWaiter& waiter) {
  const TenantRecord& record = caller.record();
  const ServedModel* const model = FindAllowedModel(context.pool, record, name);
  if (model == nullptr) co_return ModelNotFoundError(name);
  PoolTenant tenant;
  tenant.name = record.name;
  tenant.weight = record.weight;
  tenant.speculation = PolicyOf(record, *model);
  if (record.draft_model) {
    Result<ModelConfig> draft = context.resolve_draft(*record.draft_model, *model);
    if (draft.ok()) {
      tenant.draft_model = *std::move(draft);
    } else {
      // As with any draft model that cannot be used: decoding goes on without it.
      Log(LogLevel::kWarning, "tenant '" + record.name + "': " + draft.status().message());
      tenant.draft_model = ModelConfig();
    }
  }
  // Shared with the pool's thread, which may answer when nobody waits any more.
  struct Answer {
    std::atomic<bool> is_there{false};
    std::optional<Result<ModelLease>> lease;
  };
  const auto answer = std::make_shared<Answer>();
  context.pool.Acquire(tenant, *model, [answer, signal = waiter.signal](Result<ModelLease> lease) {
    answer->lease = std::move(lease);
    answer->is_there = true;
    signal->Notify();
  });
  while (!answer->is_there) {
    if (waiter.is_cancelled != nullptr && *waiter.is_cancelled) co_return ClientGoneError();
    co_await waiter.signal->Wait();
  }
  if (answer->lease->ok()) co_return std::move(*answer->lease).value();
  Log(LogLevel::kError, "model '" + model->name + "': " + answer->lease->status().message());
  co_return ModelUnavailableError(model->name, answer->lease->status());
}

}  // namespace foretoken
