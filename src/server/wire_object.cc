#include "server/wire_object.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "server/wire_json.h"
#include "server/wire_text.h"

namespace foretoken {
namespace {

constexpr size_t kMaxIgnoredFieldBytes = 64;
// Of what a client sent and a message quotes.
constexpr size_t kMaxQuotedBytes = 64;

const nlohmann::json& EmptyObject() {
  static const nlohmann::json empty = nlohmann::json::object();
  return empty;
}

// A part of it where it is long: a message is no place for a megabyte.
std::string Shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (text.size() > kMaxQuotedBytes) text = text.substr(0, kMaxQuotedBytes) + "...";
  return text;
}

template <typename T>
std::string Allowed(WireRange<T> range) {
  return fmt::format("between {} and {}", range.low, range.high);
}

// The integer that `value` is, if it is one that fits.
std::optional<int64_t> AsInteger(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  const auto number = value.get<double>();
  // A double at a bound may be an integer past it.
  constexpr double kLimit = 9223372036854775808.0;
  if (number != std::trunc(number) || number <= -kLimit || number >= kLimit) return std::nullopt;
  return static_cast<int64_t>(number);
}

bool IsWhole(const nlohmann::json& value) {
  return !value.is_number_float() || value.get<double>() == std::trunc(value.get<double>());
}

}  // namespace

void WireReport::Fail(std::string param, std::string code, std::string message) {
  if (error_) return;
  error_ = WireError{400, "invalid_request_error", std::move(param), std::move(code),
                     std::move(message)};
}

void WireReport::Ignore(const std::string& path) {
  if (ignored_.size() == kMaxIgnoredFields) return;
  std::string name = path.substr(0, kMaxIgnoredFieldBytes);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c <= ' ' || c > '~' || c == ','; }, '?');
  ignored_.push_back(std::move(name));
}

WireObject::WireObject(const nlohmann::json& json, std::string path, WireReport& report)
    : json_(json.is_object() ? json : EmptyObject()), path_(std::move(path)), report_(report) {
  if (!json.is_object()) {
    report_.Fail(path_, "invalid_type",
                 fmt::format("{} is {}; it must be an object", path_, JsonTypeName(json)));
  }
}

const nlohmann::json* WireObject::Find(const char* name) {
  read_.insert(name);
  const auto found = json_.find(name);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

const nlohmann::json* WireObject::FindTyped(const char* name, nlohmann::json::value_t type,
                                            std::string_view expected) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr || value->type() == type) return value;
  FailType(name, *value, expected);
  return nullptr;
}

std::optional<bool> WireObject::Bool(const char* name) {
  const auto* value = FindTyped(name, nlohmann::json::value_t::boolean, "true or false");
  if (value == nullptr) return std::nullopt;
  return value->get<bool>();
}

std::optional<int64_t> WireObject::Integer(const char* name, WireRange<int64_t> range) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    FailType(name, *value, "an integer " + Allowed(range));
    return std::nullopt;
  }
  const std::optional<int64_t> number = AsInteger(*value);
  if (number && *number >= range.low && *number <= range.high) return number;
  FailValue(name, fmt::format("{} is {}; it must be {}{}", PathOf(name), Shown(*value),
                              IsWhole(*value) ? "" : "an integer ", Allowed(range)));
  return std::nullopt;
}

std::optional<double> WireObject::Number(const char* name, WireRange<double> range) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    FailType(name, *value, "a number " + Allowed(range));
    return std::nullopt;
  }
  const auto number = value->get<double>();
  // + 0.0 makes 0 of -0.
  if (number >= range.low && number <= range.high) return number + 0.0;
  FailValue(name,
            fmt::format("{} is {}; it must be {}", PathOf(name), Shown(*value), Allowed(range)));
  return std::nullopt;
}

std::optional<std::string> WireObject::String(const char* name) {
  const auto* value = FindTyped(name, nlohmann::json::value_t::string, "a string");
  if (value == nullptr) return std::nullopt;
  return value->get_ref<const std::string&>();
}

std::optional<std::string> WireObject::OneOf(const char* name,
                                             std::initializer_list<const char*> allowed) {
  const std::string expected = (allowed.size() > 1 ? "one of " : "") + JoinWithCommas(allowed);
  const auto* value = FindTyped(name, nlohmann::json::value_t::string, expected);
  if (value == nullptr) return std::nullopt;
  const auto& text = value->get_ref<const std::string&>();
  if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return text;
  FailValue(name, fmt::format("{} is {}; it must be {}", PathOf(name), Shown(*value), expected));
  return std::nullopt;
}

const nlohmann::json* WireObject::Array(const char* name) {
  return FindTyped(name, nlohmann::json::value_t::array, "an array");
}

const nlohmann::json* WireObject::Object(const char* name) {
  return FindTyped(name, nlohmann::json::value_t::object, "an object");
}

std::string WireObject::RequiredString(const char* name) {
  if (Find(name) == nullptr) FailMissing(name, "a string");
  return String(name).value_or("");
}

const nlohmann::json* WireObject::RequiredArray(const char* name) {
  if (Find(name) == nullptr) FailMissing(name, "an array");
  return Array(name);
}

const nlohmann::json* WireObject::RequiredObject(const char* name) {
  if (Find(name) == nullptr) FailMissing(name, "an object");
  return Object(name);
}

std::string WireObject::PathOf(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void WireObject::FailValue(std::string_view name, std::string message) {
  report_.Fail(PathOf(name), "invalid_value", std::move(message));
}

void WireObject::FailType(std::string_view name, const nlohmann::json& value,
                          std::string_view expected) {
  report_.Fail(PathOf(name), "invalid_type",
               fmt::format("{} is {}; it must be {}", PathOf(name), JsonTypeName(value), expected));
}

void WireObject::FailMissing(std::string_view name, std::string_view expected) {
  report_.Fail(PathOf(name), "missing_required_parameter",
               fmt::format("{} is missing; it must be {}", PathOf(name), expected));
}

void WireObject::FailUnsupported(std::string_view name, std::string message) {
  report_.Fail(PathOf(name), "unsupported_value", std::move(message));
}

void WireObject::IgnoreRest() {
  for (const auto& [name, value] : json_.items()) {
    if (!value.is_null() && !read_.contains(name)) report_.Ignore(PathOf(name));
  }
}

std::string WireIndex(const std::string& path, size_t index) {
  return fmt::format("{}[{}]", path, index);
}

}  // namespace foretoken
