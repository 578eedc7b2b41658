#ifndef FORETOKEN_UNIT_SERVER_SERVED_FIXTURE_H_
#define FORETOKEN_UNIT_SERVER_SERVED_FIXTURE_H_

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/server_config.h"
#include "store/tenant_directory.h"
#include "store/tenant_store.h"
#include "testing/temp_directory.h"
#include "unit/server/raw_http_client.h"
#include "unit/tenancy/fake_runtime.h"

namespace foretoken {

struct ApiContext;
class ApiService;

// Holds a fake model's decodes back, or makes them fail. Any thread.
class DecodeGate {
 public:
  // `count` more decodes run; those behind them wait.
  void Allow(int64_t count) { Set(count, OkStatus()); }
  void Open() { Set(std::numeric_limits<int64_t>::max(), OkStatus()); }
  // `count` more decodes run; those behind them fail.
  void FailAfter(int64_t count, Status failure) { Set(count, std::move(failure)); }
  // Whether the next decode waits.
  bool is_closed();
  // What a decode waits for.
  Status Pass();

 private:
  void Set(int64_t count, Status failure);

  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t left_ = std::numeric_limits<int64_t>::max();
  Status failure_;
};

// A row of the ledger, as the file has it.
struct LedgerRow {
  std::string tenant;
  std::string key_id;
  std::string model;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t drafted_tokens = 0;
  int64_t accepted_tokens = 0;
  std::string outcome;
  int64_t http_status = 0;
};

// What came of one call of the API.
struct Called {
  RawResponse raw;

  int status() const { return raw.status; }
  std::string header(const std::string& name) const;
  bool has(const std::string& name) const { return raw.headers.contains(name); }
  nlohmann::json json() const;
  // The error's message, param and code.
  std::string error(const std::string& member) const;
  // The data of a stream's events; "[DONE]" is a JSON string.
  std::vector<nlohmann::json> events() const;
};

// The API and the admin API over fake models "m" and "other", on real sockets, with a real store.
// Every engine's decodes pass `gate_`. Change config_ and model_options_ before Serve.
class ServedFixture : public ::testing::Test {
 protected:
  ServedFixture();
  ~ServedFixture() override;

  void Serve();
  // Through a connection of its own, as another process would; in force at once if it serves
  // already. Returns a key of it.
  std::string AddTenant(const std::string& name,
                        const std::function<void(TenantRecord&)>& change = nullptr);

  Called Call(const std::string& method, const std::string& path, const std::string& body = "",
              const std::string& key = "");
  // With key_, which is the tenant's acme.
  Called Post(const std::string& path, const nlohmann::json& body);
  Called Get(const std::string& path) { return Call("GET", path, "", key_); }
  Called Admin(const std::string& method, const std::string& path, const std::string& body = "",
               const std::string& secret = kSecret);
  std::string RequestText(const std::string& method, const std::string& path,
                          const std::string& body, const std::string& key) const;
  uint16_t port() const;

  ApiContext& context();
  ApiService& service();
  TenantQuota& QuotaOf(const std::string& tenant);
  std::vector<LedgerRow> Ledger() const;
  // What the same prompt and options give without a server, for a tenant of its own.
  GenerationResult Direct(PromptContent prompt, const GenerateOptions& options);
  int32_t RunningInEngines() const;
  // Waits for what has to come; fails after 20 s.
  static void Await(const std::function<bool()>& is_there);

  static constexpr const char* kSecret = "0123456789abcdef-secret";

  const testing::TempDirectory directory_;
  const std::string store_path_ = directory_.path() + "/store.db";
  ServerConfig config_;
  FakeModelOptions model_options_;
  bool has_store_ = true;
  DecodeGate gate_;
  std::unique_ptr<FakeRuntime> runtime_;
  std::unique_ptr<TenantStore> store_;
  std::string key_;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A chat of one message with 12 tokens of answer, seed 4; `more` is added.
nlohmann::json ChatJson(const nlohmann::json& more = nlohmann::json::object());
// The same for a legacy completion of "hello".
nlohmann::json CompletionJson(const nlohmann::json& more = nlohmann::json::object());
GenerateOptions DirectOptions(int32_t max_tokens = 12);
ChatPrompt DirectChat();
std::string TextOfLegacyChunks(const std::vector<nlohmann::json>& events, int choice = 0);
std::string TextOfChatChunks(const std::vector<nlohmann::json>& events, int choice = 0);

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_SERVED_FIXTURE_H_
