#ifndef FORETOKEN_SERVER_PARSE_BODY_H_
#define FORETOKEN_SERVER_PARSE_BODY_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "server/api_context.h"
#include "server/http_exchange.h"
#include "server/wire_error.h"

namespace foretoken {

// Bodies up to this are parsed on the I/O thread: some tens of microseconds.
inline constexpr size_t kSmallBodyBytes = 16 << 10;

// Runs `work`, which may take long, where it holds no I/O thread up.
template <typename Work>
asio::awaitable<decltype(std::declval<Work>()())> OnWorkers(ApiContext& context, Work work) {
  // Optional: what a coroutine hands over must be default-constructible.
  using Value = std::optional<decltype(work())>;
  const auto task = [&work]() -> asio::awaitable<Value> { co_return work(); };
  Value value = co_await asio::co_spawn(context.workers, task, asio::use_awaitable);
  co_return *std::move(value);
}

// Parses the request's body, and frees it.
template <typename Request>
asio::awaitable<WireResult<Request>> ParseBody(ApiContext& context, HttpExchange& exchange,
                                               WireResult<Request> (*parse)(std::string_view)) {
  const std::string& body = exchange.request().body;
  // No co_await in a conditional expression: GCC 12 destroys its value twice.
  std::optional<WireResult<Request>> parsed;
  if (body.size() <= kSmallBodyBytes) {
    parsed = parse(body);
  } else {
    parsed = co_await OnWorkers(context, [&body, parse] { return parse(body); });
  }
  exchange.ReleaseBody();
  co_return *std::move(parsed);
}

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_PARSE_BODY_H_
