#ifndef FORETOKEN_MODEL_MODEL_FACTS_H_
#define FORETOKEN_MODEL_MODEL_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/gguf_file.h"

namespace foretoken {

// The tensors of one storage type.
struct QuantisationFact {
  std::string type;
  uint64_t tensors = 0;
  uint64_t elements = 0;
  uint64_t bytes = 0;
};

struct SpecialTokenFact {
  std::string role;  // "bos", "eos", "eot", "padding" ...
  int64_t id = 0;
  std::string text;  // empty when the vocabulary has no such token
};

// What a GGUF file says about its model. Absent or 0: the file does not say.
struct ModelFacts {
  std::string architecture;
  std::string name;
  uint64_t parameters = 0;
  uint64_t file_bytes = 0;
  uint32_t gguf_version = 0;
  std::string file_type;                // "Q4_K_M"; empty when unknown
  std::string dominant_type;            // of the most elements
  std::vector<QuantisationFact> types;  // most elements first
  int64_t context_tokens = 0;
  int64_t embedding_length = 0;
  int64_t layers = 0;
  int64_t heads = 0;     // the most of any layer
  int64_t kv_heads = 0;  // the most of any layer
  int64_t experts = 0;
  std::string tokenizer_model;
  std::string tokenizer_pre;
  uint64_t vocabulary_size = 0;
  std::vector<SpecialTokenFact> special_tokens;
  std::optional<std::string> chat_template;
  // The keys below `general.sampling.` and their values as text.
  std::vector<std::pair<std::string, std::string>> sampling;
};

ModelFacts CollectModelFacts(const GgufFile& file);

// Whether two models can be target and draft, as far as their metadata tells; whether they can is
// decided when they are loaded (CheckVocabularyMatch).
struct PairFacts {
  bool can_pair = false;
  std::string reason;           // the first difference; empty when they can
  bool first_is_draft = false;  // which of the two, the one of fewer parameters, should draft
};

PairFacts CheckPair(const GgufFile& first, const GgufFile& second);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_MODEL_FACTS_H_
