#include "testing/weight_matrix.h"

#include <cmath>
#include <cstring>

#include "kernels/gguf_blocks.h"

namespace foretoken {
namespace {

double Half(const uint8_t* bytes) {
  const int bits = bytes[0] | bytes[1] << 8;
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

template <typename Block>
Block Read(const uint8_t* row, int64_t index) {
  Block block;
  std::memcpy(&block, row + static_cast<size_t>(index) * sizeof(Block), sizeof(Block));
  return block;
}

int Nibble(const uint8_t* quants, int i) {
  return i < 16 ? quants[i] & 15 : quants[i - 16] >> 4;
}

template <typename Block>
int FiveBits(const Block& block, int i) {
  return Nibble(block.quants, i) | (block.high_bits[i / 8] >> i % 8 & 1) << 4;
}

double WeightOf(const BlockQ40& block, int i) {
  return Half(block.scale) * (Nibble(block.quants, i) - 8);
}
double WeightOf(const BlockQ41& block, int i) {
  return Half(block.scale) * Nibble(block.quants, i) + Half(block.min);
}
double WeightOf(const BlockQ50& block, int i) {
  return Half(block.scale) * (FiveBits(block, i) - 16);
}
double WeightOf(const BlockQ51& block, int i) {
  return Half(block.scale) * FiveBits(block, i) + Half(block.min);
}
double WeightOf(const BlockQ80& block, int i) {
  return Half(block.scale) * static_cast<int8_t>(block.quants[i]);
}
double WeightOf(const BlockIq4Nl& block, int i) {
  return Half(block.scale) * kIq4NlValues[Nibble(block.quants, i)];
}

// Scale and min of a part of a block of Q4_K or Q5_K.
template <typename Block>
double PartWeight(const Block& block, int part, int quant) {
  const uint8_t* packed = block.packed_scales;
  const int scale =
      part < 4 ? packed[part] & 63 : (packed[part + 4] & 15) | packed[part - 4] >> 6 << 4;
  const int min = part < 4 ? packed[part + 4] & 63 : packed[part + 4] >> 4 | packed[part] >> 6 << 4;
  return Half(block.scale) * scale * quant - Half(block.min) * min;
}

double WeightOf(const BlockQ4K& block, int i) {
  const int part = i / 32, byte = block.quants[part / 2 * 32 + i % 32];
  return PartWeight(block, part, part % 2 == 0 ? byte & 15 : byte >> 4);
}
double WeightOf(const BlockQ5K& block, int i) {
  const int part = i / 32, byte = block.quants[part / 2 * 32 + i % 32];
  const int high_bit = block.high_bits[i % 32] >> part & 1;
  return PartWeight(block, part, (part % 2 == 0 ? byte & 15 : byte >> 4) | high_bit << 4);
}
double WeightOf(const BlockQ6K& block, int i) {
  const int half = i / 128, at = i % 128;
  const int byte = block.low_bits[64 * half + at % 64];
  const int high = block.high_bits[32 * half + at % 32] >> (at / 32 * 2) & 3;
  const int quant = (at < 64 ? byte & 15 : byte >> 4) | high << 4;
  const int8_t group_scale = block.scales[i / 16];
  return Half(block.scale) * group_scale * (quant - 32);
}

template <typename Block, int kWeights>
std::vector<double> DequantizeBlocks(const uint8_t* row, int64_t columns) {
  std::vector<double> values;
  for (int64_t i = 0; i < columns; ++i) {
    values.push_back(WeightOf(Read<Block>(row, i / kWeights), static_cast<int>(i % kWeights)));
  }
  return values;
}

// Bytes of a row.
size_t RowBytes(WeightType type, int64_t columns) {
  const size_t count = static_cast<size_t>(columns);
  switch (type) {
    case WeightType::kF32:
      return count * 4;
    case WeightType::kF16:
    case WeightType::kBf16:
      return count * 2;
    case WeightType::kQ4_0:
    case WeightType::kIq4Nl:
      return count / 32 * sizeof(BlockQ40);
    case WeightType::kQ4_1:
      return count / 32 * sizeof(BlockQ41);
    case WeightType::kQ5_0:
      return count / 32 * sizeof(BlockQ50);
    case WeightType::kQ5_1:
      return count / 32 * sizeof(BlockQ51);
    case WeightType::kQ8_0:
      return count / 32 * sizeof(BlockQ80);
    case WeightType::kQ4K:
      return count / 256 * sizeof(BlockQ4K);
    case WeightType::kQ5K:
      return count / 256 * sizeof(BlockQ5K);
    case WeightType::kQ6K:
      return count / 256 * sizeof(BlockQ6K);
  }
  return 0;
}

// A half of either sign with 2^exponent <= magnitude < 2^(exponent + 1).
void SetHalf(uint8_t* word, int exponent, std::mt19937_64& random) {
  const uint32_t bits = static_cast<uint32_t>(random()) & 0x83ff;
  const uint32_t half = bits | static_cast<uint32_t>(exponent + 15) << 10;
  word[0] = static_cast<uint8_t>(half);
  word[1] = static_cast<uint8_t>(half >> 8);
}

template <typename Block>
void SetScales(uint8_t* row, int64_t blocks, int exponent, std::mt19937_64& random) {
  for (int64_t i = 0; i < blocks; ++i) {
    Block block = Read<Block>(row, i);
    SetHalf(block.scale, exponent, random);
    if constexpr (requires { block.min; }) SetHalf(block.min, sizeof(Block) > 100 ? -6 : 0, random);
    std::memcpy(row + static_cast<size_t>(i) * sizeof(Block), &block, sizeof(Block));
  }
}

}  // namespace

const char* WeightTypeName(WeightType type) {
  static constexpr const char* kNames[] = {"F32",  "F16",  "BF16",   "Q4_0", "Q4_1", "Q5_0",
                                           "q5_1", "q8_0", "iq4_nl", "q4_k", "q5_k", "q6_k"};
  return kNames[static_cast<int>(type)];
}

int64_t WeightMatrix::InputBlock() const {
  return type < WeightType::kQ4_0 ? 1 : type < WeightType::kQ4K ? 32 : 256;
}

std::vector<double> WeightMatrix::Dequantize(int64_t row) const {
  const uint8_t* from = data() + static_cast<size_t>(row) * row_bytes;
  std::vector<double> values;
  switch (type) {
    case WeightType::kF32:
    case WeightType::kF16:
    case WeightType::kBf16:
      for (int64_t i = 0; i < columns; ++i) {
        if (type == WeightType::kF16) {
          values.push_back(Half(from + 2 * i));
          continue;
        }
        uint8_t word[4] = {};
        if (type == WeightType::kF32) {
          std::memcpy(word, from + 4 * i, 4);
        } else {
          std::memcpy(word + 2, from + 2 * i, 2);
        }
        float value;
        std::memcpy(&value, word, 4);
        values.push_back(static_cast<double>(value));
      }
      return values;
    case WeightType::kQ4_0:
      return DequantizeBlocks<BlockQ40, 32>(from, columns);
    case WeightType::kQ4_1:
      return DequantizeBlocks<BlockQ41, 32>(from, columns);
    case WeightType::kQ5_0:
      return DequantizeBlocks<BlockQ50, 32>(from, columns);
    case WeightType::kQ5_1:
      return DequantizeBlocks<BlockQ51, 32>(from, columns);
    case WeightType::kQ8_0:
      return DequantizeBlocks<BlockQ80, 32>(from, columns);
    case WeightType::kIq4Nl:
      return DequantizeBlocks<BlockIq4Nl, 32>(from, columns);
    case WeightType::kQ4K:
      return DequantizeBlocks<BlockQ4K, 256>(from, columns);
    case WeightType::kQ5K:
      return DequantizeBlocks<BlockQ5K, 256>(from, columns);
    case WeightType::kQ6K:
      return DequantizeBlocks<BlockQ6K, 256>(from, columns);
  }
  return values;
}

WeightMatrix RandomWeights(WeightType type, int64_t rows, int64_t columns,
                           std::mt19937_64& random) {
  WeightMatrix weights;
  weights.type = type;
  weights.rows = rows;
  weights.columns = columns;
  weights.row_bytes = RowBytes(type, columns) + kRowGap;
  weights.bytes.resize(static_cast<size_t>(rows) * weights.row_bytes + 1);  // see data()
  for (uint8_t& byte : weights.bytes) byte = static_cast<uint8_t>(random());
  for (int64_t r = 0; r < rows; ++r) {
    uint8_t* row = weights.data() + static_cast<size_t>(r) * weights.row_bytes;
    if (r % 8 < 3) std::memset(row, r % 8 == 0 ? 0xff : r % 8 == 1 ? 0 : 0x80, weights.row_bytes);
    switch (type) {
      case WeightType::kF32:
        for (int64_t i = 0; i < columns; ++i) {
          const float value = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-30f;
          std::memcpy(row + 4 * i, &value, 4);
        }
        break;
      case WeightType::kF16:
        for (int64_t i = 0; i < columns; ++i) SetHalf(row + 2 * i, -1, random);
        break;
      case WeightType::kBf16:
        for (int64_t i = 0; i < columns; ++i) row[2 * i + 1] = (row[2 * i + 1] & 0x80) | 0x3f;
        break;
      case WeightType::kQ4_0:
        SetScales<BlockQ40>(row, columns / 32, -3, random);
        break;
      case WeightType::kQ4_1:
        SetScales<BlockQ41>(row, columns / 32, -4, random);
        break;
      case WeightType::kQ5_0:
        SetScales<BlockQ50>(row, columns / 32, -4, random);
        break;
      case WeightType::kQ5_1:
        SetScales<BlockQ51>(row, columns / 32, -5, random);
        break;
      case WeightType::kQ8_0:
        SetScales<BlockQ80>(row, columns / 32, -7, random);
        break;
      case WeightType::kIq4Nl:
        SetScales<BlockIq4Nl>(row, columns / 32, -7, random);
        break;
      case WeightType::kQ4K:
        SetScales<BlockQ4K>(row, columns / 256, -9, random);
        break;
      case WeightType::kQ5K:
        SetScales<BlockQ5K>(row, columns / 256, -10, random);
        break;
      case WeightType::kQ6K:
        SetScales<BlockQ6K>(row, columns / 256, -11, random);
        break;
    }
  }
  return weights;
}

}  // namespace foretoken
