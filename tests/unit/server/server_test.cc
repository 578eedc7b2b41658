#include "server/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/usage_ledger.h"
#include "testing/gguf_writer.h"
#include "unit/server/served_fixture.h"
#include "unit/server/tls_test_files.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

// A whole server over a fake model, in a file that is large enough to be counted.
class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    testing::GgufWriter writer;
    writer.SetString("general.architecture", "llama");
    model_path_ = directory_.Write("model.gguf", writer.Bytes());
    ServedModel model;
    model.name = "m";
    model.target.id = "known";
    config_.models = {model};
    config_.listen = {{"127.0.0.1", 0}};
    config_.access_log = directory_.path() + "/access.log";
    config_.drain_ms = 60'000;
    options_.version = "1";
    options_.resolve_model = [this](const std::string& name) -> Result<std::string> {
      if (name == "known") return model_path_;
      return NotFoundError("no file of " + name);
    };
    model_options_.context_tokens = 512;
  }
  ~ServerTest() override { gate_.Open(); }

  void UseStore() {
    config_.store = directory_.path() + "/store.db";
    store_ = TenantStore::Open(config_.store, StoreFile::kCreateIfMissing).value();
    AddTenant();
  }
  void AddTenant() {
    TenantRecord record;
    record.name = "acme";
    ASSERT_TRUE(store_->AddTenant(record).ok());
    key_ = store_->AddKey("acme", "", std::nullopt)->secret;
  }

  Result<std::unique_ptr<Server>> Create() {
    auto control = std::make_shared<FakeControl>();
    control->before_decode = [this](int64_t, std::span<const BatchRow>) { return gate_.Pass(); };
    const auto model = NewFakeModel(model_options_, control);
    std::map<std::string, FakeLoader::Factory> factories;
    factories[model_path_] = [this, model]() -> Result<std::shared_ptr<LoadedModel>> {
      if (load_status_.valid()) {
        loading_.set_value();
        const Status status = load_status_.get();
        if (!status.ok()) return status;
      }
      return model;
    };
    return Server::Create(
        config_, options_,
        RuntimeManager::Create({}, std::make_unique<FakeLoader>(std::move(factories))).value());
  }
  void Start() {
    auto server = Create();
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = *std::move(server);
    server_->Start();
    port_ = static_cast<uint16_t>(server_->addresses().front().port);
  }

  std::string Request(const Json& body) const {
    const std::string text = body.dump();
    return "POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + key_ +
           "\r\ncontent-length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
  }
  Called Post(const Json& body) {
    RawHttpClient client(port_);
    EXPECT_TRUE(client.Send(Request(body)));
    return {client.ReadResponse()};
  }

  const testing::TempDirectory directory_;
  ServerConfig config_;
  ServerOptions options_;
  FakeModelOptions model_options_;
  DecodeGate gate_;
  std::string model_path_;
  std::unique_ptr<TenantStore> store_;
  std::string key_ = "none";
  // Where valid, a load tells of its beginning and waits for its status.
  std::promise<void> loading_;
  std::future<Status> load_status_;
  std::unique_ptr<Server> server_;
  uint16_t port_ = 0;
};

TEST_F(ServerTest, ServesOneModelWithoutKeysOrAFile) {
  Start();
  const Called called = Post(CompletionJson());
  ASSERT_EQ(called.status(), 200) << called.raw.body;
  EXPECT_EQ(called.json()["system_fingerprint"], "foretoken-1");
  EXPECT_EQ(called.json()["usage"]["completion_tokens"], 12);
  ASSERT_EQ(server_->addresses().size(), 1u);
  EXPECT_EQ(server_->addresses()[0].address, "127.0.0.1");
  EXPECT_TRUE(server_->Reload().ok());
}

TEST_F(ServerTest, EveryPartThatIsWrongIsNamed) {
  const auto message = [this](auto change) {
    const ServerConfig kept = config_;
    change(config_);
    const Status status = Create().status();
    config_ = kept;
    return status.ok() ? "it works" : status.message();
  };
  EXPECT_EQ(message([](ServerConfig&) {}), "it works");
  EXPECT_EQ(message([](ServerConfig& c) { c.models[0].target.id = "lost"; }),
            "model 'm': no file of lost");
  EXPECT_EQ(message([](ServerConfig& c) { c.models[0].draft_model = ModelConfig{.id = "lost"}; }),
            "draft of model 'm': no file of lost");
  EXPECT_THAT(message([](ServerConfig& c) { c.listen[0].address = "192.0.2.1"; }),
              HasSubstr("listen 192.0.2.1:0: "));
  EXPECT_THAT(message([](ServerConfig& c) { c.access_log = "/"; }), HasSubstr("access log /"));
  EXPECT_THAT(message([](ServerConfig& c) { c.store = "/proc/none/store.db"; }),
              HasSubstr("/proc/none"));
  EXPECT_THAT(message([this](ServerConfig& c) {
                c.store = directory_.Write("text", std::string(5000, 'x'));
              }),
              HasSubstr(directory_.path() + "/text"));
  const TlsTestFiles files;
  EXPECT_THAT(message([&](ServerConfig& c) {
                c.tls = TlsFiles{"/none.pem", files.key};
              }),
              HasSubstr("/none.pem"));
  EXPECT_THAT(message([&](ServerConfig& c) {
                c.tls = TlsFiles{files.certificate, "/none.pem"};
              }),
              HasSubstr("/none.pem"));
  EXPECT_THAT(message([&](ServerConfig& c) {
                c.tls = TlsFiles{files.certificate, TlsTestFiles().key};
              }),
              HasSubstr("listen 127.0.0.1:0: "));
  EXPECT_THAT(message([](ServerConfig& c) {
                c.admin.emplace();
                c.admin->listen.port = 0;
                c.admin->secret_file = "/none.secret";
              }),
              HasSubstr("/none.secret"));
}

