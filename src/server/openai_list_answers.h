#ifndef FORETOKEN_SERVER_OPENAI_LIST_ANSWERS_H_
#define FORETOKEN_SERVER_OPENAI_LIST_ANSWERS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/options.h"

namespace foretoken {

struct ModelEntry {
  std::string id;
  int64_t created = 0;  // seconds since 1970
  std::string owned_by;
  int32_t context_tokens = 0;  // our extension; 0: not known while it is not loaded
};

// A model object, and the list of all of them.
std::string ModelBody(const ModelEntry& model);
std::string ModelListBody(std::span<const ModelEntry> models);

// A list of embeddings, as numbers or in base 64 of little-endian 32-bit floats.
std::string EmbeddingListBody(std::string_view model, std::span<const std::vector<float>> vectors,
                              bool base64, int64_t prompt_tokens);

struct TokenizeAnswer {
  std::vector<TokenId> tokens;
  int32_t context_tokens = 0;                      // of the model
  std::optional<std::vector<std::string>> pieces;  // the tokens' texts, if they were asked for
};

std::string TokenizeBody(const TokenizeAnswer& answer);
std::string DetokenizeBody(std::string_view text);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_LIST_ANSWERS_H_
