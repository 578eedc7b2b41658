#ifndef FORETOKEN_SERVER_OPENAI_GENERATION_FIELDS_H_
#define FORETOKEN_SERVER_OPENAI_GENERATION_FIELDS_H_

#include "server/openai_request.h"
#include "server/wire_object.h"

namespace foretoken {

// Reads the fields of every generating request: model, temperature, top_p, seed, stream, user,
// metadata, and our extensions.
void ReadGenerationFields(WireObject& object, GenerationFields& fields);

// Those that chat and legacy completions have besides: n, stop, penalties, logit_bias,
// stream_options.
void ReadCompletionFields(WireObject& object, GenerationFields& fields);

// A number of tokens to generate.
inline constexpr WireRange<int64_t> kMaxTokensRange = {1, 2147483647};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_GENERATION_FIELDS_H_
