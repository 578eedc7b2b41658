#include "server/access_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

HttpAccessRecord Record(const std::string& id) {
  HttpAccessRecord record;
  record.request_id = id;
  record.method = "POST";
  record.path = "/v1/completions";
  record.status = 200;
  record.bytes_in = 12;
  record.bytes_out = 34;
  record.duration = std::chrono::microseconds(1500);
  record.remote_address = "127.0.0.1";
  return record;
}

std::vector<std::string> LinesOf(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

TEST(AccessLogTest, ALineIsOneJsonObject) {
  const auto line = nlohmann::json::parse(AccessLogLine(Record("id-1"), 1764000000123));
  EXPECT_EQ(line, nlohmann::json::parse(R"({
      "time": "2025-11-24T16:00:00Z", "request_id": "id-1", "remote": "127.0.0.1",
      "method": "POST", "path": "/v1/completions", "status": 200, "bytes_in": 12,
      "bytes_out": 34, "duration_ms": 1.5, "disconnected": false})"));
}

TEST(AccessLogTest, AHostilePathStaysOneLine) {
  HttpAccessRecord record = Record("id-1");
  record.path = "/a\r\n{\"status\":200}\xff\x01%n{}";
  const std::string line = AccessLogLine(record, 0);
  EXPECT_EQ(line.find_first_of("\r\n"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(line)["path"], "/a\r\n{\"status\":200}\xEF\xBF\xBD\x01%n{}");
}

TEST(AccessLogTest, EveryLineOfEveryThreadIsInTheFileWhenItIsClosed) {
  const testing::TempDirectory directory;
  const std::string path = directory.Write("access.log", "before\n");
  constexpr size_t kThreads = 4;
  constexpr size_t kLines = 200;
  {
    AccessLog log(path);
    ASSERT_TRUE(log.Open().ok());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&log, i] {
        for (size_t j = 0; j < kLines; ++j) {
          log.Write(Record(std::to_string(i) + "-{}-" + std::to_string(j)));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const std::vector<std::string> lines = LinesOf(path);
  ASSERT_EQ(lines.size(), 1 + kThreads * kLines);
  EXPECT_EQ(lines[0], "before");
  std::vector<size_t> next(kThreads);
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string id = nlohmann::json::parse(lines[i])["request_id"];
    const size_t thread = static_cast<size_t>(id[0] - '0');
    EXPECT_EQ(id, std::to_string(thread) + "-{}-" + std::to_string(next.at(thread)++));
  }
}

TEST(AccessLogTest, OffWritesNothingAndABadFileIsNamed) {
  AccessLog off("off");
  ASSERT_TRUE(off.Open().ok());
  off.Write(Record("a"));
  const testing::TempDirectory directory;
  AccessLog log(directory.path());  // a folder
  const Status status = log.Open();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(directory.path()));
  log.Write(Record("a"));
}

}  // namespace
}  // namespace foretoken
