#ifndef FORETOKEN_SERVER_ACCESS_LOG_H_
#define FORETOKEN_SERVER_ACCESS_LOG_H_

#include <memory>
#include <string>

#include "foretoken/status.h"
#include "server/http_options.h"

namespace spdlog {
class logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace foretoken {

// One JSON object a line for every exchange: never a prompt, an answer or a key. A thread of its
// own writes; when it cannot keep up the oldest lines are lost, not the requests. Any thread may
// write. What the disk refuses is lost; the server goes on.
class AccessLog {
 public:
  // A file's path; empty: standard error; "off": nothing is written.
  explicit AccessLog(std::string target) : target_(std::move(target)) {}
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Before the first line. The file is appended to.
  Status Open();
  void Write(const HttpAccessRecord& record);

 private:
  const std::string target_;
  std::shared_ptr<spdlog::details::thread_pool> thread_;  // the logger has only a weak one
  std::shared_ptr<spdlog::logger> logger_;
};

// The line of a record, without its end.
std::string AccessLogLine(const HttpAccessRecord& record, int64_t now_ms);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_ACCESS_LOG_H_
