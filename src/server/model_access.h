#ifndef FORETOKEN_SERVER_MODEL_ACCESS_H_
#define FORETOKEN_SERVER_MODEL_ACCESS_H_

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "server/api_context.h"
#include "server/wake_signal.h"
#include "server/wire_error.h"

namespace foretoken {

// The served model of a request's `model`; an empty name is the tenant's own target, or the first
// one. Null where there is none that the tenant may use.
const ServedModel* FindAllowedModel(const ModelPool& pool, const TenantRecord& record,
                                    std::string_view name);

// How the tenant's requests to that model are speculated unless they say otherwise.
SpeculativeConfig PolicyOf(const TenantRecord& record, const ServedModel& model);

// Who waits for a model: woken when it is there, and who sets the flag (then notifies) does not
// want it any more.
struct ModelWaiter {
  std::shared_ptr<WakeSignal> signal;
  const bool* is_cancelled = nullptr;  // null: never
};

// The tenant's runtime on the model of that name, loaded if it must be. All must live until it is
// done.
asio::awaitable<WireResult<ModelLease>> AcquireModel(ApiContext& context, const ApiCaller& caller,
                                                     const std::string& name,
                                                     const ModelWaiter& waiter);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_MODEL_ACCESS_H_
