#include "server/server_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace foretoken {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(ServerConfigTest, EveryFieldIsRead) {
  const ParsedServerConfig parsed = ParseServerConfig(R"(
listen: [0.0.0.0:8080, "[::1]:9000"]
tls: {certificate: cert.pem, key: key.pem}
admin: {listen: 127.0.0.1:9090, secret_file: secret}
store: tenants.db
memory_budget: 8GiB
unload_idle: 10m
drain: 5s
access_log: access.jsonl
limits: {body: 1MiB, headers: 16KiB, requests: 7, connections: 10, connections_per_address: 5,
         header_read: 2s, keep_alive: 1m, slow_reader: 500ms, quota_wait: 0s, request: 1h}
runtime: {max_running: 8, prefill_slowdown: 2.5, prefix_reuse: false, paused_state: 1GiB}
models:
  - name: coder
    aliases: [gpt-4o, default]
    target: qwen
    draft: small
    context: 4096
    kv_cache: 8192
    threads: 2
    kernels: stock
    cache_type: q8_0
    preload: true
    speculation: {mode: fixed, draft_tokens: 3, max_draft_tokens: 6}
  - target: other.gguf
)",
                                                      "f.yaml");
  ASSERT_THAT(parsed.problems, IsEmpty());
  const ServerConfig& c = parsed.config;
  ASSERT_EQ(c.listen.size(), 2u);
  EXPECT_EQ(ListenAddressText(c.listen[0]), "0.0.0.0:8080");
  EXPECT_EQ(ListenAddressText(c.listen[1]), "[::1]:9000");
  EXPECT_EQ(c.tls->certificate, "cert.pem");
  EXPECT_EQ(c.tls->key, "key.pem");
  EXPECT_EQ(c.admin->listen.port, 9090);
  EXPECT_EQ(c.admin->secret_file, "secret");
  EXPECT_EQ(c.store, "tenants.db");
  EXPECT_EQ(c.memory_budget_bytes, int64_t{8} << 30);
  EXPECT_EQ(c.unload_idle_ms, 600'000);
  EXPECT_EQ(c.drain_ms, 5000);
  EXPECT_EQ(c.access_log, "access.jsonl");
  EXPECT_EQ(c.limits.body_bytes, 1 << 20);
  EXPECT_EQ(c.limits.header_bytes, 16 << 10);
  EXPECT_EQ(c.limits.requests, 7);
  EXPECT_EQ(c.limits.connections, 10);
  EXPECT_EQ(c.limits.connections_per_address, 5);
  EXPECT_EQ(c.limits.header_read_ms, 2000);
  EXPECT_EQ(c.limits.keep_alive_ms, 60'000);
  EXPECT_EQ(c.limits.slow_reader_ms, 500);
  EXPECT_EQ(c.limits.quota_wait_ms, 0);
  EXPECT_EQ(c.limits.request_ms, 3'600'000);
  EXPECT_EQ(c.runtime.slow_reader_ms, 500);
  EXPECT_EQ(c.runtime.max_running, 8);
  EXPECT_EQ(c.runtime.prefill_slowdown, 2.5);
  EXPECT_FALSE(c.runtime.prefix_reuse);
  EXPECT_EQ(c.runtime.paused_state_bytes, int64_t{1} << 30);
  ASSERT_EQ(c.models.size(), 2u);
  const ServedModel& coder = c.models[0];
  EXPECT_EQ(coder.name, "coder");
  EXPECT_THAT(coder.aliases, ElementsAre("gpt-4o", "default"));
  EXPECT_EQ(coder.target.id, "qwen");
  EXPECT_EQ(coder.target.context_tokens, 4096);
  EXPECT_EQ(coder.target.kv_cache_tokens, 8192);
  EXPECT_EQ(coder.target.threads, 2);
  EXPECT_EQ(coder.target.kernels, CpuKernels::kStock);
  EXPECT_EQ(coder.target.cache_type, CacheType::kQ8_0);
  EXPECT_EQ(coder.draft_model->id, "small");
  EXPECT_TRUE(coder.preload);
  EXPECT_EQ(coder.speculation.mode, SpeculationMode::kFixed);
  EXPECT_EQ(coder.speculation.draft_k, 3);
  EXPECT_EQ(coder.speculation.max_draft_tokens, 6);
  EXPECT_EQ(c.models[1].name, "other.gguf");
  EXPECT_FALSE(c.models[1].draft_model.has_value());
}

TEST(ServerConfigTest, AllMistakesAreNamedWithTheirLines) {
  const ParsedServerConfig parsed = ParseServerConfig(
      "listen: somewhere\n"
      "sotre: x.db\n"
      "limits:\n"
      "  body: 16MB\n"
      "  connections: many\n"
      "models:\n"
      "  - name: a\n"
      "  - target: b\n"
      "    name: a\n"
      "    kernels: fast\n"
      "    context: 4096\n"
      "    kv_cache: 100\n",
      "f.yaml");
  EXPECT_THAT(
      parsed.problems,
      ElementsAre(HasSubstr("f.yaml:1: listen: is 'somewhere'; ADDRESS:PORT is wanted"),
                  "f.yaml:2: sotre: is not known; did you mean 'store'?",
                  HasSubstr("f.yaml:4: limits.body: is '16MB'; a size from 1KiB to 1GiB"),
                  HasSubstr("f.yaml:5: limits.connections: is 'many'; a whole number from 1"),
                  HasSubstr("f.yaml:7: models[0]: target is missing"),
                  HasSubstr("f.yaml:8: models[1]: 'a' is the name of another model too"),
                  HasSubstr("f.yaml:10: models[1].kernels: is 'fast'; one of invariant, stock"),
                  HasSubstr("f.yaml:12: models[1].kv_cache: is 100, less than context (4096)")));
}

TEST(ServerConfigTest, WhatIsNoYamlOrNoMappingIsSaid) {
  EXPECT_THAT(ParseServerConfig("a: [1\nb", "f").problems, ElementsAre(HasSubstr("not YAML")));
  EXPECT_THAT(ParseServerConfig("- 1", "f").problems,
              UnorderedElementsAre(HasSubstr("is a list; a mapping is wanted"),
                                   HasSubstr("models is missing")));
  EXPECT_THAT(ParseServerConfig("", "f").problems, ElementsAre(HasSubstr("models is missing")));
  EXPECT_THAT(ParseServerConfig("models: {}", "f").problems,
              ElementsAre(HasSubstr("a list of models is wanted")));
}

TEST(ServerConfigTest, ListenAddresses) {
  EXPECT_EQ(ParseListenAddress("8080")->address, "127.0.0.1");
  EXPECT_EQ(ParseListenAddress("8080")->port, 8080);
  EXPECT_EQ(ParseListenAddress("0.0.0.0:0")->port, 0);
  EXPECT_EQ(ParseListenAddress("[::]:80")->address, "::");
  for (const char* wrong : {"", ":", "localhost:80", "::1:80", "1.2.3.4:65536", "1.2.3:80",
                            "1.2.3.4:-1", "1.2.3.4:8x"}) {
    EXPECT_FALSE(ParseListenAddress(wrong).has_value()) << wrong;
  }
  EXPECT_TRUE(IsLoopback({"127.0.0.1", 1}));
  EXPECT_TRUE(IsLoopback({"::1", 1}));
  EXPECT_FALSE(IsLoopback({"0.0.0.0", 1}));
}

}  // namespace
}  // namespace foretoken
