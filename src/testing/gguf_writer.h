#ifndef FORETOKEN_TESTING_GGUF_WRITER_H_
#define FORETOKEN_TESTING_GGUF_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/gguf_file.h"
#include "model/gguf_types.h"

namespace foretoken::testing {

// Builds the bytes of a GGUF file, valid ones and, because it checks nothing, broken ones.
// A key that is set again replaces its value; AddRaw does not look.
class GgufWriter {
 public:
  void SetString(const std::string& key, std::string_view value);
  void SetUint32(const std::string& key, uint32_t value);
  void SetFloat(const std::string& key, float value);
  void SetBool(const std::string& key, bool value);
  void SetStrings(const std::string& key, const std::vector<std::string>& values);
  void SetInts(const std::string& key, const std::vector<int32_t>& values);
  void SetFloats(const std::string& key, const std::vector<float>& values);
  void Remove(const std::string& key);
  // `payload` as it lies in the file after the type's number.
  void AddRaw(const std::string& key, GgufValueType type, std::string payload);

  // The data follows the tensor added before, at the next multiple of the alignment.
  void AddTensor(const std::string& name, uint32_t type, std::vector<uint64_t> shape,
                 std::string data);
  void AddFloatTensor(const std::string& name, std::vector<uint64_t> shape,
                      const std::vector<float>& values);
  // The last tensor's offset in the data, for files whose tensors overlap or lie outside.
  void MoveLastTensor(uint64_t offset) { tensors_.back().offset = offset; }

  uint32_t version = 3;
  std::string magic = "GGUF";

  std::string Bytes() const;
  // The bytes up to where the tensors' data begins, padding included.
  std::string HeaderBytes() const;

 private:
  struct Value {
    std::string key;
    GgufValueType type;
    std::string payload;
  };
  struct Tensor {
    std::string name;
    uint32_t type;
    std::vector<uint64_t> shape;
    uint64_t offset;
    std::string data;
  };
  void Set(const std::string& key, GgufValueType type, std::string payload);

  std::vector<Value> values_;
  std::vector<Tensor> tensors_;
};

// A valid model description of under 1 KiB and one small tensor: what the semantic check accepts,
// but without the tensors that llama.cpp wants.
GgufWriter SmallGguf();

// A complete llama model that llama.cpp loads and runs: layers of 32 values, a vocabulary of bytes
// and a few words, weights from `seed`. About 100 KiB.
GgufWriter TinyLlamaGguf(uint32_t seed, uint32_t layers = 1);

// A LoRA adapter of `rank` for the named matrices of `model`, with random values from `seed` whose
// change is a fraction of usual weights.
GgufWriter LoraGguf(const GgufFile& model, const std::vector<std::string>& tensors, uint64_t rank,
                    uint32_t seed);

}  // namespace foretoken::testing

#endif  // FORETOKEN_TESTING_GGUF_WRITER_H_
