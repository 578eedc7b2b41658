#ifndef FORETOKEN_SERVER_WIRE_ERROR_H_
#define FORETOKEN_SERVER_WIRE_ERROR_H_

#include <string>
#include <utility>
#include <variant>

#include "foretoken/status.h"

namespace foretoken {

// An error as OpenAI's clients read it: {"error": {"message", "type", "param", "code"}}.
struct WireError {
  int http_status = 500;
  std::string type;   // "invalid_request_error", "rate_limit_error", ...
  std::string param;  // the field that is wrong, as a path ("messages[0].role"); empty: none
  std::string code;   // a stable name for programs; empty: none
  std::string message;

  friend bool operator==(const WireError&, const WireError&) = default;
};

// A value or the error that the client gets instead.
template <typename T>
class [[nodiscard]] WireResult {
 public:
  WireResult(T value) : state_(std::move(value)) {}          // NOLINT: implicit by design
  WireResult(WireError error) : state_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return std::holds_alternative<T>(state_); }
  // Precondition: !ok().
  const WireError& error() const { return std::get<WireError>(state_); }
  // Precondition for all of these: ok().
  T& value() & { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const T& value() const& { return std::get<T>(state_); }
  const T& operator*() const& { return value(); }

 private:
  std::variant<T, WireError> state_;
};

// The one place where our status codes become HTTP's.
WireError WireErrorOf(const Status& status);

// The body of the answer, JSON.
std::string WireErrorBody(const WireError& error);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WIRE_ERROR_H_
