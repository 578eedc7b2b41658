#ifndef FORETOKEN_STATUS_H_
#define FORETOKEN_STATUS_H_

#include <cassert>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace foretoken {

// The closed list of ways in which a call can fail, chosen by what the caller can do next.
enum class StatusCode {
  kOk = 0,
  kInvalidArgument,     // the request is wrong and stays wrong: change it
  kNotFound,            // the named thing does not exist
  kFailedPrecondition,  // right request, wrong state: change the state first
  kResourceExhausted,   // no room (KV cells, memory, disk): retry when others are done
  kCancelled,           // the caller, or an abort callback, asked to stop
  kDeadlineExceeded,    // the time that was allowed is over
  kUnavailable,         // a passing fault outside (network): retry
  kDataLoss,            // a file or a stream is corrupt: fetch it again
  kPermissionDenied,    // the operating system or a policy refused
  kUnimplemented,       // this build or this model cannot do it
  kInternal,            // a fault of ours or of a library below
};

// "INVALID_ARGUMENT" and so on: stable names, for logs and wire formats.
std::string_view StatusCodeName(StatusCode code);

// Success, or a code with a message that says what was wrong, where, and what would be right.
// A value: copy, move and read it on any thread.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // "OK" or "CODE: message".
  std::string ToString() const;

  friend bool operator==(const Status&, const Status&) = default;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() {
  return Status();
}
Status InvalidArgumentError(std::string message);
Status NotFoundError(std::string message);
Status FailedPreconditionError(std::string message);
Status ResourceExhaustedError(std::string message);
Status CancelledError(std::string message);
Status DeadlineExceededError(std::string message);
Status UnavailableError(std::string message);
Status DataLossError(std::string message);
Status PermissionDeniedError(std::string message);
Status UnimplementedError(std::string message);
Status InternalError(std::string message);

// A value or the Status that explains its absence; never an OK status without a value.
// Stands in for std::expected until the standard in use has it.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}        // NOLINT: implicit by design
  Result(Status status) : state_(std::move(status)) {  // NOLINT: implicit by design
    assert(!std::get<Status>(state_).ok());
  }

  bool ok() const { return std::holds_alternative<T>(state_); }
  // OK when there is a value.
  Status status() const { return ok() ? OkStatus() : std::get<Status>(state_); }

  // Precondition for all of these: ok().
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<Status, T> state_;
};

}  // namespace foretoken

#endif  // FORETOKEN_STATUS_H_
