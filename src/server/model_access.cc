#include "server/model_access.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/log.h"
#include "server/api_errors.h"
#include "server/awaited_value.h"
#include "server/parse_body.h"

namespace foretoken {

const ServedModel* FindAllowedModel(const ModelPool& pool, const TenantRecord& record,
                                    std::string_view name) {
  const auto is_allowed = [&](const ServedModel& model) {
    return record.models.empty() ||
           std::any_of(record.models.begin(), record.models.end(),
                       [&](const std::string& allowed) { return pool.Find(allowed) == &model; });
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

namespace {

// Whether the tenant is still there, and not another one of its name.
bool IsCurrent(const ApiContext& context, const ApiCaller& caller) {
  if (context.directory == nullptr) return true;
  const auto snapshot = context.directory->snapshot();
  const auto found = snapshot->tenants.find(caller.record().name);
  return found != snapshot->tenants.end() &&
         found->second->record.created_ms == caller.record().created_ms;
}

}  // namespace

asio::awaitable<WireResult<ModelLease>> AcquireModel(ApiContext& context, const ApiCaller& caller,
                                                     const std::string& name,
                                                     const ModelWaiter& waiter) {
  const TenantRecord& record = caller.record();
  const ServedModel* const model = FindAllowedModel(context.pool, record, name);
  if (model == nullptr) co_return ModelNotFoundError(name.empty() ? record.target : name);
  PoolTenant tenant;
  tenant.name = record.name;
  tenant.weight = record.weight;
  tenant.speculation = PolicyOf(record, *model);
  if (record.draft_model) {
    // It reads the disk.
    Result<ModelConfig> draft = co_await OnWorkers(
        context, [&] { return context.resolve_draft(*record.draft_model, *model); });
    if (draft.ok()) {
      tenant.draft_model = *std::move(draft);
    } else {
      // As with any draft model that cannot be used: decoding goes on without it.
      Log(LogLevel::kWarning, "tenant '" + record.name + "': " + draft.status().message());
      tenant.draft_model = ModelConfig();
    }
  }
  const auto answer = std::make_shared<AwaitedValue<Result<ModelLease>>>(waiter.signal);
  context.pool.Acquire(tenant, *model,
                       [answer](Result<ModelLease> lease) { answer->Set(std::move(lease)); });
  while (!answer->is_there()) {
    if (waiter.is_cancelled != nullptr && *waiter.is_cancelled) co_return ClientGoneError();
    co_await waiter.signal->Wait();
  }
  Result<ModelLease> lease = std::move(answer->value());
  if (lease.ok()) {
    if (IsCurrent(context, caller)) co_return *std::move(lease);
    // Removed while the model was loaded: what was made for it since then goes as well.
    *lease = ModelLease();
    co_await OnWorkers(context, [&] {
      context.pool.ForgetTenant(record.name);
      return true;
    });
    co_return UnauthorizedError();
  }
  Log(LogLevel::kError, "model '" + model->name + "': " + lease.status().message());
  co_return ModelUnavailableError(model->name, lease.status());
}

}  // namespace foretoken
