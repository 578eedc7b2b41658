#ifndef FORETOKEN_SERVER_METRICS_PAGE_H_
#define FORETOKEN_SERVER_METRICS_PAGE_H_

#include <string>
#include <vector>

#include "foretoken/metrics.h"
#include "server/api_metrics.h"
#include "server/http_options.h"
#include "server/model_pool.h"

namespace foretoken {

// What a scrape shows, collected at one moment.
struct MetricsSnapshot {
  std::vector<EngineMetrics> engines;
  std::vector<HttpServerCounts> listeners;
  std::vector<PoolModelState> models;
  ApiMetrics::Snapshot api;
};

// Prometheus' text format. Names follow vLLM's where they mean the same, with our prefix; labels
// are models, tenants, endpoints, statuses and sources: none that a client makes up.
std::string MetricsPage(const MetricsSnapshot& snapshot);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_METRICS_PAGE_H_
