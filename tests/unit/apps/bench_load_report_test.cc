#include "bench_load_report.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace foretoken {
namespace {

using Json = nlohmann::ordered_json;

// A round of answers whose tokens came `tpot_ms` apart.
LoadFigures Round(double tokens_per_second, double tpot_ms) {
  LoadFigures round;
  round.window_ms = 1000;
  round.answers = 4;
  round.completion_tokens = 40;
  round.prompt_tokens = 80;
  round.cached_prompt_tokens = 20;
  round.tokens_per_second = tokens_per_second;
  round.prompt_tokens_per_second = 60;
  round.tenant_tokens_per_second = {tokens_per_second / 4, tokens_per_second * 3 / 4};
  round.latency.ttft_ms = {100, 200};
  round.latency.tpot_ms = {tpot_ms, tpot_ms, 3 * tpot_ms};
  round.latency.itl_ms = {tpot_ms};
  round.speculation.rounds = 10;
  round.speculation.tau = 1;
  return round;
}

LoadFigures Speculative(double tokens_per_second, double tpot_ms) {
  LoadFigures round = Round(tokens_per_second, tpot_ms);
  round.speculation.tau = 2;
  round.speculation.drafted = 200;
  round.speculation.accepted = 150;
  round.speculation.by_source[DraftSourceKind::kSuffix] = {.drafted = 200, .accepted = 150};
  round.speculation.by_position = {{.drafted = 100, .accepted = 90},
                                   {.drafted = 100, .accepted = 60}};
  round.warnings = {"mind"};
  return round;
}

LoadReport MadeUpReport() {
  LoadReport report;
  report.settings.model = "big";
  report.settings.prompts_file = "p.jsonl";
  report.settings.max_tokens = 10;
  report.settings.repeat = 3;
  report.settings.requests = 2;
  report.settings.weights = {1, 3};
  report.settings.sampling.seed = 1;
  report.points = {
      {.concurrency = 4,
       .rate = 0,
       .mode = "off",
       .rounds = {Round(20, 50), Round(40, 100), Round(30, 60)}},
      {.concurrency = 4,
       .rate = 0,
       .mode = "auto",
       .rounds = {Speculative(30, 40), Speculative(44, 50), Speculative(27, 60)}},
      {.concurrency = 8, .rate = 0, .mode = "auto", .rounds = {Speculative(30, 40)}},
  };
  report.check.compared = 9;
  report.check.equal = 9;
  return report;
}

TEST(BenchLoadReportTest, MediansOverRoundsAndRatiosWithinThem) {
  const Json json = LoadReportToJson(MadeUpReport());
  EXPECT_EQ(json["benchmark"], "load");
  ASSERT_EQ(json["results"].size(), 3u);
  const Json& off = json["results"][0];
  const Json& automatic = json["results"][1];
  EXPECT_EQ(off["concurrency"], 4);
  EXPECT_TRUE(off["rate"].is_null());
  EXPECT_EQ(off["aggregate_tokens_per_second"], 30);
  EXPECT_EQ(off["rounds_tokens_per_second"], (std::vector<double>{20, 40, 30}));
  EXPECT_EQ(off["ratio_to_off"]["median"], 1.0);
  EXPECT_EQ(automatic["mode"], "auto");
  EXPECT_EQ(automatic["aggregate_tokens_per_second"], 30);
  // 1.5, 1.1 and 0.9: of the rounds, not of the medians.
  EXPECT_DOUBLE_EQ(automatic["ratio_to_off"]["median"], 1.1);
  EXPECT_DOUBLE_EQ(automatic["ratio_to_off"]["min"], 0.9);
  EXPECT_DOUBLE_EQ(automatic["ratio_to_off"]["max"], 1.5);
  EXPECT_DOUBLE_EQ(automatic["decode_speed_up"]["median"], 50.0 / 40);
  EXPECT_TRUE(json["results"][2]["ratio_to_off"].is_null()) << "no plain rounds at 8";
}

TEST(BenchLoadReportTest, LatenciesOfAllRoundsTogether) {
  const Json result = LoadReportToJson(MadeUpReport())["results"][1];
  EXPECT_EQ(result["ttft_ms"]["p50"], 100);
  EXPECT_EQ(result["ttft_ms"]["p99"], 200);
  EXPECT_EQ(result["ttft_ms"]["samples"], 6);
  EXPECT_EQ(result["tpot_ms"]["p50"], 60) << "of 40 40 120, 50 50 150, 60 60 180";
  EXPECT_EQ(result["tpot_ms"]["p99"], 180);
  EXPECT_DOUBLE_EQ(result["request_tokens_per_second"], 1000.0 / 60);
  EXPECT_EQ(result["tau"], 2);
  EXPECT_EQ(result["answers"], 12);
  EXPECT_EQ(result["completion_tokens"], 120);
  EXPECT_EQ(result["cached_prompt_tokens"], 60);
  EXPECT_EQ(result["speculation"]["by_source"]["suffix"]["accepted"], 450);
  EXPECT_EQ(result["warnings"], std::vector<std::string>{"mind"});
}

TEST(BenchLoadReportTest, TenantsAndTheirFairness) {
  const Json result = LoadReportToJson(MadeUpReport())["results"][0];
  EXPECT_EQ(result["tenants"][1]["weight"], 3);
  EXPECT_EQ(result["tenants"][1]["tokens_per_second"], 22.5);
  EXPECT_DOUBLE_EQ(result["fairness"], 1) << "1:3, as weighted";
  const std::string table = LoadReportToTable(MadeUpReport());
  EXPECT_NE(table.find("tenants (weight): 7.5 (1), 22.5 (3), fairness 1.0000"), std::string::npos)
      << table;
}

TEST(BenchLoadReportTest, TheTableHasALineForEachPoint) {
  const std::string table = LoadReportToTable(MadeUpReport());
  EXPECT_NE(table.find("3 rounds of 2 requests a client"), std::string::npos) << table;
  EXPECT_NE(table.find("same tokens: 9 of 9 answers\n"), std::string::npos) << table;
  EXPECT_NE(table.find("      4 off      30.0  1.000"), std::string::npos) << table;
  EXPECT_NE(table.find("      4 auto     30.0  1.100"), std::string::npos) << table;
  EXPECT_NE(table.find("2.00  suffix 450/600\n"), std::string::npos) << table;
  EXPECT_EQ(table.find("ceiling"), std::string::npos);
}

TEST(BenchLoadReportTest, AnOpenLoadIsNamedByItsRate) {
  LoadReport report = MadeUpReport();
  for (LoadPoint& point : report.points) {
    point.concurrency = 0;
    point.rate = 2.5;
  }
  const Json json = LoadReportToJson(report);
  EXPECT_TRUE(json["results"][0]["concurrency"].is_null());
  EXPECT_EQ(json["results"][0]["rate"], 2.5);
  EXPECT_NE(LoadReportToTable(report).find("2.5/s auto"), std::string::npos);
}

TEST(BenchLoadReportTest, TheCheckCountsAnswers) {
  LoadReport report = MadeUpReport();
  report.check.compared = 9;
  report.check.equal = 4;
  NearTieVerdict excused;
  excused.excused = true;
  report.check.differences = {
      {.id = "p0", .where = "8 clients off", .answers = 3, .verdict = excused},
      {.id = "p1", .where = "8 clients auto", .answers = 2, .verdict = {}}};
  EXPECT_EQ(report.check.excused(), 3);
  EXPECT_EQ(report.check.unexcused(), 2);
  const Json check = LoadReportToJson(report)["check"];
  EXPECT_EQ(check["unexcused"], 2);
  EXPECT_EQ(check["differences"][0]["first_seen"], "8 clients off");
  const std::string table = LoadReportToTable(report);
  EXPECT_NE(table.find("4 of 9 answers; 3 excused as near ties, 2 NOT excused"), std::string::npos)
      << table;
  report.check = {};
  report.check.skipped = "asked not to";
  EXPECT_NE(LoadReportToTable(report).find("not checked, asked not to"), std::string::npos);
}

TEST(BenchLoadReportTest, TheCeilingStandsBesideWhatAutoReached) {
  LoadReport report = MadeUpReport();
  LoadPoint fixed = report.points[1];
  fixed.mode = "2";
  for (LoadFigures& round : fixed.rounds) {
    round.speculation.by_position[0].accepted = 100;
    round.speculation.by_position[1].accepted = 100;
  }
  report.points.push_back(fixed);
  report.costs = MeasuredForwards{.target_ms = {{4, 10}, {8, 12}, {12, 15}}, .draft_ms = {}};
  const Json ceiling = LoadReportToJson(report)["ceiling"];
  EXPECT_EQ(ceiling["target_forward_ms"]["8"], 12);
  ASSERT_EQ(ceiling["points"].size(), 1u) << "8 clients have no plain rounds";
  const Json& point = ceiling["points"][0];
  EXPECT_EQ(point["acceptance_of"], "2") << "a fixed length before auto";
  EXPECT_EQ(point["draft_tokens"], 2);
  EXPECT_DOUBLE_EQ(point["ratio"], 3 * 10.0 / 15);
  EXPECT_DOUBLE_EQ(point["auto_decode_speed_up"], 50.0 / 40);
  EXPECT_NE(LoadReportToTable(report).find("      4       2    2.000   1.250         of 2\n"),
            std::string::npos)
      << LoadReportToTable(report);
}

TEST(BenchLoadReportTest, AFloodIsReportedAgainstOneNeighbour) {
  LoadReport report = MadeUpReport();
  report.points.clear();
  FloodPoint flood = {.flood_requests = 32, .mode = "off", .rounds = {}};
  for (const double tpot_ms : {60.0, 55.0, 100.0}) {
    FloodRound round = {.quiet_beside_one = Round(10, 50),
                        .quiet_beside_flood = Round(10, tpot_ms)};
    round.quiet_beside_flood.latency.ttft_ms = {300, 400};
    flood.rounds.push_back(round);
  }
  report.floods = {flood};
  const Json json = LoadReportToJson(report);
  EXPECT_TRUE(json["results"].empty());
  const Json& point = json["flood"][0];
  EXPECT_EQ(point["flood_requests"], 32);
  EXPECT_DOUBLE_EQ(point["ttft_ratio"]["median"], 3);
  EXPECT_DOUBLE_EQ(point["tpot_ratio"]["median"], 1.2);
  EXPECT_DOUBLE_EQ(point["tpot_ratio"]["max"], 2);
  EXPECT_EQ(point["beside_flood"]["ttft_ms"]["p99"], 400);
  const std::string table = LoadReportToTable(report);
  EXPECT_NE(table.find("32 requests at a time"), std::string::npos) << table;
  EXPECT_NE(table.find("3.000          1.200"), std::string::npos) << table;
}

}  // namespace
}  // namespace foretoken
