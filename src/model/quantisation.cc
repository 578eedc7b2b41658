#include "model/quantisation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>

namespace foretoken {
namespace {

constexpr int64_t kCopies = -1;
constexpr size_t kArguments = 7;  // what QuantiseArguments gives

// Names, numbers and defaults follow llama.cpp's quantiser; a test with it makes each of them.
constexpr Quantisation kQuantisations[] = {
    {"Q1_0", 40, 41},    {"IQ1_S", 24, 19},  {"TQ1_0", 36, 34},  {"IQ1_M", 31, 29},
    {"IQ2_XXS", 19, 16}, {"TQ2_0", 37, 35},  {"Q2_0", 41, 42},   {"IQ2_XS", 20, 17},
    {"IQ2_S", 28, 17},   {"IQ2_M", 29, 22},  {"Q2_K_S", 21, 10}, {"Q2_K", 10, 10},
    {"IQ3_XXS", 23, 18}, {"IQ3_XS", 22, 21}, {"IQ3_S", 26, 21},  {"Q3_K_S", 11, 11},
    {"IQ3_M", 27, 21},   {"Q3_K_M", 12, 11}, {"Q3_K_L", 13, 11}, {"MXFP4_MOE", 38, 39},
    {"IQ4_XS", 30, 23},  {"Q4_0", 2, 2},     {"IQ4_NL", 25, 20}, {"Q4_K_S", 14, 12},
    {"Q4_K_M", 15, 12},  {"Q4_1", 3, 3},     {"Q5_0", 8, 6},     {"Q5_K_S", 16, 13},
    {"Q5_K_M", 17, 13},  {"Q5_1", 9, 7},     {"Q6_K", 18, 14},   {"Q8_0", 7, 8},
    {"F16", 1, 1},       {"BF16", 32, 30},   {"F32", 0, 0},      {"COPY", kCopies, 0},
};

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

std::string ShapeOf(const GgufTensor& tensor) {
  return fmt::format("{}", fmt::join(tensor.shape, " x "));
}

// A matrix whose rows are whole blocks of the type.
bool CanBe(const GgufTensor& tensor, const GgmlType& type) {
  return tensor.shape.size() >= 2 && tensor.shape[0] % type.block_elements == 0;
}

}  // namespace

std::span<const Quantisation> Quantisations() {
  return kQuantisations;
}

const Quantisation* FindQuantisation(std::string_view name) {
  for (const std::string_view family : {"Q3_K", "Q4_K", "Q5_K"}) {
    if (SameName(name, family)) return FindQuantisation(std::string(family) + "_M");
  }
  const auto* found =
      std::find_if(std::begin(kQuantisations), std::end(kQuantisations),
                   [name](const Quantisation& q) { return SameName(q.name, name); });
  return found == std::end(kQuantisations) ? nullptr : found;
}

std::vector<std::string> QuantiseArguments(const QuantiseRequest& request) {
  return {std::string(kQuantiseArgument),
          request.input_path,
          request.output_path,
          std::string(request.type.name),
          request.pure ? "pure" : "mixed",
          request.importance_path,
          std::to_string(request.threads)};
}

Result<QuantiseRequest> ParseQuantiseArguments(std::span<const std::string> arguments) {
  const auto wrong = [] {
    return InvalidArgumentError(fmt::format(
        "usage: {} INPUT OUTPUT TYPE pure|mixed IMPORTANCE_OR_EMPTY THREADS", kQuantiseArgument));
  };
  if (arguments.size() != kArguments || arguments[0] != kQuantiseArgument) return wrong();
  QuantiseRequest request{.input_path = arguments[1], .output_path = arguments[2]};
  const Quantisation* type = FindQuantisation(arguments[3]);
  request.pure = arguments[4] == "pure";
  request.importance_path = arguments[5];
  const std::string& threads = arguments[6];
  const char* const end = threads.data() + threads.size();
  const auto [stop, error] = std::from_chars(threads.data(), end, request.threads);
  if (type == nullptr || (!request.pure && arguments[4] != "mixed") || error != std::errc() ||
      stop != end) {
    return wrong();
  }
  request.type = *type;
  return request;
}

Status CheckQuantised(const GgufFile& source, const GgufFile& result,
                      const QuantiseRequest& request) {
  const auto broken = [&](const std::string& reason) {
    return DataLossError(
        fmt::format("what the quantiser made of {} is wrong: {}", source.name(), reason));
  };
  if (result.tensors().size() != source.tensors().size()) {
    return broken(
        fmt::format("{} tensors, not {}", result.tensors().size(), source.tensors().size()));
  }
  const GgmlType* const type = FindGgmlType(request.type.tensor_type);
  const bool copies = request.type.file_type == kCopies;
  for (const GgufTensor& before : source.tensors()) {
    const GgufTensor* const after = result.FindTensor(before.name);
    if (after == nullptr) return broken(fmt::format("the tensor {} is missing", before.name));
    if (after->shape != before.shape) {
      return broken(fmt::format("the tensor {} is {}, not {}", before.name, ShapeOf(*after),
                                ShapeOf(before)));
    }
    const bool as_asked =
        after->type == before.type ||
        (!copies && (!request.pure || after->type == type || !CanBe(before, *type)));
    if (!as_asked) {
      return broken(fmt::format("the tensor {} has the type {}", before.name, after->type->name));
    }
  }
  const auto file_type = result.GetInteger("general.file_type");
  if (!copies && file_type != request.type.file_type) {
    return broken(fmt::format("its 'general.file_type' is {}, not {}", file_type.value_or(-1),
                              request.type.file_type));
  }
  if (source.GetString("general.architecture") != result.GetString("general.architecture")) {
    return broken("its 'general.architecture' is another one");
  }
  constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
  const auto tokens_before = source.GetArray(kTokens);
  const auto tokens_after = result.GetArray(kTokens);
  if (tokens_before.has_value() != tokens_after.has_value() ||
      (tokens_before && tokens_before->Strings() != tokens_after->Strings())) {
    return broken("its vocabulary is another one");
  }
  return OkStatus();
}

}  // namespace foretoken
