#include "bench_kernels_report.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "bench_load_figures.h"
#include "bench_report.h"

namespace foretoken {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kLowQuartile = 0.25;
constexpr double kHighQuartile = 0.75;

double GbPerSecond(const KernelBenchReport& report, double ms) {
  return static_cast<double>(report.weight_bytes) / 1e6 / ms;
}

double GmacPerSecond(const KernelBenchReport& report, int32_t rows, double ms) {
  return static_cast<double>(report.parameters) * rows / 1e6 / ms;
}

Json ForwardToJson(const KernelBenchReport& report, const TimedForwards& forward,
                   std::string_view kernels, const std::vector<double>& ms) {
  const double median = Median(ms);
  const auto one_row = OneRowMs(report.times, forward.cached_tokens);
  return {{"kernels", kernels},
          {"cached_tokens", forward.cached_tokens},
          {"n", forward.rows},
          {"logits", forward.is_prefill ? "last" : "all"},
          {"median_ms", median},
          {"low_quartile_ms", Percentile(ms, kLowQuartile)},
          {"high_quartile_ms", Percentile(ms, kHighQuartile)},
          {"ratio_to_one_row", one_row ? Json(median / *one_row) : Json()},
          {"weights_gb_per_s", GbPerSecond(report, median)},
          {"gmac_per_s", GmacPerSecond(report, forward.rows, median)},
          {"runs", ms.size()}};
}

}  // namespace

std::optional<double> OneRowMs(const KernelTimes& times, int32_t cached_tokens) {
  for (const TimedForwards& forward : times.forwards) {
    if (forward.cached_tokens == cached_tokens && forward.rows == 1 && !forward.is_prefill) {
      return std::min(Median(forward.ours_ms), Median(forward.stock_ms));
    }
  }
  return std::nullopt;
}

Json KernelReportToJson(const KernelBenchReport& report) {
  Json results = Json::array();
  for (const TimedForwards& forward : report.times.forwards) {
    results.push_back(ForwardToJson(report, forward, "ours", forward.ours_ms));
    results.push_back(ForwardToJson(report, forward, "stock", forward.stock_ms));
  }
  Json operations = Json::array();
  for (const auto& [rows, kernels] : report.times.operations) {
    for (const auto& [name, time] : kernels.operations) {
      operations.push_back({{"n", rows},
                            {"operation", name},
                            {"calls", time.calls},
                            {"ms", static_cast<double>(time.nanoseconds) / 1e6}});
    }
  }
  Json quality;
  if (report.quality) {
    quality = {{"tokens", report.quality->tokens},
               {"ours_perplexity", report.quality->ours_perplexity},
               {"stock_perplexity", report.quality->stock_perplexity},
               {"ours_divergence", report.quality->ours_divergence},
               {"stock_divergence", report.quality->stock_divergence}};
  }
  return {{"model", report.model},
          {"instruction_set", report.instruction_set},
          {"threads", report.threads},
          {"pairs", report.pairs},
          {"parameters", report.parameters},
          {"weight_bytes", report.weight_bytes},
          {"machine",
           {{"read_gb_per_s", report.peaks.read_gb_per_s},
            {"kernel_in_cache_gmac_per_s", report.peaks.gmac_per_s}}},
          {"results", std::move(results)},
          {"operations", std::move(operations)},
          {"quality", std::move(quality)}};
}

std::string KernelReportToTable(const KernelBenchReport& report) {
  std::string text = fmt::format(
      "{}: {} kernels on {} threads; memory reads {:.1f} GB/s, a matrix product in cache {:.0f} "
      "GMAC/s\nMedians of {} runs each, in turn; ratios are to one row on the faster kernels.\n\n",
      report.model, report.instruction_set, report.threads, report.peaks.read_gb_per_s,
      report.peaks.gmac_per_s, report.pairs);
  text += fmt::format("{:>7} {:>6} {:>10} {:>7} {:>15} {:>10} {:>7} {:>7} {:>7} {:>8}\n", "cached",
                      "rows", "ours ms", "ratio", "quartiles", "stock ms", "ratio", "gain", "GB/s",
                      "GMAC/s");
  for (const TimedForwards& forward : report.times.forwards) {
    const double ours = Median(forward.ours_ms);
    const double stock = Median(forward.stock_ms);
    const auto one_row = OneRowMs(report.times, forward.cached_tokens);
    const auto ratio = [&](double ms) {
      return one_row ? fmt::format("{:.2f}", ms / *one_row) : "-";
    };
    text += fmt::format(
        "{:>7} {:>6} {:>10.2f} {:>7} {:>15} {:>10.2f} {:>7} {:>6.2f}x {:>7.1f} {:>8.0f}\n",
        forward.cached_tokens, fmt::format("{}{}", forward.rows, forward.is_prefill ? "p" : ""),
        ours, ratio(ours),
        fmt::format("{:.2f}-{:.2f}", Percentile(forward.ours_ms, kLowQuartile),
                    Percentile(forward.ours_ms, kHighQuartile)),
        stock, ratio(stock), stock / ours, GbPerSecond(report, ours),
        GmacPerSecond(report, forward.rows, ours));
  }
  for (const auto& [rows, kernels] : report.times.operations) {
    text += fmt::format("\nOf our forwards of {} rows:\n", rows);
    for (const auto& [name, time] : kernels.operations) {
      text += fmt::format("  {:<24} {:>8} calls {:>10.3f} ms\n", name, time.calls,
                          static_cast<double>(time.nanoseconds) / 1e6);
    }
  }
  if (report.quality) {
    text += fmt::format(
        "\nOver {} tokens of text: perplexity {:.4f}, stock {:.4f}; divergence from stock {:.5f} "
        "nats, of "
        "stock without flash attention {:.5f}\n",
        report.quality->tokens, report.quality->ours_perplexity, report.quality->stock_perplexity,
        report.quality->ours_divergence, report.quality->stock_divergence);
  }
  return text;
}

}  // namespace foretoken
