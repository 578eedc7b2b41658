#include "store/tenant_record.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include <fmt/format.h>

#include "base/macros.h"
#include "base/utf8.h"

namespace foretoken {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kNameBytes = 63;
constexpr size_t kListed = 1000;
constexpr size_t kListedNameBytes = 256;

constexpr std::array<std::pair<SpeculationMode, std::string_view>, 3> kModes = {
    {{SpeculationMode::kAuto, "auto"},
     {SpeculationMode::kOff, "off"},
     {SpeculationMode::kFixed, "fixed"}}};

Status ValidateListedName(const char* field, const std::string& name) {
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
  if (name.size() <= kListedNameBytes && IsValidUtf8(name) && !control) return OkStatus();
  return InvalidArgumentError(fmt::format(
      "{} has a name that is not one line of at most {} bytes of UTF-8", field, kListedNameBytes));
}

Status ValidateList(const char* field, const std::vector<std::string>& names) {
  if (names.size() > kListed) {
    return InvalidArgumentError(
        fmt::format("{} has {} names; at most {} are allowed", field, names.size(), kListed));
  }
  for (const std::string& name : names) {
    if (name.empty()) return InvalidArgumentError(fmt::format("{} has an empty name", field));
    FORETOKEN_RETURN_IF_ERROR(ValidateListedName(field, name));
  }
  return OkStatus();
}

template <typename T>
Status OutOfRange(const char* field, T value, const char* range) {
  return InvalidArgumentError(fmt::format("{} is {}; it must be {}", field, value, range));
}

Status WrongType(std::string_view field, const Json& value, const char* wanted) {
  return InvalidArgumentError(fmt::format("{} is {}; it must be {}", field,
                                          value.dump(-1, ' ', true, Json::error_handler_t::replace),
                                          wanted));
}

Status Read(std::string_view field, const Json& value, std::string& target) {
  if (!value.is_string()) return WrongType(field, value, "a string");
  target = value.get<std::string>();
  return OkStatus();
}

Status Read(std::string_view field, const Json& value, bool& target) {
  if (!value.is_boolean()) return WrongType(field, value, "true or false");
  target = value.get<bool>();
  return OkStatus();
}

Status Read(std::string_view field, const Json& value, double& target) {
  if (!value.is_number()) return WrongType(field, value, "a number");
  target = value.get<double>();
  return OkStatus();
}

template <typename Integer>
Status ReadInteger(std::string_view field, const Json& value, Integer& target) {
  constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<Integer>::max());
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= kLargest
                        : value.is_number_integer() &&
                              value.get<int64_t>() >= std::numeric_limits<Integer>::min();
  if (!fits) return WrongType(field, value, "a whole number");
  target = value.get<Integer>();
  return OkStatus();
}

Status Read(std::string_view field, const Json& value, int64_t& target) {
  return ReadInteger(field, value, target);
}

Status Read(std::string_view field, const Json& value, int32_t& target) {
  return ReadInteger(field, value, target);
}

Status Read(std::string_view field, const Json& value, std::vector<std::string>& target) {
  const bool strings = value.is_array() && std::all_of(value.begin(), value.end(),
                                                       [](const Json& v) { return v.is_string(); });
  if (!strings) return WrongType(field, value, "an array of strings");
  target = value.get<std::vector<std::string>>();
  return OkStatus();
}

Status Read(std::string_view field, const Json& value, SpeculationMode& target) {
  const auto* mode = std::find_if(kModes.begin(), kModes.end(), [&](const auto& known) {
    return value.is_string() && value.get_ref<const std::string&>() == known.second;
  });
  if (mode == kModes.end()) return WrongType(field, value, "\"auto\", \"off\" or \"fixed\"");
  target = mode->first;
  return OkStatus();
}

// Calls `visit(name, field)` for every field of its type, so that writing, reading and their names
// cannot part.
template <typename Speculation, typename Visit>
void VisitFields(Speculation& speculation, const Visit& visit) requires(
    std::is_same_v<std::remove_const_t<Speculation>, TenantSpeculation>) {
  visit("mode", speculation.mode);
  visit("draft_k", speculation.draft_k);
  visit("max_draft_tokens", speculation.max_draft_tokens);
}

template <typename Tenant, typename Visit>
void VisitFields(Tenant& tenant, const Visit& visit) requires(
    std::is_same_v<std::remove_const_t<Tenant>, TenantRecord>) {
  visit("target", tenant.target);
  visit("draft_model", tenant.draft_model);
  visit("speculation", tenant.speculation);
  visit("models", tenant.models);
  visit("adapters", tenant.adapters);
  visit("weight", tenant.weight);
  visit("requests_per_minute", tenant.quota.requests_per_minute);
  visit("tokens_per_minute", tenant.quota.tokens_per_minute);
  visit("tokens_per_day", tenant.quota.tokens_per_day);
  visit("concurrent_requests", tenant.quota.concurrent_requests);
  visit("kv_share", tenant.kv_share);
  visit("max_prompt_tokens", tenant.max_prompt_tokens);
  visit("max_completion_tokens", tenant.max_completion_tokens);
  visit("enabled", tenant.enabled);
}

