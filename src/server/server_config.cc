#include "server/server_config.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <boost/asio/ip/address.hpp>

#include "server/config_reader.h"

namespace foretoken {
namespace {

constexpr int64_t kMsPerDay = 86'400'000;
constexpr int32_t kMostTokens = 16 << 20;

std::optional<int32_t> ParsePort(std::string_view text) {
  int32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 0 || port > 65535) {
    return std::nullopt;
  }
  return port;
}

void ReadListen(ConfigReader& reader, const char* key, ListenAddress& listen) {
  std::string text;
  reader.Read(key, text);
  if (text.empty()) return;
  if (const auto parsed = ParseListenAddress(text)) {
    listen = *parsed;
  } else {
    reader.Problem(key, fmt::format("is '{}'; ADDRESS:PORT is wanted, with an IP address: "
                                    "127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080",
                                    text));
  }
}

void ReadTls(const YAML::Node& node, const std::string& path, ConfigProblems& problems,
             ServerConfig& config) {
  ConfigReader reader(node, path, problems);
  TlsFiles tls;
  reader.Read("certificate", tls.certificate);
  reader.Read("key", tls.key);
  if (tls.certificate.empty()) reader.Problem("", "certificate is missing: the path of a PEM file");
  if (tls.key.empty()) reader.Problem("", "key is missing: the path of a PEM file");
  config.tls = std::move(tls);
}

void ReadAdmin(const YAML::Node& node, const std::string& path, ConfigProblems& problems,
               ServerConfig& config) {
  ConfigReader reader(node, path, problems);
  AdminListener admin;
  ReadListen(reader, "listen", admin.listen);
  reader.Read("secret_file", admin.secret_file);
  if (admin.secret_file.empty()) {
    reader.Problem("",
                   "secret_file is missing: a file with the secret that /admin and /metrics "
                   "ask for");
  }
  config.admin = std::move(admin);
}

void ReadLimits(const YAML::Node& node, const std::string& path, ConfigProblems& problems,
                ServerLimits& limits) {
  ConfigReader reader(node, path, problems);
  reader.ReadBytes("body", 1 << 10, int64_t{1} << 30, limits.body_bytes);
  reader.ReadBytes("headers", 1 << 10, 1 << 20, limits.header_bytes);
  reader.ReadInteger("requests", 1, 1'000'000, limits.requests);
  reader.ReadInteger("connections", 1, 1'000'000, limits.connections);
  reader.ReadInteger("connections_per_address", 1, 1'000'000, limits.connections_per_address);
  reader.ReadDuration("header_read", 100, kMsPerDay, limits.header_read_ms);
  reader.ReadDuration("keep_alive", 100, kMsPerDay, limits.keep_alive_ms);
  reader.ReadDuration("slow_reader", 100, kMsPerDay, limits.slow_reader_ms);
  reader.ReadDuration("quota_wait", 0, kMsPerDay, limits.quota_wait_ms);
  reader.ReadDuration("request", 0, kMsPerDay, limits.request_ms);
}

void ReadRuntime(const YAML::Node& node, const std::string& path, ConfigProblems& problems,
                 RuntimeOptions& runtime) {
  ConfigReader reader(node, path, problems);
  reader.ReadInteger("max_running", 1, 256, runtime.max_running);
  reader.ReadNumber("prefill_slowdown", 1.5, 1000, runtime.prefill_slowdown);
  reader.Read("prefix_reuse", runtime.prefix_reuse);
  reader.ReadBytes("paused_state", 0, int64_t{1} << 40, runtime.paused_state_bytes);
}

void ReadSpeculation(const YAML::Node& node, const std::string& path, ConfigProblems& problems,
                     SpeculativeConfig& speculation) {
  ConfigReader reader(node, path, problems);
  int mode = static_cast<int>(speculation.mode);
  reader.ReadChoice("mode", {"auto", "off", "fixed"}, mode);
  speculation.mode = static_cast<SpeculationMode>(mode);
  reader.ReadInteger("draft_tokens", 0, 64, speculation.draft_k);
  reader.ReadInteger("max_draft_tokens", 0, 64, speculation.max_draft_tokens);
}

ServedModel ReadModel(const YAML::Node& node, const std::string& path, ConfigProblems& problems) {
  ConfigReader reader(node, path, problems);
  ServedModel model;
  reader.Read("name", model.name);
  reader.Read("aliases", model.aliases);
  reader.Read("target", model.target.id);
  if (model.target.id.empty()) {
    reader.Problem("",
                   "target is missing: what `foretoken pull` called a model, or the path of a "
                   "GGUF file");
  }
  if (model.name.empty()) model.name = model.target.id;
  reader.ReadInteger("context", 16, kMostTokens, model.target.context_tokens);
  reader.ReadInteger("kv_cache", 16, kMostTokens, model.target.kv_cache_tokens);
  reader.ReadInteger("threads", 1, 1024, model.target.threads);
  int kernels = 0, cache_type = 0;
  reader.ReadChoice("kernels", {"invariant", "stock"}, kernels);
  reader.ReadChoice("cache_type", {"f16", "q8_0"}, cache_type);
  model.target.kernels = static_cast<CpuKernels>(kernels);
  model.target.cache_type = static_cast<CacheType>(cache_type);
  if (model.target.kv_cache_tokens > 0 && model.target.context_tokens > 0 &&
      model.target.kv_cache_tokens < model.target.context_tokens) {
    reader.Problem("kv_cache",
                   fmt::format("is {}, less than context ({}); all requests share it",
                               model.target.kv_cache_tokens, model.target.context_tokens));
  }
  std::string draft;
  reader.Read("draft", draft);
  if (!draft.empty()) {
    model.draft_model = model.target;
    model.draft_model->id = draft;
  }
  reader.Read("preload", model.preload);
  std::string child_path;
  if (const YAML::Node child = reader.Child("speculation", child_path); child.IsDefined()) {
    ReadSpeculation(child, child_path, problems, model.speculation);
  }
  return model;
}

void ReadModels(const YAML::Node& node, const std::string& path, ConfigProblems& problems,
                std::vector<ServedModel>& models) {
  if (!node.IsSequence() || node.size() == 0) {
    problems.Add(node.Mark(), path, "a list of models is wanted, one at least: - target: NAME");
    return;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < node.size(); ++i) {
    const std::string model_path = fmt::format("{}[{}]", path, i);
    ServedModel model = ReadModel(node[i], model_path, problems);
    std::vector<std::string> own = model.aliases;
    own.push_back(model.name);
    for (const std::string& name : own) {
      if (!name.empty() && !names.insert(name).second) {
        problems.Add(node[i].Mark(), model_path,
                     fmt::format("'{}' is the name of another model too", name));
      }
    }
    models.push_back(std::move(model));
  }
}

void ReadListenList(ConfigReader& reader, ServerConfig& config) {
  std::string path;
  const YAML::Node node = reader.Child("listen", path);
  if (!node.IsDefined()) return;
  if (!node.IsSequence()) {
    ReadListen(reader, "listen", config.listen.front());
    return;
  }
  config.listen.clear();
  for (const YAML::Node& entry : node) {
    const auto parsed =
        entry.IsScalar() ? ParseListenAddress(entry.Scalar()) : std::optional<ListenAddress>();
    if (parsed) {
      config.listen.push_back(*parsed);
    } else {
      reader.Problem("listen", "every entry is ADDRESS:PORT with an IP address: 127.0.0.1:8080");
    }
  }
  if (node.size() == 0) reader.Problem("listen", "is empty; one address at least is wanted");
}

void ReadConfig(const YAML::Node& root, ConfigProblems& problems, ServerConfig& config) {
  ConfigReader reader(root, "", problems);
  ReadListenList(reader, config);
  reader.Read("store", config.store);
  reader.ReadBytes("memory_budget", 0, int64_t{1} << 50, config.memory_budget_bytes);
  reader.ReadDuration("unload_idle", 0, 365 * kMsPerDay, config.unload_idle_ms);
  reader.ReadDuration("drain", 0, kMsPerDay, config.drain_ms);
  reader.Read("access_log", config.access_log);
  std::string path;
  if (const YAML::Node node = reader.Child("tls", path); node.IsDefined()) {
    ReadTls(node, path, problems, config);
  }
  if (const YAML::Node node = reader.Child("admin", path); node.IsDefined()) {
    ReadAdmin(node, path, problems, config);
  }
  if (const YAML::Node node = reader.Child("limits", path); node.IsDefined()) {
    ReadLimits(node, path, problems, config.limits);
  }
  if (const YAML::Node node = reader.Child("runtime", path); node.IsDefined()) {
    ReadRuntime(node, path, problems, config.runtime);
  }
  config.runtime.slow_reader_ms = config.limits.slow_reader_ms;
  if (const YAML::Node node = reader.Child("models", path); node.IsDefined()) {
    ReadModels(node, path, problems, config.models);
  } else {
    reader.Problem("", "models is missing: a list of what is served, one at least");
  }
}

}  // namespace

