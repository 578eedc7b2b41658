#ifndef FORETOKEN_FORETOKEN_PROMPTS_FILE_H_
#define FORETOKEN_FORETOKEN_PROMPTS_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "foretoken/status.h"

namespace foretoken {

struct Prompt {
  std::string id;  // the line's question_id, id or task_id; its 0-based index without one
  std::string text;
};

// Reads a JSON-lines file: an object a line with the prompt in turns[0] or prompt. Empty lines are
// skipped; a `limit` of 0 reads all. INVALID_ARGUMENT names file:line and what is wrong; a file
// without a prompt is one too. Other errors as ReadInput's.
Result<std::vector<Prompt>> ReadPromptsFile(const std::string& path, int32_t limit);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_PROMPTS_FILE_H_
