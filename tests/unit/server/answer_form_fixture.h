#ifndef FORETOKEN_UNIT_SERVER_ANSWER_FORM_FIXTURE_H_
#define FORETOKEN_UNIT_SERVER_ANSWER_FORM_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "unit/server/openai_answer_fixture.h"

namespace foretoken {

inline TokensEvent TextEvent(const std::string& text) {
  TokensEvent event;
  event.text = text;
  return event;
}

// The data of server-sent events, each of exactly one "data:" line behind its name, if it has one;
// "[DONE]" is a JSON string.
inline std::vector<nlohmann::json> SseData(const std::string& stream) {
  std::vector<nlohmann::json> events;
  for (size_t at = 0; at < stream.size();) {
    const size_t end = stream.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << stream;
    if (end == std::string::npos) break;
    std::string event = stream.substr(at, end - at);
    at = end + 2;
    if (event.starts_with("event: ")) event.erase(0, event.find('\n') + 1);
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    EXPECT_EQ(event.find('\n'), std::string::npos) << event;
    const std::string data = event.substr(6);
    events.push_back(data == "[DONE]" ? nlohmann::json(data) : nlohmann::json::parse(data));
  }
  return events;
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_ANSWER_FORM_FIXTURE_H_
