#include "server/access_log.h"

#include <exception>
#include <utility>

#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <nlohmann/json.hpp>

#include "store/utc_time.h"

namespace foretoken {
namespace {

constexpr size_t kQueuedLines = 8192;

}  // namespace

std::string AccessLogLine(const HttpAccessRecord& record, int64_t now_ms) {
  const nlohmann::ordered_json line = {
      {"time", FormatUtc(now_ms)},
      {"request_id", record.request_id},
      {"remote", record.remote_address},
      {"method", record.method},
      {"path", record.path},
      {"status", record.status},
      {"bytes_in", record.bytes_in},
      {"bytes_out", record.bytes_out},
      {"duration_ms", static_cast<double>(record.duration.count()) / 1000},
      {"disconnected", record.disconnected}};
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

AccessLog::~AccessLog() {
  thread_.reset();  // writes what is queued, and ends before the file is closed
}

Status AccessLog::Open() {
  if (target_ == "off") return OkStatus();
  try {
    spdlog::sink_ptr sink;
    if (target_.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(target_);
    }
    thread_ = std::make_shared<spdlog::details::thread_pool>(kQueuedLines, 1);
    logger_ = std::make_shared<spdlog::async_logger>("access", std::move(sink), thread_,
                                                     spdlog::async_overflow_policy::overrun_oldest);
    logger_->set_pattern("%v");
    logger_->set_level(spdlog::level::info);
    logger_->flush_on(spdlog::level::info);
    logger_->set_error_handler([](const std::string&) {});
    return OkStatus();
  } catch (const std::exception& error) {
    return FailedPreconditionError(
        fmt::format("the access log {} cannot be written: {}", target_, error.what()));
  }
}

void AccessLog::Write(const HttpAccessRecord& record) {
  if (logger_) logger_->info("{}", AccessLogLine(record, UtcNowMs()));
}

}  // namespace foretoken
