#include "bench_report.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace foretoken {
namespace {

FinishedEvent Run(double tokens_per_second, int64_t rounds, int32_t tokens) {
  FinishedEvent run;
  run.usage.completion_tokens = tokens;
  run.timings.decode_tokens_per_second = tokens_per_second;
  run.timings.first_token_ms = 30;
  run.timings.prompt_ms = 25;
  run.timings.decode_ms = 100;
  run.timings.draft_ms = 10;
  run.timings.verify_ms = 70;
  run.timings.sample_ms = 5;
  run.speculation.rounds = rounds;
  run.speculation.tau = static_cast<double>(tokens) / static_cast<double>(rounds);
  return run;
}

BenchReport MadeUpReport() {
  BenchReport report;
  report.settings.model = "big";
  report.settings.draft = "small";
  report.settings.prompts_file = "p.jsonl";
  report.settings.max_tokens = 10;
  report.settings.repeat = 3;
  report.settings.sampling.seed = 1;
  for (int i = 0; i < 2; ++i) {
    PromptFigures prompt;
    prompt.id = "p" + std::to_string(i);
    prompt.plain = {Run(10, 10, 10), Run(11, 10, 10), Run(90, 10, 10)};
    const double rate = i == 0 ? 22 : 11;
    prompt.speculative = {Run(rate, 5, 10), Run(rate, 5, 10), Run(rate, 5, 10)};
    for (FinishedEvent& run : prompt.speculative) {
      run.speculation.drafted = 10;
      run.speculation.accepted = 5;
      run.speculation.rejected = 5;
      run.speculation.by_source[DraftSourceKind::kDraftModel] = {.drafted = 10, .accepted = 5};
      run.speculation.by_position = {{.drafted = 5, .accepted = 4}, {.drafted = 5, .accepted = 1}};
    }
    report.prompts.push_back(prompt);
  }
  report.check.compared = 2;
  return report;
}

TEST(BenchReportTest, MediansDoNotMindOutliers) {
  EXPECT_EQ(Median({}), 0);
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({1, 1000, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 1000}), 3);
}

TEST(BenchReportTest, ReportsMediansRatiosAndSums) {
  const auto json = ReportToJson(MadeUpReport());
  EXPECT_EQ(json["plain"]["tokens_per_second"], 11);
  EXPECT_EQ(json["speculative"]["tokens_per_second"], 16.5);
  EXPECT_EQ(json["ratio"]["median"], 1.5);
  EXPECT_EQ(json["ratio"]["min"], 1.0);
  EXPECT_EQ(json["ratio"]["max"], 2.0);
  EXPECT_EQ(json["speculation"]["rounds"], 30);
  EXPECT_EQ(json["speculation"]["tau"], 2.0);
  EXPECT_EQ(json["speculation"]["by_source"]["draft"]["accepted"], 30);
  EXPECT_EQ(json["speculation"]["by_position"][1].dump(), R"({"drafted":30,"accepted":6})");
  const auto& phases = json["speculative"]["phases_ms"];
  EXPECT_EQ(phases["prompt"], 150);
  EXPECT_EQ(phases["verify"], 420);
  EXPECT_EQ(phases["rest"], 6 * (100 - 10 - 70 - 5)) << "decode less the other phases";
  EXPECT_EQ(json["prompts"][1]["id"], "p1");
  EXPECT_EQ(json["prompts"][0]["ratio"], 2.0);
  EXPECT_EQ(json["settings"]["rule"], "coupled");
  EXPECT_EQ(json["settings"]["sources"], "prediction,suffix,draft");
}

TEST(BenchReportTest, CountsExcusedAndUnexcusedDifferences) {
  BenchReport report = MadeUpReport();
  NearTieVerdict excused;
  excused.position = 4;
  excused.score_gap = 0.001;
  excused.shape_difference = std::numeric_limits<double>::infinity();
  excused.excused = true;
  NearTieVerdict unexcused;
  unexcused.position = 7;
  report.check.differences = {{"p0", excused}, {"p1", unexcused}};
  EXPECT_EQ(report.check.excused(), 1);
  EXPECT_EQ(report.check.unexcused(), 1);
  EXPECT_EQ(report.check.equal(), 0);

  const auto check = nlohmann::json::parse(ReportToJson(report)["check"].dump());
  EXPECT_EQ(check["excused"], 1);
  EXPECT_EQ(check["unexcused"], 1);
  EXPECT_TRUE(check["differences"][0]["shape_difference"].is_null()) << "JSON has no infinity";
  EXPECT_EQ(check["differences"][1]["position"], 7);
  const std::string table = ReportToTable(report);
  EXPECT_NE(table.find("0 of 2; 1 excused as near ties, 1 NOT excused"), std::string::npos)
      << table;
}

TEST(BenchReportTest, TheTableSaysWhatWasNotChecked) {
  BenchReport report = MadeUpReport();
  EXPECT_NE(ReportToTable(report).find("same tokens       2 of 2\n"), std::string::npos);
  report.check = {};
  report.check.skipped = "another rule";
  EXPECT_NE(ReportToTable(report).find("not checked: another rule"), std::string::npos);
  EXPECT_EQ(ReportToJson(report)["check"]["skipped"], "another rule");
}

TEST(BenchReportTest, AnswersOfOneTokenHaveNoRate) {
  BenchReport report = MadeUpReport();
  for (PromptFigures& prompt : report.prompts) {
    for (auto* runs : {&prompt.plain, &prompt.speculative}) {
      for (FinishedEvent& run : *runs) run.timings.decode_tokens_per_second = 0;
    }
  }
  EXPECT_EQ(ReportToJson(report)["ratio"]["median"], 0);
  EXPECT_EQ(ReportToTable(report).find("ratio"), std::string::npos);
}

}  // namespace
}  // namespace foretoken
