#include "unit/server/served_fixture.h"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <chrono>
#include <thread>

#include "server/admin_service.h"
#include "server/api_context.h"
#include "server/api_service.h"
#include "server/http_server.h"
#include "store/usage_ledger.h"

namespace foretoken {

using Json = nlohmann::json;

void DecodeGate::Set(int64_t count, Status failure) {
  const std::lock_guard<std::mutex> lock(mutex_);
  left_ = count;
  failure_ = std::move(failure);
  changed_.notify_all();
}

bool DecodeGate::is_closed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return left_ == 0;
}

Status DecodeGate::Pass() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return left_ > 0 || !failure_.ok(); });
  if (left_ == 0) return failure_;
  --left_;
  return OkStatus();
}

std::string Called::header(const std::string& name) const {
  const auto found = raw.headers.find(name);
  return found == raw.headers.end() ? "" : found->second;
}

Json Called::json() const {
  return Json::parse(raw.body, nullptr, /*allow_exceptions=*/false);
}

std::string Called::error(const std::string& member) const {
  const Json body = json();
  if (!body.is_object() || !body.contains("error")) return "no error: " + raw.body;
  const Json& value = body["error"][member];
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::vector<Json> Called::events() const {
  std::vector<Json> events;
  for (size_t at = 0; at < raw.body.size();) {
    const size_t end = raw.body.find("\n\n", at);
    std::string event = raw.body.substr(at, end - at);
    at = end == std::string::npos ? raw.body.size() : end + 2;
    const size_t data = event.find("data: ");
    if (data == std::string::npos) continue;  // a comment
    const std::string text = event.substr(data + 6);
    events.push_back(text == "[DONE]" ? Json(text) : Json::parse(text, nullptr, false));
  }
  return events;
}

// In the order of their making; those above are used by those below.
struct ServedFixture::Parts {
  std::unique_ptr<IoThreads> io;
  std::unique_ptr<UsageLedger> ledger;
  std::unique_ptr<TenantStore> store;
  std::unique_ptr<ModelPool> pool;
  std::unique_ptr<ApiContext> context;
  std::unique_ptr<TenantDirectory> directory;
  std::unique_ptr<ApiService> service;
  std::unique_ptr<AdminService> admin;
  std::unique_ptr<HttpServer> listener;
  std::unique_ptr<HttpServer> admin_listener;
};

ServedFixture::ServedFixture() {
  model_options_.context_tokens = 512;
  for (const char* name : {"m", "other"}) {
    ServedModel model;
    model.name = name;
    model.target = {.id = name, .path = name};
    model.target.kv_cache_tokens = 4096;
    config_.models.push_back(model);
  }
  store_ = TenantStore::Open(store_path_, StoreFile::kCreateIfMissing).value();
}

ServedFixture::~ServedFixture() {
  gate_.Open();
  if (parts_ == nullptr) return;
  parts_->listener.reset();
  parts_->admin_listener.reset();
  // Engines may still wake up what waited on these threads.
  const std::unique_ptr<IoThreads> io = std::move(parts_->io);
  parts_.reset();
  runtime_.reset();
}

void ServedFixture::Serve() {
  if (has_store_ && key_.empty()) key_ = AddTenant("acme");
  runtime_ = std::make_unique<FakeRuntime>(
      config_.runtime,
      std::map<std::string, FakeModelOptions>{{"m", model_options_}, {"other", model_options_}});
  for (auto& [name, control] : runtime_->controls) {
    control->before_decode = [this](int64_t, std::span<const BatchRow>) { return gate_.Pass(); };
  }
  parts_ = std::make_unique<Parts>();
  Parts& parts = *parts_;
  parts.io = IoThreads::Start(2).value();
  parts.pool = std::make_unique<ModelPool>(*runtime_->manager, config_.models, ModelPoolOptions());
  parts.context = std::make_unique<ApiContext>(config_, *parts.pool);
  parts.context->system_fingerprint = "test";
  parts.context->resolve_draft = [](const std::string& name,
                                    const ServedModel& target) -> Result<ModelConfig> {
    ModelConfig draft = target.target;
    draft.id = draft.path = name;
    return draft;
  };
  AdminServiceOptions admin;
  admin.secret = kSecret;
  admin.manager = runtime_->manager.get();
  if (has_store_) {
    TenantDirectoryOptions options;
    options.path = store_path_;
    options.on_change = [&parts](const DirectorySnapshot& snapshot) {
      if (!snapshot.tenants.contains("acme")) parts.pool->ForgetTenant("acme");
    };
    parts.directory = TenantDirectory::Open(std::move(options)).value();
    parts.ledger = UsageLedger::Open(store_path_, StoreFile::kMustExist).value();
    parts.store = TenantStore::Open(store_path_, StoreFile::kMustExist).value();
    parts.context->directory = parts.directory.get();
    parts.context->ledger = parts.ledger.get();
    admin.store = parts.store.get();
  } else {
    auto tenant = std::make_shared<DirectoryTenant>();
    tenant->record.name = "default";
    tenant->quota = std::make_shared<TenantQuota>(tenant->record.quota);
    parts.context->keyless_tenant = std::move(tenant);
  }
  parts.service = std::make_unique<ApiService>(*parts.context);
  parts.admin = std::make_unique<AdminService>(*parts.context, std::move(admin));
  HttpListenerOptions listener;
  listener.check_head = [&parts](const HttpRequest& head) {
    return parts.service->CheckHead(head);
  };
  parts.listener =
      HttpServer::Create(*parts.io, std::move(listener), [&parts](HttpExchange& exchange) {
        return parts.service->Answer(exchange);
      }).value();
  HttpListenerOptions admin_listener;
  admin_listener.check_head = [&parts](const HttpRequest& head) {
    return parts.admin->CheckHead(head);
  };
  parts.admin_listener =
      HttpServer::Create(*parts.io, std::move(admin_listener), [&parts](HttpExchange& exchange) {
        return parts.admin->Answer(exchange);
      }).value();
  parts.listener->Start();
  parts.admin_listener->Start();
}

std::string ServedFixture::AddTenant(const std::string& name,
                                     const std::function<void(TenantRecord&)>& change) {
  TenantRecord record;
  record.name = name;
  if (change) change(record);
  EXPECT_TRUE(store_->AddTenant(record).ok());
  const auto key = store_->AddKey(name, "test", std::nullopt);
  EXPECT_TRUE(key.ok()) << key.status().ToString();
  const Status reloaded = parts_ ? parts_->directory->Reload() : OkStatus();
  EXPECT_TRUE(reloaded.ok()) << reloaded.ToString();
  return key->secret;
}

std::string ServedFixture::RequestText(const std::string& method, const std::string& path,
                                       const std::string& body, const std::string& key) const {
  std::string text = method + " " + path + " HTTP/1.1\r\nhost: test\r\n";
  if (!key.empty()) text += "authorization: Bearer " + key + "\r\n";
  if (!body.empty()) text += "content-type: application/json\r\n";
  text += "content-length: " + std::to_string(body.size()) + "\r\n\r\n";
  return text + body;
}

Called ServedFixture::Call(const std::string& method, const std::string& path,
                           const std::string& body, const std::string& key) {
  RawHttpClient client(port());
  EXPECT_TRUE(client.Send(RequestText(method, path, body, key)));
  return {client.ReadResponse(method == "HEAD")};
}

Called ServedFixture::Post(const std::string& path, const Json& body) {
  return Call("POST", path, body.dump(), key_);
}

Called ServedFixture::Admin(const std::string& method, const std::string& path,
                            const std::string& body, const std::string& secret) {
  RawHttpClient client(parts_->admin_listener->port());
  EXPECT_TRUE(client.Send(RequestText(method, path, body, secret)));
  return {client.ReadResponse(method == "HEAD")};
}

uint16_t ServedFixture::port() const {
  return parts_->listener->port();
}

ApiContext& ServedFixture::context() {
  return *parts_->context;
}

ApiService& ServedFixture::service() {
  return *parts_->service;
}

TenantQuota& ServedFixture::QuotaOf(const std::string& tenant) {
  if (!has_store_) return *parts_->context->keyless_tenant->quota;
  return *parts_->directory->snapshot()->tenants.at(tenant)->quota;
}

std::vector<LedgerRow> ServedFixture::Ledger() const {
  std::vector<LedgerRow> rows;
  SQLite::Database database(store_path_);
  SQLite::Statement query(
      database,
      "SELECT tenant, key_id, model, prompt_tokens, cached_tokens, completion_tokens, "
      "drafted_tokens, accepted_tokens, outcome, http_status FROM usage ORDER BY finished_ms");
  while (query.executeStep()) {
    rows.push_back({query.getColumn(0).getString(), query.getColumn(1).getString(),
                    query.getColumn(2).getString(), query.getColumn(3).getInt64(),
                    query.getColumn(4).getInt64(), query.getColumn(5).getInt64(),
                    query.getColumn(6).getInt64(), query.getColumn(7).getInt64(),
                    query.getColumn(8).getString(), query.getColumn(9).getInt64()});
  }
  return rows;
}

GenerationResult ServedFixture::Direct(PromptContent prompt, const GenerateOptions& options) {
  TenantConfig config;
  config.name = "direct";
  config.target = config_.models.front().target;
  const auto runtime = runtime_->manager->AddTenant(config).value();
  auto result = runtime->Generate({.prompt = std::move(prompt), .options = options});
  EXPECT_TRUE(runtime_->manager->RemoveTenant("direct").ok());
  return std::move(result).value();
}

int32_t ServedFixture::RunningInEngines() const {
  int32_t running = 0;
  for (const EngineMetrics& engine : runtime_->manager->Metrics()) {
    running += engine.total.requests.running + engine.total.requests.queued;
  }
  return running;
}

void ServedFixture::Await(const std::function<bool()>& is_there) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!is_there()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Json ChatJson(const Json& more) {
  Json body = {{"model", "m"},
               {"messages", {{{"role", "user"}, {"content", "hello"}}}},
               {"max_tokens", 12},
               {"seed", 4},
               {"ignore_eos", true}};
  body.update(more);
  return body;
}

Json CompletionJson(const Json& more) {
  Json body = {
      {"model", "m"}, {"prompt", "hello"}, {"max_tokens", 12}, {"seed", 4}, {"ignore_eos", true}};
  body.update(more);
  return body;
}

GenerateOptions DirectOptions(int32_t max_tokens) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.sampling.seed = 4;
  options.ignore_end_of_text = true;
  return options;
}

ChatPrompt DirectChat() {
  ChatPrompt prompt;
  prompt.messages.push_back({.role = "user", .content = "hello"});
  return prompt;
}

std::string TextOfLegacyChunks(const std::vector<Json>& events, int choice) {
  std::string text;
  for (const Json& event : events) {
    if (!event.is_object() || !event.contains("choices")) continue;
    for (const Json& part : event["choices"]) {
      if (part["index"] == choice) text += part.value("text", "");
    }
  }
  return text;
}

std::string TextOfChatChunks(const std::vector<Json>& events, int choice) {
  std::string text;
  for (const Json& event : events) {
    if (!event.is_object() || !event.contains("choices")) continue;
    for (const Json& part : event["choices"]) {
      if (part["index"] != choice || !part["delta"].contains("content")) continue;
      const Json& content = part["delta"]["content"];
      if (content.is_string()) text += content.get<std::string>();
    }
  }
  return text;
}

}  // namespace foretoken
