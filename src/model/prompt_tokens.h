#ifndef FORETOKEN_MODEL_PROMPT_TOKENS_H_
#define FORETOKEN_MODEL_PROMPT_TOKENS_H_

#include <vector>

#include "foretoken/generation.h"
#include "foretoken/status.h"
#include "model/loaded_model.h"

namespace foretoken {

// The tokens that a model is given for a prompt: text as it is, tokens as they are, messages laid
// out by the model's chat template. INVALID_ARGUMENT for tokens outside the vocabulary;
// FAILED_PRECONDITION for messages where the model has no template. `add_special`: of a text,
// whether it begins with the begin of text if the model wants one.
Result<std::vector<TokenId>> TokenizePrompt(const LoadedModel& model, const PromptContent& prompt,
                                            bool add_special = true);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_PROMPT_TOKENS_H_
