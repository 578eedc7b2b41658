#ifndef FORETOKEN_SERVER_OPENAI_RESPONSES_REQUEST_H_
#define FORETOKEN_SERVER_OPENAI_RESPONSES_REQUEST_H_

#include <string>
#include <string_view>

#include "server/openai_request.h"

namespace foretoken {

// A request for a response, without the parts that need earlier ones to be kept.
struct ResponsesRequest {
  GenerationFields common;
  ChatPrompt prompt;         // the instructions are its first message
  std::string instructions;  // as they came; empty: none
  ToolFields tools;
  ResponseFormat format;
};

WireResult<ResponsesRequest> ParseResponsesRequest(std::string_view body);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_RESPONSES_REQUEST_H_
