// Bodies of requests: every one is a request whose options are valid, or an error that a client can
// read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "foretoken/options.h"
#include "server/openai_request.h"
#include "server/openai_responses_request.h"
#include "server/wire_error.h"
#include "server/wire_object.h"

namespace foretoken {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckIgnored(const std::vector<std::string>& fields) {
  Require(fields.size() <= kMaxIgnoredFields);
  const std::string header = IgnoredFieldsHeader(fields);
  Require(std::all_of(header.begin(), header.end(), [](char c) { return c >= ' ' && c <= '~'; }));
}

void Check(const GenerationFields& fields) {
  GenerateOptions options = fields.options;
  if (fields.max_tokens) options.max_tokens = *fields.max_tokens;
  if (fields.speculation) options.speculation = fields.speculation->Over(SpeculativeConfig());
  Require(Validate(options).ok());
  Require(fields.n >= 1 && fields.n <= kMaxWireChoices);
  CheckIgnored(fields.ignored_fields);
}

void Check(const ChatCompletionRequest& request) {
  Check(request.common);
  Require(!request.prompt.messages.empty());
}

void Check(const ResponsesRequest& request) {
  Check(request.common);
  Require(!request.prompt.messages.empty());
}

void Check(const CompletionRequest& request) {
  Check(request.common);
  Require(!request.prompts.empty() && request.common.max_tokens.has_value());
}

void Check(const EmbeddingsRequest& request) {
  Require(!request.inputs.empty());
  CheckIgnored(request.ignored_fields);
}

void Check(const TokenizeRequest& request) {
  CheckIgnored(request.ignored_fields);
}

void Check(const DetokenizeRequest& request) {
  Require(std::all_of(request.tokens.begin(), request.tokens.end(),
                      [](TokenId token) { return token >= 0; }));
  CheckIgnored(request.ignored_fields);
}

template <typename Request>
void CheckParsed(WireResult<Request> parsed) {
  if (parsed.ok()) {
    Check(*parsed);
    return;
  }
  const WireError& error = parsed.error();
  Require(error.http_status == 400 && !error.message.empty() && !error.code.empty());
  Require(error.message.size() < 1024 && error.param.size() < 512);
  Require(IsValidUtf8(WireErrorBody(error)));
}

void ParseAsEverything(std::string_view body) {
  CheckParsed(ParseChatCompletionRequest(body));
  CheckParsed(ParseCompletionRequest(body));
  CheckParsed(ParseResponsesRequest(body));
  CheckParsed(ParseEmbeddingsRequest(body));
  CheckParsed(ParseTokenizeRequest(body));
  CheckParsed(ParseDetokenizeRequest(body));
}

}  // namespace
}  // namespace foretoken

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  foretoken::ParseAsEverything(text);
  // As fields of a request that is right otherwise, where more of them are reached.
  foretoken::ParseAsEverything(
      R"({"model":"m","messages":[{"role":"user","content":"x"}],"input":"x","tokens":[],)" + text +
      "}");
  return 0;
}

// Most random bytes end at the first brace; half of the inputs are mutations of requests that are
// right.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  constexpr std::string_view kRight[] = {
      R"({"model":"m","messages":[{"role":"system","content":"s"},{"role":"assistant","content":null,
      "tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":"{}"}}]},
      {"role":"tool","tool_call_id":"i","content":[{"type":"text","text":"x"}]}],"tools":[{"type":
      "function","function":{"name":"f","parameters":{}}}],"tool_choice":"auto","logprobs":true,
      "top_logprobs":2,"stop":["a"],"logit_bias":{"5":1.5},"n":2,"seed":-1,"stream_options":
      {"include_usage":true},"metadata":{"k":"v"},"prediction":{"type":"content","content":"p"},
      "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},
      "speculation":{"mode":"fixed","draft_tokens":3,"sources":["draft","suffix"]},"x":1})",
      R"({"model":"m","prompt":[[1,2],[3]],"max_tokens":5,"temperature":0.5,"top_p":0,"logprobs":3,
      "echo":false,"best_of":1,"stop":"end","deadline_ms":100})",
      R"({"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"x"}]},{"type":
      "function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output",
      "call_id":"c","output":"o"}],"instructions":"i","text":{"format":{"type":"text"}},"tools":[
      {"type":"function","name":"f"}],"max_output_tokens":4,"tokens":[1,2],"dimensions":8})"};
  if (seed % 2 == 0) {
    const std::string_view right = kRight[seed / 2 % std::size(kRight)];
    if (right.size() <= max_size) size = right.copy(reinterpret_cast<char*>(data), right.size());
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
