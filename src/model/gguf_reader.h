#ifndef FORETOKEN_MODEL_GGUF_READER_H_
#define FORETOKEN_MODEL_GGUF_READER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "foretoken/status.h"
#include "model/gguf_file.h"

namespace foretoken {

// Limits far above any real model, so that a hostile file costs little memory and time.
inline constexpr uint64_t kMaxGgufMetadataBytes = uint64_t{256} << 20;
inline constexpr uint64_t kMaxGgufKeys = 65'536;
inline constexpr uint64_t kMaxGgufTensors = 1'048'576;
inline constexpr uint64_t kMaxGgufKeyBytes = 65'535;     // the format's own
inline constexpr uint64_t kMaxGgufTensorNameBytes = 63;  // ggml's own
inline constexpr uint32_t kMaxGgufDimensions = 4;        // ggml's own

// Reads the metadata and the tensor table of a GGUF file (version 2 or 3, little-endian) and checks
// every length, count and offset against the size of the file before it allocates or follows it.
// Errors name the file, the byte offset and what would be right: NOT_FOUND, PERMISSION_DENIED,
// INVALID_ARGUMENT (not a regular file), DATA_LOSS (broken), UNIMPLEMENTED (a version or type).
// Any thread may call it.
Result<GgufFile> ReadGgufFile(const std::string& path);

// The same from memory; `name` stands for the path in messages.
Result<GgufFile> ParseGguf(std::string_view bytes, std::string name);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_GGUF_READER_H_
