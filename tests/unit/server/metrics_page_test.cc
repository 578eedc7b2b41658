#include "server/metrics_page.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace foretoken {
namespace {

// The samples of a page by name and labels; fails the test for a line that is not of the format,
// a sample that is there twice or one whose family has no type.
std::map<std::string, double> Parse(const std::string& page) {
  static const std::regex kComment(R"(# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) .+)");
  static const std::regex kSample(
      R"(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\.)*",?)*\})? (\S+))");
  std::map<std::string, double> samples;
  std::set<std::string> families;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kComment)) {
      const bool is_new = match[1] != "TYPE" || families.insert(match[2]).second;
      EXPECT_TRUE(is_new) << line;
      continue;
    }
    if (!std::regex_match(line, match, kSample)) {
      ADD_FAILURE() << line;
      continue;
    }
    std::string family = match[1];
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      if (family.ends_with(suffix) && !families.contains(family)) {
        family.resize(family.size() - std::string(suffix).size());
      }
    }
    EXPECT_TRUE(families.contains(family)) << line;
    const std::string value = match[5];
    const double number =
        value == "+Inf" ? std::numeric_limits<double>::infinity() : std::atof(value.c_str());
    EXPECT_TRUE(samples.emplace(match[1].str() + match[2].str(), number).second) << line;
  }
  return samples;
}

EngineMetrics Engine(const std::string& target) {
  EngineMetrics engine;
  engine.target_id = target;
  engine.total.requests = {.queued = 2, .running = 3, .paused = 1};
  engine.total.prompt_tokens = 100;
  engine.total.completion_tokens = 50;
  engine.total.rounds = 20;
  engine.total.rounds_by_draft_length = {5, 10, 5};
  engine.total.by_source[DraftSourceKind::kSuffix] = {.drafted = 12, .accepted = 7};
  engine.total.finished_requests[FinishReason::kStop] = 4;
  engine.total.no_draft[NoDraftReason::kOff] = 6;
  engine.kv = {.capacity = 200, .used = 150, .cached = 50};
  for (const double ms : {1.0, 20.0, 400.0, 500'000.0}) engine.total.first_token_ms.Add(ms);
  return engine;
}

TEST(MetricsPageTest, AnEmptySnapshotIsAPage) {
  const auto samples = Parse(MetricsPage({}));
  EXPECT_EQ(samples.at("foretoken:http_connections"), 0);
}

TEST(MetricsPageTest, AnEnginesFiguresHaveItsModelAndNothingElse) {
  MetricsSnapshot snapshot;
  snapshot.engines = {Engine("m")};
  const auto samples = Parse(MetricsPage(snapshot));
  const std::string labels = R"({model_name="m",engine="0"})";
  EXPECT_EQ(samples.at("foretoken:num_requests_running" + labels), 3);
  EXPECT_EQ(samples.at("foretoken:num_requests_waiting" + labels), 2);
  EXPECT_EQ(samples.at("foretoken:num_requests_paused" + labels), 1);
  EXPECT_EQ(samples.at("foretoken:kv_cache_usage_perc" + labels), 0.5);
  EXPECT_EQ(samples.at("foretoken:prompt_tokens_total" + labels), 100);
  EXPECT_EQ(samples.at("foretoken:generation_tokens_total" + labels), 50);
  EXPECT_EQ(samples.at("foretoken:spec_decode_num_drafts_total" + labels), 15);
  EXPECT_EQ(samples.at("foretoken:spec_decode_num_accepted_tokens_total"
                       R"({model_name="m",engine="0",source="suffix"})"),
            7);
  EXPECT_EQ(samples.at("foretoken:request_success_total"
                       R"({model_name="m",engine="0",finished_reason="stop"})"),
            4);
}

TEST(MetricsPageTest, AHistogramIsCumulativeAndEndsWithEverything) {
  MetricsSnapshot snapshot;
  snapshot.engines = {Engine("m")};
  const std::string page = MetricsPage(snapshot);
  const auto samples = Parse(page);
  const std::string name = "foretoken:time_to_first_token_seconds";
  const auto bucket = [&](const std::string& bound) {
    return samples.at(name + R"(_bucket{model_name="m",engine="0",le=")" + bound + "\"}");
  };
  EXPECT_EQ(bucket("0.005"), 1);
  EXPECT_EQ(bucket("0.05"), 2);
  EXPECT_EQ(bucket("0.5"), 3);
  EXPECT_EQ(bucket("120"), 3);
  EXPECT_EQ(bucket("+Inf"), 4);
  EXPECT_EQ(samples.at(name + R"(_count{model_name="m",engine="0"})"), 4);
  EXPECT_DOUBLE_EQ(samples.at(name + R"(_sum{model_name="m",engine="0"})"), 500.421);
}

TEST(MetricsPageTest, TwoEnginesOfOneTargetAreTwoSeries) {
  MetricsSnapshot snapshot;
  snapshot.engines = {Engine("m"), Engine("n"), Engine("m")};
  const auto samples = Parse(MetricsPage(snapshot));
  EXPECT_TRUE(samples.contains(R"(foretoken:target_rows_total{model_name="m",engine="0"})"));
  EXPECT_TRUE(samples.contains(R"(foretoken:target_rows_total{model_name="m",engine="1"})"));
  EXPECT_TRUE(samples.contains(R"(foretoken:target_rows_total{model_name="n",engine="0"})"));
}

TEST(MetricsPageTest, ListenersAreSummedAndNamesEscaped) {
  MetricsSnapshot snapshot;
  HttpServerCounts counts;
  counts.open_connections = 2;
  counts.refused_connections = 1;
  counts.refused_connections_address = 3;
  snapshot.listeners = {counts, counts};
  snapshot.models = {{.name = "a\"\\b", .loaded = true, .bytes = 5, .leases = 1}};
  snapshot.api.responses[{"/v1/models", 200}] = 9;
  snapshot.api.usage[{"acme", "m"}] = {.requests = 1, .prompt_tokens = 2, .completion_tokens = 3};
  const auto samples = Parse(MetricsPage(snapshot));
  EXPECT_EQ(samples.at("foretoken:http_connections"), 4);
  EXPECT_EQ(samples.at("foretoken:http_refused_connections_total"), 8);
  EXPECT_EQ(samples.at(R"(foretoken:model_loaded{model_name="a\"\\b"})"), 1);
  EXPECT_EQ(samples.at(R"(foretoken:http_responses_total{endpoint="/v1/models",status="200"})"), 9);
  EXPECT_EQ(samples.at(R"(foretoken:tenant_prompt_tokens_total{tenant="acme",model_name="m"})"), 2);
  EXPECT_EQ(samples.at(R"(foretoken:tenant_generation_tokens_total{tenant="acme",model_name="m"})"),
            3);
}

}  // namespace
}  // namespace foretoken
