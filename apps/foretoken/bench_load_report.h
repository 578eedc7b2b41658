#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_REPORT_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_REPORT_H_

#include <string>

#include <nlohmann/json.hpp>

#include "bench_load_summary.h"

namespace foretoken {

// docs/benchmarks.md lists the fields.
nlohmann::ordered_json LoadReportToJson(const LoadReport& report);
std::string LoadReportToTable(const LoadReport& report);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_REPORT_H_