TEST_F(ServerTest, AnAddressInUseIsNamedWhoeverWantsIt) {
  Start();
  config_.listen = {{"127.0.0.1", port_}};
  EXPECT_THAT(Create().status().message(),
              HasSubstr("listen 127.0.0.1:" + std::to_string(port_) + ": "));
  config_.listen = {{"127.0.0.1", 0}};
  const std::string secret = directory_.Write("secret", "0123456789abcdef");
  ASSERT_EQ(chmod(secret.c_str(), 0600), 0);
  config_.admin.emplace();
  config_.admin->listen.port = port_;
  config_.admin->secret_file = secret;
  EXPECT_THAT(Create().status().message(),
              HasSubstr("admin listen 127.0.0.1:" + std::to_string(port_) + ": "));
}

TEST_F(ServerTest, AModelThatCannotBePreloadedFailsTheStart) {
  config_.models[0].preload = true;
  std::promise<Status> status;
  load_status_ = status.get_future();
  status.set_value(DataLossError("the file is broken"));
  EXPECT_EQ(Create().status().message(), "model 'm': the file is broken");
}

TEST_F(ServerTest, DrainingLetsWhatRunsEndAndTakesNothingNew) {
  Start();
  gate_.Allow(4);
  RawHttpClient client(port_);
  ASSERT_TRUE(client.Send(Request(CompletionJson({{"stream", true}}))));
  client.ReadUntil("\"text\"");
  std::thread drain([this] { server_->Drain(); });
  for (;;) {
    // Refused, or taken just before by the kernel and then closed.
    RawHttpClient late(port_);
    if (!late.connected()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  gate_.Open();
  EXPECT_THAT(client.ReadUntil("[DONE]"), HasSubstr("[DONE]"));
  drain.join();
}

TEST_F(ServerTest, DestroyingItCutsWhatRuns) {
  UseStore();
  Start();
  gate_.Allow(4);
  RawHttpClient client(port_);
  ASSERT_TRUE(client.Send(Request(CompletionJson({{"stream", true}, {"max_tokens", 400}}))));
  client.ReadUntil("\"text\"");
  std::thread opener([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    gate_.Allow(30);
  });
  server_.reset();
  opener.join();
  EXPECT_THAT(client.ReadAll(), ::testing::Not(HasSubstr("[DONE]")));
  const auto ledger = UsageLedger::Open(config_.store, StoreFile::kMustExist).value();
  EXPECT_EQ(ledger->Sum({})->front().requests, 1);
}

TEST_F(ServerTest, AClientThatLeftWhileAModelLoadedIsNobodysWhenItIsLoaded) {
  std::promise<Status> status;
  load_status_ = status.get_future();
  Start();
  {
    RawHttpClient client(port_);
    ASSERT_TRUE(client.Send(Request(CompletionJson())));
    loading_.get_future().wait();
  }
  std::thread loaded([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    status.set_value(OkStatus());
  });
  server_.reset();
  loaded.join();
}

TEST_F(ServerTest, ATenantMadeAgainIsAnotherOne) {
  UseStore();
  Start();
  const auto cached = [this] {
    const Called called = Post(CompletionJson());
    EXPECT_EQ(called.status(), 200) << called.raw.body;
    return called.json()["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>();
  };
  EXPECT_EQ(cached(), 0);
  EXPECT_GT(cached(), 0);
  ASSERT_TRUE(store_->DeleteTenant("acme", true).ok());
  AddTenant();
  ASSERT_TRUE(server_->Reload().ok());
  EXPECT_EQ(cached(), 0);
}

TEST_F(ServerTest, ReloadReadsTheCertificatesAgain) {
  const TlsTestFiles files;
  config_.tls = TlsFiles{files.certificate, files.key};
  Start();
  files.Write("new");
  EXPECT_TRUE(server_->Reload().ok());
  files.directory.Write("certificate.pem", "no certificate");
  EXPECT_THAT(server_->Reload().message(), HasSubstr(files.certificate));
}

TEST_F(ServerTest, TheAccessLogHasEveryExchangeAndNeitherPromptNorKey) {
  UseStore();
  Start();
  ASSERT_EQ(Post(CompletionJson({{"prompt", "a very private text"}})).status(), 200);
  key_ += "x";
  EXPECT_EQ(Post(CompletionJson()).status(), 401);
  server_.reset();
  std::ifstream file(config_.access_log);
  std::string first;
  std::string second;
  std::string rest;
  ASSERT_TRUE(std::getline(file, first) && std::getline(file, second));
  EXPECT_FALSE(std::getline(file, rest));
  EXPECT_EQ(Json::parse(first)["status"], 200);
  EXPECT_EQ(Json::parse(first)["path"], "/v1/completions");
  EXPECT_EQ(Json::parse(second)["status"], 401);
  for (const std::string& line : {first, second}) {
    EXPECT_EQ(line.find("private"), std::string::npos);
    EXPECT_EQ(line.find(key_.substr(0, 20)), std::string::npos);
  }
}

}  // namespace
}  // namespace foretoken
