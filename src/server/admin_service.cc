#include "server/admin_service.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "server/api_errors.h"
#include "server/bearer.h"
#include "server/http_target.h"
#include "server/metrics_page.h"
#include "server/parse_body.h"
#include "store/api_key.h"
#include "store/usage_report.h"
#include "store/utc_time.h"

namespace foretoken {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTenants = "/admin/tenants";
constexpr std::string_view kKeys = "/admin/keys";
constexpr std::string_view kUsage = "/admin/usage";
constexpr size_t kLeastSecretBytes = 16;

bool IsHealth(std::string_view path) {
  return path == "/health/live" || path == "/health/ready";
}

HttpResponse JsonAnswer(const Json& body, int status = 200) {
  return {status,
          {{"content-type", "application/json"}, {"cache-control", "no-store"}},
          body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

HttpResponse ErrorAnswer(const Status& status) {
  return ErrorResponse(WireErrorOf(status));
}

Json TenantJson(const TenantRecord& record) {
  Json json = Json::parse(TenantSettingsJson(record));
  json["name"] = record.name;
  json["created"] = FormatUtc(record.created_ms);
  return json;
}

// A tenant as it is now; another process may have removed it since.
HttpResponse TenantAnswer(TenantStore& store, const std::string& name, int status) {
  const auto records = store.ListTenants(name);
  if (!records.ok()) return ErrorAnswer(records.status());
  return JsonAnswer(TenantJson(records->front()), status);
}

Json TimeOrNull(std::optional<int64_t> ms) {
  return ms ? Json(FormatUtc(*ms)) : Json();
}

Json KeyJson(const KeyRecord& record) {
  return {{"id", record.id},
          {"tenant", record.tenant},
          {"label", record.label},
          {"created", FormatUtc(record.created_ms)},
          {"expires", TimeOrNull(record.expires_ms)},
          {"revoked", TimeOrNull(record.revoked_ms)},
          {"last_used", TimeOrNull(record.last_used_ms)}};
}

// A JSON object, or INVALID_ARGUMENT.
Result<Json> ObjectOf(const std::string& body) {
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InvalidArgumentError("the body must be a JSON object");
  return json;
}

// Takes a text out of an object.
Result<std::string> TakeText(Json& object, const char* key, bool is_needed) {
  const auto found = object.find(key);
  if (found == object.end()) {
    if (is_needed) return InvalidArgumentError(fmt::format("'{}' is missing", key));
    return std::string();
  }
  if (!found->is_string()) return InvalidArgumentError(fmt::format("'{}' must be a text", key));
  std::string text = found->get<std::string>();
  object.erase(found);
  return text;
}

// The parameters of a query: "a=b&c=d", nothing decoded but what names and times need.
std::map<std::string, std::string> ParametersOf(const std::string& query) {
  std::map<std::string, std::string> parameters;
  for (size_t begin = 0; begin < query.size();) {
    const size_t end = std::min(query.find('&', begin), query.size());
    const std::string_view pair = std::string_view(query).substr(begin, end - begin);
    const size_t equals = std::min(pair.find('='), pair.size());
    std::string value(pair.substr(std::min(equals + 1, pair.size())));
    for (const auto& [escape, plain] :
         {std::pair{"%2C", ","}, {"%2c", ","}, {"%3A", ":"}, {"%3a", ":"}}) {
      for (size_t at = 0; (at = value.find(escape, at)) != std::string::npos;) {
        value.replace(at, 3, plain);
      }
    }
    parameters[std::string(pair.substr(0, equals))] = std::move(value);
    begin = end + 1;
  }
  return parameters;
}

// The part of the path behind "/admin/tenants/"; empty for the list itself.
std::optional<std::string> RestOf(std::string_view path, std::string_view prefix) {
  if (path == prefix) return std::string();
  if (!path.starts_with(prefix) || path[prefix.size()] != '/') return std::nullopt;
  return std::string(path.substr(prefix.size() + 1));
}

}  // namespace

Result<std::string> ReadSecretFile(const std::string& path) {
  struct stat info {};
  std::ifstream file(path);
  if (!file || stat(path.c_str(), &info) != 0) {
    return NotFoundError(fmt::format("the secret file {} cannot be read", path));
  }
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return FailedPreconditionError(fmt::format(
        "the secret file {} is open to others than its owner: chmod 600 {}", path, path));
  }
  std::string secret;
  std::getline(file, secret);
  // No header's value ends with these, so no client could send them.
  secret.erase(secret.find_last_not_of(" \t\r") + 1);
  if (secret.size() < kLeastSecretBytes) {
    return FailedPreconditionError(
        fmt::format("the secret of {} is shorter than {} characters", path, kLeastSecretBytes));
  }
  return secret;
}

std::optional<HttpResponse> AdminService::CheckHead(const HttpRequest& request) const {
  if (IsHealth(request.path)) return std::nullopt;
  if (!SameSecret(BearerOf(request.headers), options_.secret)) {
    WireError error = UnauthorizedError();
    error.message = "the admin secret is wanted: Authorization: Bearer SECRET";
    return ErrorResponse(error);
  }
  return std::nullopt;
}

asio::awaitable<void> AdminService::Answer(HttpExchange& exchange) {
  const HttpRequest& request = exchange.request();
  HttpResponse response;
  const bool is_read = request.method == "GET" || request.method == "HEAD";
  if (!is_read && (IsHealth(request.path) || request.path == "/metrics")) {
    response = MethodNotAllowedResponse(request.method, "GET, HEAD");
  } else if (IsHealth(request.path)) {
    const bool is_well = request.path == "/health/live" || !context_.is_draining;
    Json body = {{"status", is_well ? "ok" : "draining"}};
    if (context_.directory != nullptr && !context_.directory->health().ok()) {
      body["store"] = context_.directory->health().message();
    }
    response = JsonAnswer(body, is_well ? 200 : 503);
  } else if (request.path == "/metrics") {
    MetricsSnapshot snapshot;
    snapshot.engines = options_.manager->Metrics();
    if (options_.http_counts) snapshot.listeners = options_.http_counts();
    snapshot.models = context_.pool.States();
    snapshot.api = context_.metrics.Read();
    response.headers.emplace_back("content-type", "text/plain; version=0.0.4; charset=utf-8");
    response.body = MetricsPage(snapshot);
  } else {
    response = co_await OnWorkers(context_, [&] { return AnswerStore(request); });
  }
  (void)co_await exchange.Respond(std::move(response));
}

HttpResponse AdminService::AnswerStore(const HttpRequest& request) {
  const auto tenant = RestOf(request.path, kTenants);
  const auto key = RestOf(request.path, kKeys);
  if (!tenant && !key && request.path != kUsage) {
    return ErrorAnswer(NotFoundError("there is nothing at this path"));
  }
  if (options_.store == nullptr) {
    return ErrorAnswer(FailedPreconditionError(
        "this server has no store, so no tenants: name one in its configuration"));
  }
  HttpResponse response = tenant ? AnswerTenants(request, *tenant)
                          : key  ? AnswerKeys(request, *key)
                                 : AnswerUsage(request);
  if (request.method != "GET" && response.status < 300) {
    // In force when the answer is there.
    if (const Status reloaded = context_.directory->Reload(); !reloaded.ok()) {
      return ErrorAnswer(reloaded);
    }
  }
  return response;
}

HttpResponse AdminService::AnswerTenants(const HttpRequest& request, const std::string& name) {
  TenantStore& store = *options_.store;
  if (request.method == "GET") {
    if (!name.empty()) return TenantAnswer(store, name, 200);
    const auto records = store.ListTenants();
    if (!records.ok()) return ErrorAnswer(records.status());
    Json list = Json::array();
    for (const TenantRecord& record : *records) list.push_back(TenantJson(record));
    return JsonAnswer({{"tenants", std::move(list)}});
  }
  if (request.method == "DELETE" && !name.empty()) {
    const bool keeps_usage = ParametersOf(request.query)["usage"] == "keep";
    const auto deletion = store.DeleteTenant(name, !keeps_usage);
    if (!deletion.ok()) return ErrorAnswer(deletion.status());
    return JsonAnswer({{"tenant", deletion->tenant},
                       {"keys", deletion->keys},
                       {"usage_records", deletion->usage_records},
                       {"log_emptied", deletion->log_emptied}});
  }
  auto body = ObjectOf(request.body);
  if (request.method == "POST" && name.empty()) {
    if (!body.ok()) return ErrorAnswer(body.status());
    TenantRecord record;
    auto own_name = TakeText(*body, "name", /*is_needed=*/true);
    if (!own_name.ok()) return ErrorAnswer(own_name.status());
    record.name = *std::move(own_name);
    if (const Status applied = ApplyTenantSettings(body->dump(), record); !applied.ok()) {
      return ErrorAnswer(applied);
    }
    const std::string added = record.name;
    if (const Status status = store.AddTenant(std::move(record)); !status.ok()) {
      return ErrorAnswer(status);
    }
    return TenantAnswer(store, added, 201);
  }
  if (request.method == "PATCH" && !name.empty()) {
    if (!body.ok()) return ErrorAnswer(body.status());
    const Status status = store.UpdateTenant(
        name, [&](TenantRecord& record) { return ApplyTenantSettings(body->dump(), record); });
    if (!status.ok()) return ErrorAnswer(status);
    return TenantAnswer(store, name, 200);
  }
  return MethodNotAllowedResponse(request.method,
                                  name.empty() ? "GET, POST" : "GET, PATCH, DELETE");
}

HttpResponse AdminService::AnswerKeys(const HttpRequest& request, const std::string& rest) {
  TenantStore& store = *options_.store;
  if (request.method == "GET" && rest.empty()) {
    const auto records = store.ListKeys(ParametersOf(request.query)["tenant"]);
    if (!records.ok()) return ErrorAnswer(records.status());
    Json list = Json::array();
    for (const KeyRecord& record : *records) list.push_back(KeyJson(record));
    return JsonAnswer({{"keys", std::move(list)}});
  }
  if (request.method == "DELETE" && !rest.empty()) {
    if (const Status status = store.RevokeKey(rest); !status.ok()) return ErrorAnswer(status);
    return JsonAnswer({{"revoked", rest}});
  }
  if (request.method != "POST" || !rest.empty()) {
    return MethodNotAllowedResponse(request.method, rest.empty() ? "GET, POST" : "DELETE");
  }
  auto body = ObjectOf(request.body);
  if (!body.ok()) return ErrorAnswer(body.status());
  auto tenant = TakeText(*body, "tenant", /*is_needed=*/true);
  auto label = TakeText(*body, "label", /*is_needed=*/false);
  auto expires = TakeText(*body, "expires", /*is_needed=*/false);
  for (const auto* text : {&tenant, &label, &expires}) {
    if (!text->ok()) return ErrorAnswer(text->status());
  }
  if (!body->empty()) {
    return ErrorAnswer(InvalidArgumentError(
        fmt::format("'{}' is not known; tenant, label and expires are", body->begin().key())));
  }
  std::optional<int64_t> expires_ms;
  if (!expires->empty()) {
    const auto time = ParseUtc(*expires);
    if (!time.ok()) return ErrorAnswer(time.status());
    expires_ms = *time;
  }
  const auto created = store.AddKey(*tenant, *label, expires_ms);
  if (!created.ok()) return ErrorAnswer(created.status());
  Json json = KeyJson(created->record);
  json["key"] = created->secret;  // the only time that it is seen
  return JsonAnswer(json, 201);
}

HttpResponse AdminService::AnswerUsage(const HttpRequest& request) {
  if (request.method != "GET") return MethodNotAllowedResponse(request.method, "GET");
  auto parameters = ParametersOf(request.query);
  UsageQuery query;
  query.tenant = parameters["tenant"];
  for (const auto& [name, target] :
       {std::pair{"from", &query.from_ms}, std::pair{"to", &query.to_ms}}) {
    if (parameters[name].empty()) continue;
    const auto time = ParseUtc(parameters[name]);
    if (!time.ok()) return ErrorAnswer(time.status());
    *target = *time;
  }
  if (!parameters["by"].empty()) {
    auto by = ParseUsageDimensions(parameters["by"]);
    if (!by.ok()) return ErrorAnswer(by.status());
    query.by = *std::move(by);
  }
  const auto sums = context_.ledger->Sum(query);
  if (!sums.ok()) return ErrorAnswer(sums.status());
  return JsonAnswer({{"usage", Json::parse(UsageJson(query.by, *sums))}});
}

}  // namespace foretoken