std::optional<ListenAddress> ParseListenAddress(std::string_view text) {
  ListenAddress listen;
  const size_t colon = text.rfind(':');
  const auto port = ParsePort(colon == std::string_view::npos ? text : text.substr(colon + 1));
  if (!port) return std::nullopt;
  listen.port = *port;
  if (colon == std::string_view::npos) return listen;
  std::string_view address = text.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  } else if (address.find(':') != std::string_view::npos) {
    return std::nullopt;  // an IPv6 address needs its brackets
  }
  listen.address = address;
  boost::system::error_code error;
  boost::asio::ip::make_address(listen.address, error);
  if (error) return std::nullopt;
  return listen;
}

std::string ListenAddressText(const ListenAddress& listen) {
  return listen.address.find(':') == std::string::npos
             ? fmt::format("{}:{}", listen.address, listen.port)
             : fmt::format("[{}]:{}", listen.address, listen.port);
}

bool IsLoopback(const ListenAddress& listen) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(listen.address, error);
  return !error && address.is_loopback();
}

ParsedServerConfig ParseServerConfig(const std::string& yaml, const std::string& file_name) {
  ParsedServerConfig parsed;
  ConfigProblems problems(file_name);
  try {
    ReadConfig(YAML::Load(yaml), problems, parsed.config);
  } catch (const YAML::Exception& error) {
    problems.Add(error.mark, "", fmt::format("this is not YAML: {}", error.msg));
  }
  parsed.problems = problems.Sorted();
  return parsed;
}

}  // namespace foretoken
