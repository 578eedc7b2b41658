#ifndef FORETOKEN_MODEL_QUANTISATION_H_
#define FORETOKEN_MODEL_QUANTISATION_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/status.h"
#include "model/gguf_file.h"

namespace foretoken {

// A way to store a model's weights that llama.cpp's quantiser offers.
struct Quantisation {
  std::string_view name;     // "Q4_K_M"
  int64_t file_type = 0;     // of `general.file_type`; negative: "COPY", which changes no weights
  uint32_t tensor_type = 0;  // the number of the type that most matrices get
};

// All of them, the smallest first.
std::span<const Quantisation> Quantisations();
// By name in any case; "q3_k", "q4_k" and "q5_k" are the middle ones. Null when there is none.
const Quantisation* FindQuantisation(std::string_view name);

struct QuantiseRequest {
  std::string input_path;
  std::string output_path;
  Quantisation type;
  bool pure = false;            // every matrix gets the type itself, where otherwise some get more
  std::string importance_path;  // see ReadImportanceMatrix; empty: every weight counts the same
  int32_t threads = 0;          // 0: the physical cores
};

// The probe's command line for a request, and the request that a command line stands for.
// INVALID_ARGUMENT when it stands for none.
std::vector<std::string> QuantiseArguments(const QuantiseRequest& request);
Result<QuantiseRequest> ParseQuantiseArguments(std::span<const std::string> arguments);
// Its first argument, and what its lines on standard error begin with while it works: the bytes of
// all tensors to be written, and each tensor as it is begun.
inline constexpr std::string_view kQuantiseArgument = "--quantise";
inline constexpr std::string_view kQuantiseBytesLine = "bytes ";
inline constexpr std::string_view kQuantiseTensorLine = "tensor ";

// Whether `result` has what `source` has, stored as was asked. DATA_LOSS says what is not so.
Status CheckQuantised(const GgufFile& source, const GgufFile& result,
                      const QuantiseRequest& request);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_QUANTISATION_H_
