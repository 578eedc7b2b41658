#ifndef FORETOKEN_SERVER_WIRE_OBJECT_H_
#define FORETOKEN_SERVER_WIRE_OBJECT_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/wire_error.h"

namespace foretoken {

// What the reading of one request came to: its first mistake, and the fields nobody read.
// A plain value; one thread.
class WireReport {
 public:
  // 400 with the field's path. Only the first counts.
  void Fail(std::string param, std::string code, std::string message);
  bool failed() const { return error_.has_value(); }
  // Precondition: failed().
  const WireError& error() const { return *error_; }

  // Names a field that has no effect. At most kMaxIgnoredFields are kept.
  void Ignore(const std::string& path);
  // Printable ASCII without commas, each at most 64 bytes: fit for a header.
  std::vector<std::string> TakeIgnored() { return std::move(ignored_); }

 private:
  std::optional<WireError> error_;
  std::vector<std::string> ignored_;
};

inline constexpr size_t kMaxIgnoredFields = 32;

// The inclusive range of a number.
template <typename T>
struct WireRange {
  T low;
  T high;
};

// A JSON object of a request, read field by field: each reader returns the value if it is there,
// not null, and right; a wrong one is reported with its path. `json` and the report must outlive
// it. One thread.
class WireObject {
 public:
  // Anything but an object is reported and read as an empty one.
  WireObject(const nlohmann::json& json, std::string path, WireReport& report);

  // The field as it is; null pointer where it is absent or null.
  const nlohmann::json* Find(const char* name);
  std::optional<bool> Bool(const char* name);
  // 3.0 is an integer, as in JSON Schema.
  std::optional<int64_t> Integer(const char* name, WireRange<int64_t> range);
  std::optional<double> Number(const char* name, WireRange<double> range);
  std::optional<std::string> String(const char* name);
  std::optional<std::string> OneOf(const char* name, std::initializer_list<const char*> allowed);
  // Null pointers where the field is absent or wrong.
  const nlohmann::json* Array(const char* name);
  const nlohmann::json* Object(const char* name);
  // The same, but the field must be there.
  std::string RequiredString(const char* name);
  const nlohmann::json* RequiredArray(const char* name);
  const nlohmann::json* RequiredObject(const char* name);

  // "messages[2].role" for a field of messages[2].
  std::string PathOf(std::string_view name) const;
  // Reports a mistake of the field.
  void FailValue(std::string_view name, std::string message);
  void FailType(std::string_view name, const nlohmann::json& value, std::string_view expected);
  void FailMissing(std::string_view name, std::string_view expected);
  void FailUnsupported(std::string_view name, std::string message);

  // Every field that was not read and is not null has no effect: says so to the report.
  void IgnoreRest();

  WireReport& report() { return report_; }

 private:
  const nlohmann::json* FindTyped(const char* name, nlohmann::json::value_t type,
                                  std::string_view expected);

  const nlohmann::json& json_;  // an object
  const std::string path_;
  WireReport& report_;
  std::set<std::string, std::less<>> read_;
};

// "messages[2]".
std::string WireIndex(const std::string& path, size_t index);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WIRE_OBJECT_H_
