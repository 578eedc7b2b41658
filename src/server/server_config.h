#ifndef FORETOKEN_SERVER_SERVER_CONFIG_H_
#define FORETOKEN_SERVER_SERVER_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/options.h"

namespace foretoken {

// Where a listener listens. Port 0: any free one.
struct ListenAddress {
  std::string address = "127.0.0.1";  // an IP address
  int32_t port = 8080;
};

// "127.0.0.1:8080", "[::1]:8080" or "8080" (loopback). Empty when it is none of these.
std::optional<ListenAddress> ParseListenAddress(std::string_view text);
std::string ListenAddressText(const ListenAddress& listen);
bool IsLoopback(const ListenAddress& listen);

struct TlsFiles {
  std::string certificate;  // PEM, the server's first
  std::string key;          // PEM
};

// The admin API, metrics and health, on a listener of their own.
struct AdminListener {
  ListenAddress listen{"127.0.0.1", 8081};
  std::string secret_file;  // holds the bearer secret of /admin and /metrics
};

// A model that requests can name, and the small one that drafts for it.
struct ServedModel {
  std::string name;
  std::vector<std::string> aliases;  // other names of it
  // `target.id` and `draft->id` are what `foretoken pull` called the models, or paths; their paths
  // are resolved when the server starts.
  ModelConfig target;
  std::optional<ModelConfig> draft_model;
  SpeculativeConfig speculation;
  bool preload = false;  // load it before the first request, and never unload it
};

struct ServerLimits {
  int64_t body_bytes = 16 << 20;
  int64_t header_bytes = 32 << 10;
  int32_t requests = 512;  // that run or wait, over all tenants; more are refused with 503
  int32_t connections = 1024;
  int32_t connections_per_address = 256;
  int64_t header_read_ms = 10'000;
  int64_t keep_alive_ms = 75'000;
  int64_t slow_reader_ms = 30'000;
  int64_t quota_wait_ms = 5'000;  // how long a request waits for its quota before a 429
  int64_t request_ms = 0;         // the longest a request may take; 0: as long as it takes
};

// `foretoken serve --config`: everything about a server that is not in its store.
struct ServerConfig {
  std::vector<ListenAddress> listen = {ListenAddress()};
  std::optional<TlsFiles> tls;
  std::optional<AdminListener> admin;
  std::string store;  // the SQLite file of tenants, keys and usage
  std::vector<ServedModel> models;
  int64_t memory_budget_bytes = 0;  // of loaded models; 0: no bound
  int64_t unload_idle_ms = 0;       // unload a model nobody used for so long; 0: never
  ServerLimits limits;
  RuntimeOptions runtime;
  int64_t drain_ms = 30'000;  // how long running requests have after SIGTERM
  std::string access_log;     // a file of JSON lines; empty: standard error; "off": none
};

// A configuration, or everything that is wrong with it: one line a mistake, with file and line.
struct ParsedServerConfig {
  ServerConfig config;
  std::vector<std::string> problems;  // empty: the configuration is right
};

// `file_name` is for the messages. Relative paths stay as they are.
ParsedServerConfig ParseServerConfig(const std::string& yaml, const std::string& file_name);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_SERVER_CONFIG_H_
