#ifndef FORETOKEN_SERVER_OPENAI_MESSAGE_FIELDS_H_
#define FORETOKEN_SERVER_OPENAI_MESSAGE_FIELDS_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "server/openai_request.h"
#include "server/wire_object.h"

namespace foretoken {

// A field that is text: a string, or an array of parts of the types `part_types`, put together with
// `separator`. Empty when it is absent. Parts of other types (images, audio) are refused by name.
std::string ReadContent(WireObject& object, const char* name,
                        std::initializer_list<const char*> part_types, std::string_view separator);

// The field `messages` of a chat.
std::vector<ChatMessage> ReadMessages(WireObject& object);

// A field that is one or several prompts: a string, an array of strings, an array of tokens, or an
// array of those. Must be there; none is empty.
std::vector<PromptContent> ReadPrompts(WireObject& object, const char* name, size_t most);

// A field that is an array of token ids. Must be there.
std::vector<TokenId> ReadTokens(WireObject& object, const char* name);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_MESSAGE_FIELDS_H_
