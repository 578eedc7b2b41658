#include "server/metrics_page.h"

#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace foretoken {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Upper bounds of what latencies are sorted into, seconds.
constexpr double kSecondsBounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                     1,     2.5,  5,     10,   30,  60,   120};

using Labels = std::vector<std::pair<std::string, std::string>>;

ClientMetric Metric(const Labels& labels) {
  ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

class Page {
 public:
  MetricFamily& Family(const char* name, const char* help, MetricType type) {
    for (MetricFamily& family : families_) {
      if (family.name == name) return family;
    }
    families_.push_back({name, help, type, {}});
    return families_.back();
  }
  void Counter(const char* name, const char* help, const Labels& labels, int64_t value) {
    ClientMetric metric = Metric(labels);
    metric.counter.value = static_cast<double>(value);
    Family(name, help, MetricType::Counter).metric.push_back(std::move(metric));
  }
  void Gauge(const char* name, const char* help, const Labels& labels, double value) {
    ClientMetric metric = Metric(labels);
    metric.gauge.value = value;
    Family(name, help, MetricType::Gauge).metric.push_back(std::move(metric));
  }
  // Of milliseconds, shown in seconds. Our buckets are finer: what straddles a bound counts above.
  void Latency(const char* name, const char* help, const Labels& labels, const Histogram& ms) {
    ClientMetric metric = Metric(labels);
    metric.histogram.sample_count = static_cast<uint64_t>(ms.count);
    metric.histogram.sample_sum = ms.sum / 1000;
    size_t bucket = 0;
    uint64_t below = 0;
    for (const double bound : kSecondsBounds) {
      while (bucket < Histogram::kBuckets && Histogram::UpperBound(bucket) <= bound * 1000) {
        below += static_cast<uint64_t>(ms.buckets[bucket++]);
      }
      metric.histogram.bucket.push_back({below, bound});
    }
    metric.histogram.bucket.push_back(
        {static_cast<uint64_t>(ms.count), std::numeric_limits<double>::infinity()});
    Family(name, help, MetricType::Histogram).metric.push_back(std::move(metric));
  }
  std::string Text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

// `number`: tells engines of one target apart.
void AddEngine(const EngineMetrics& engine, int number, Page& page) {
  const Labels model = {{"model_name", engine.target_id}, {"engine", std::to_string(number)}};
  const auto with = [&model](const char* name, std::string_view value) {
    Labels labels = model;
    labels.emplace_back(name, value);
    return labels;
  };
  const TenantMetrics& total = engine.total;
  page.Gauge("foretoken:num_requests_running", "Requests that run.", model, total.requests.running);
  page.Gauge("foretoken:num_requests_waiting", "Requests that wait for a place.", model,
             total.requests.queued);
  page.Gauge("foretoken:num_requests_paused", "Requests that gave up their cache for others.",
             model, total.requests.paused);
  page.Gauge("foretoken:kv_cache_usage_perc", "The used part of the KV cache, 0 to 1.", model,
             engine.kv.capacity > 0 ? static_cast<double>(engine.kv.used - engine.kv.cached) /
                                          static_cast<double>(engine.kv.capacity)
                                    : 0);
  page.Counter("foretoken:num_preemptions_total", "Requests that were paused.", model,
               total.preemptions);
  page.Counter("foretoken:prompt_tokens_total", "Tokens of prompts.", model, total.prompt_tokens);
  page.Counter("foretoken:prefix_cache_hits_total", "Tokens of prompts that were cached.", model,
               total.cached_prompt_tokens);
  page.Counter("foretoken:generation_tokens_total", "Tokens of answers.", model,
               total.completion_tokens);
  page.Counter("foretoken:target_forwards_total", "Forwards of the target.", model,
               engine.target_forwards);
  page.Counter("foretoken:target_rows_total", "Positions in forwards of the target.", model,
               engine.target_rows);
  page.Counter("foretoken:draft_forwards_total", "Forwards of draft models.", model,
               engine.draft_forwards);
  page.Counter(
      "foretoken:spec_decode_num_drafts_total", "Rounds that verified a draft.", model,
      total.rounds - (total.rounds_by_draft_length.empty() ? total.rounds
                                                           : total.rounds_by_draft_length.front()));
  page.Counter("foretoken:spec_decode_wasted_positions_total",
               "Drafted positions that were not kept.", model, total.wasted_positions);
  for (const auto& [kind, source] : total.by_source) {
    const Labels labels = with("source", DraftSourceKindName(kind));
    page.Counter("foretoken:spec_decode_num_draft_tokens_total", "Drafted tokens.", labels,
                 source.drafted);
    page.Counter("foretoken:spec_decode_num_accepted_tokens_total", "Accepted drafted tokens.",
                 labels, source.accepted);
  }
  for (const auto& [reason, count] : total.no_draft) {
    page.Counter("foretoken:rounds_without_draft_total", "Rounds without a draft, by reason.",
                 with("reason", NoDraftReasonName(reason)), count);
  }
  for (const auto& [reason, count] : total.finished_requests) {
    page.Counter("foretoken:request_success_total", "Requests that ended, by reason.",
                 with("finished_reason", FinishReasonName(reason)), count);
  }
  page.Latency("foretoken:request_queue_time_seconds", "From submission to the start.", model,
               total.queue_ms);
  page.Latency("foretoken:time_to_first_token_seconds", "From submission to the first token.",
               model, total.first_token_ms);
  page.Latency("foretoken:inter_token_latency_seconds", "Between the events of a stream.", model,
               total.event_gap_ms);
  page.Latency("foretoken:time_per_output_token_seconds",
               "Time per token of a finished request, after its first.", model,
               total.output_token_ms);
}

void AddListeners(const std::vector<HttpServerCounts>& listeners, Page& page) {
  HttpServerCounts sum;
  for (const HttpServerCounts& counts : listeners) {
    sum.open_connections += counts.open_connections;
    sum.open_websockets += counts.open_websockets;
    sum.accepted_connections += counts.accepted_connections;
    sum.refused_connections += counts.refused_connections + counts.refused_connections_address;
    sum.malformed_requests += counts.malformed_requests;
    sum.slow_readers += counts.slow_readers;
    sum.disconnects += counts.disconnects;
  }
  page.Gauge("foretoken:http_connections", "Open connections.", {},
             static_cast<double>(sum.open_connections));
  page.Gauge("foretoken:http_websockets", "Open WebSockets.", {},
             static_cast<double>(sum.open_websockets));
  page.Counter("foretoken:http_accepted_connections_total", "Connections.", {},
               static_cast<int64_t>(sum.accepted_connections));
  page.Counter("foretoken:http_refused_connections_total", "Connections over a limit.", {},
               static_cast<int64_t>(sum.refused_connections));
  page.Counter("foretoken:http_malformed_requests_total", "Requests that were no HTTP.", {},
               static_cast<int64_t>(sum.malformed_requests));
  page.Counter("foretoken:http_slow_readers_total", "Connections cut for not reading.", {},
               static_cast<int64_t>(sum.slow_readers));
  page.Counter("foretoken:http_disconnects_total", "Clients gone before their answer.", {},
               static_cast<int64_t>(sum.disconnects));
}

void AddApi(const ApiMetrics::Snapshot& api, Page& page) {
  for (const auto& [key, count] : api.responses) {
    page.Counter("foretoken:http_responses_total", "Answers by endpoint and status.",
                 {{"endpoint", key.first}, {"status", std::to_string(key.second)}}, count);
  }
  for (const auto& [key, usage] : api.usage) {
    const Labels labels = {{"tenant", key.first}, {"model_name", key.second}};
    page.Counter("foretoken:tenant_requests_total", "Requests of a tenant.", labels,
                 usage.requests);
    page.Counter("foretoken:tenant_prompt_tokens_total", "Its tokens of prompts.", labels,
                 usage.prompt_tokens);
    page.Counter("foretoken:tenant_generation_tokens_total", "Its tokens of answers.", labels,
                 usage.completion_tokens);
  }
}

}  // namespace

std::string MetricsPage(const MetricsSnapshot& snapshot) {
  Page page;
  std::map<std::string, int> engines;
  for (const EngineMetrics& engine : snapshot.engines) {
    AddEngine(engine, engines[engine.target_id]++, page);
  }
  for (const PoolModelState& model : snapshot.models) {
    page.Gauge("foretoken:model_loaded", "1 for a model that is loaded.",
               {{"model_name", model.name}}, model.loaded ? 1 : 0);
    page.Gauge("foretoken:model_memory_bytes", "Of a loaded model, with its caches.",
               {{"model_name", model.name}}, static_cast<double>(model.bytes));
  }
  AddListeners(snapshot.listeners, page);
  AddApi(snapshot.api, page);
  return page.Text();
}

}  // namespace foretoken
