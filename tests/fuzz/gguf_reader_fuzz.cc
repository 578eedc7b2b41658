// libFuzzer target: whatever bytes come, reading them as a model or adapter file gives a value or
// an error. Run it longer with `foretoken_gguf_reader_fuzz CORPUS_DIRECTORY`.

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "model/gguf_adapter_check.h"
#include "model/gguf_model_check.h"
#include "model/gguf_reader.h"
#include "model/model_facts.h"
#include "testing/gguf_writer.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace foretoken;  // NOLINT: a main program in all but name
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto file = ParseGguf(bytes, "fuzz");
  if (!file.ok()) return 0;
  static_cast<void>(CheckGgufModel(*file));
  static const GgufFile model = ParseGguf(testing::SmallGguf().Bytes(), "model").value();
  static_cast<void>(CheckGgufAdapter(*file, model));
  const ModelFacts facts = CollectModelFacts(*file);
  if (facts.file_bytes != size || !CheckPair(*file, *file).reason.empty()) {
    // A file is a pair with itself unless it has no vocabulary.
    if (facts.vocabulary_size != 0) __builtin_trap();
  }
  return 0;
}

// Most random bytes end at the magic; half of the inputs are therefore mutations of a valid file.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  std::minstd_rand random(seed + 1);
  if (random() % 2 == 0) {
    using namespace foretoken;  // NOLINT: a main program in all but name
    const testing::GgufWriter small = testing::SmallGguf();
    const std::string valid = random() % 2 == 0
                                  ? small.Bytes()
                                  : testing::LoraGguf(ParseGguf(small.Bytes(), "model").value(),
                                                      {"token_embd.weight"}, 2, seed)
                                        .Bytes();
    if (valid.size() <= max_size) {
      valid.copy(reinterpret_cast<char*>(data), valid.size());
      size = valid.size();
    }
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
