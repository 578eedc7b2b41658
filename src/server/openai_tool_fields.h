#ifndef FORETOKEN_SERVER_OPENAI_TOOL_FIELDS_H_
#define FORETOKEN_SERVER_OPENAI_TOOL_FIELDS_H_

#include "server/openai_request.h"
#include "server/wire_object.h"

namespace foretoken {

// Where a function's or a schema's own fields are.
enum class WireNesting {
  kNested,  // inside an object "function" or "json_schema": chat completions
  kFlat,    // beside the "type": responses
};

// The fields `tools`, `tool_choice` and `parallel_tool_calls`; the prompt gets the first and last.
ToolFields ReadToolFields(WireObject& object, WireNesting nesting, ChatPrompt& prompt);

// The field `name`, a format of the answer.
ResponseFormat ReadResponseFormat(WireObject& object, const char* name, WireNesting nesting);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_TOOL_FIELDS_H_