template <typename T>
Json Written(const T& value) {
  return value;
}

Json Written(SpeculationMode mode) {
  for (const auto& [known, name] : kModes) {
    if (known == mode) return std::string(name);
  }
  return nullptr;
}

template <typename Object>
Json WrittenFields(const Object& object);

Json Written(const std::optional<std::string>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json Written(const std::optional<TenantSpeculation>& value) {
  return value ? WrittenFields(*value) : Json(nullptr);
}

template <typename Object>
Json WrittenFields(const Object& object) {
  Json json = Json::object();
  VisitFields(object,
              [&json](const char* name, const auto& field) { json[name] = Written(field); });
  return json;
}

template <typename Object>
Status ReadFields(const std::string& prefix, const Json& json, Object& object);

Status Read(std::string_view field, const Json& value, std::optional<std::string>& target) {
  return Read(field, value, target.emplace());
}

Status Read(std::string_view field, const Json& value, std::optional<TenantSpeculation>& target) {
  if (!value.is_object()) return WrongType(field, value, "an object or null");
  if (!target) target.emplace();
  return ReadFields(std::string(field) + ".", value, *target);
}

template <typename Object>
Status ReadFields(const std::string& prefix, const Json& json, Object& object) {
  Status status;
  size_t known = 0;
  const Object defaults;
  std::vector<std::string> names;
  VisitFields(object, [&](const char* name, auto& field) {
    names.emplace_back(name);
    const auto found = json.find(name);
    if (found == json.end()) return;
    ++known;
    if (!status.ok()) return;
    if (!found->is_null()) {
      status = Read(prefix + name, *found, field);
      return;
    }
    VisitFields(defaults, [&](const char* other, const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::decay_t<decltype(field)>>) {
        if (std::string_view(other) == name) field = value;
      }
    });
  });
  if (!status.ok() || known == json.size()) return status;
  for (const auto& item : json.items()) {
    if (std::find(names.begin(), names.end(), item.key()) == names.end()) {
      return InvalidArgumentError(fmt::format("{}{} is not a setting of a tenant; there are {}",
                                              prefix, item.key(), fmt::join(names, ", ")));
    }
  }
  return status;
}

}  // namespace

Status ValidateTenantName(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool right = !name.empty() && name.size() <= kNameBytes && plain(name.front()) &&
                     std::all_of(name.begin(), name.end(), [&](char c) {
                       return plain(c) || c == '.' || c == '_' || c == '-';
                     });
  if (right) return OkStatus();
  return InvalidArgumentError(
      fmt::format("'{}' is no name for a tenant: it has 1 to {} of a-z, 0-9, '.', '_' and '-', and "
                  "begins with a letter or a digit",
                  name, kNameBytes));
}

Status Validate(const TenantRecord& t) {
  FORETOKEN_RETURN_IF_ERROR(ValidateTenantName(t.name));
  FORETOKEN_RETURN_IF_ERROR(ValidateListedName("target", t.target));
  if (t.draft_model) FORETOKEN_RETURN_IF_ERROR(ValidateListedName("draft_model", *t.draft_model));
  FORETOKEN_RETURN_IF_ERROR(ValidateList("models", t.models));
  FORETOKEN_RETURN_IF_ERROR(ValidateList("adapters", t.adapters));
  const bool allowed = t.target.empty() || t.models.empty() ||
                       std::find(t.models.begin(), t.models.end(), t.target) != t.models.end();
  if (!allowed) {
    return InvalidArgumentError(fmt::format("target is '{}', which is not among its models ({})",
                                            t.target, fmt::join(t.models, ", ")));
  }
  if (t.speculation) {
    if (t.speculation->draft_k < 0) {
      return OutOfRange("draft_k", t.speculation->draft_k, "0 (plain decoding) or more");
    }
    if (t.speculation->max_draft_tokens < 0) {
      return OutOfRange("max_draft_tokens", t.speculation->max_draft_tokens,
                        "0 (plain decoding) or more");
    }
  }
  // Written so that NaN is outside.
  if (!(t.weight >= 0.001 && t.weight <= 1000)) {
    return OutOfRange("weight", t.weight, "between 0.001 and 1,000");
  }
  FORETOKEN_RETURN_IF_ERROR(Validate(t.quota));
  if (!(t.kv_share > 0 && t.kv_share <= 1)) {
    return OutOfRange("kv_share", t.kv_share, "above 0 and at most 1 (no limit)");
  }
  if (t.max_prompt_tokens < 0) {
    return OutOfRange("max_prompt_tokens", t.max_prompt_tokens, "0 (no limit) or more");
  }
  if (t.max_completion_tokens < 0) {
    return OutOfRange("max_completion_tokens", t.max_completion_tokens, "0 (no limit) or more");
  }
  return OkStatus();
}

std::string TenantSettingsJson(const TenantRecord& tenant) {
  return WrittenFields(tenant).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status ApplyTenantSettings(std::string_view json, TenantRecord& tenant) {
  const Json settings = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!settings.is_object()) {
    return InvalidArgumentError("the settings of a tenant are not a JSON object");
  }
  return ReadFields("", settings, tenant);
}

}  // namespace foretoken
