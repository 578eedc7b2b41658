// Portable: the reference that the other instruction sets are compared with. Its vectors are loops,
// and unrolling those around them would only make it long.
#define FORETOKEN_LOOPS_STAY
#include "kernels/matmul_table.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed weights are little endian");

namespace foretoken {
namespace {

struct Generic {
  struct Ints {
    uint32_t lanes[16];
  };
  struct Floats {
    float lanes[16];
  };
  static constexpr int kLanes = 16;
  static constexpr int kMaxGroup = 2;
  static constexpr int kPanelColumns = 64;
  static constexpr int kFloatRows = 2, kFloatColumns = 2;
  static constexpr bool kSubtracts128 = false, kAddsInPairs = false;

  template <typename Operation>
  FORETOKEN_INLINE Ints EachInt(Operation operation) {
    Ints result;
    for (int i = 0; i < 16; ++i) result.lanes[i] = operation(i);
    return result;
  }
  template <typename Operation>
  FORETOKEN_INLINE Floats EachFloat(Operation operation) {
    Floats result;
    for (int i = 0; i < 16; ++i) result.lanes[i] = operation(i);
    return result;
  }

  FORETOKEN_INLINE Ints Load(const void* from) {
    Ints result;
    std::memcpy(&result, from, sizeof(result));
    return result;
  }
  FORETOKEN_INLINE void Store(void* to, Ints a) { std::memcpy(to, &a, sizeof(a)); }
  FORETOKEN_INLINE Ints Set(uint32_t value) {
    return EachInt([&](int) { return value; });
  }
  FORETOKEN_INLINE Ints Zero() { return Set(0); }
  FORETOKEN_INLINE Ints SetBytes(uint8_t value) { return Set(value * 0x01010101u); }
  FORETOKEN_INLINE Ints Broadcast(const int32_t* from) { return Set(static_cast<uint32_t>(*from)); }
  FORETOKEN_INLINE Ints Add(Ints a, Ints b) {
    return EachInt([&](int i) { return a.lanes[i] + b.lanes[i]; });
  }
  FORETOKEN_INLINE Ints And(Ints a, Ints b) {
    return EachInt([&](int i) { return a.lanes[i] & b.lanes[i]; });
  }
  FORETOKEN_INLINE Ints Xor(Ints a, Ints b) {
    return EachInt([&](int i) { return a.lanes[i] ^ b.lanes[i]; });
  }
  FORETOKEN_INLINE Ints Max(Ints a, Ints b) {
    return EachInt([&](int i) {
      return static_cast<int32_t>(a.lanes[i]) > static_cast<int32_t>(b.lanes[i]) ? a.lanes[i]
                                                                                 : b.lanes[i];
    });
  }
  FORETOKEN_INLINE Ints Select(Ints mask, Ints a, Ints b) {
    return EachInt(
        [&](int i) { return (a.lanes[i] & mask.lanes[i]) | (b.lanes[i] & ~mask.lanes[i]); });
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftLeft32(Ints a) {
    return EachInt([&](int i) { return a.lanes[i] << kBits; });
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftRight32(Ints a) {
    return EachInt([&](int i) { return a.lanes[i] >> kBits; });
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftLeft16(Ints a) {
    return And(ShiftLeft32<kBits>(a), Set((0xffffu << kBits & 0xffffu) * 0x10001u));
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftRight16(Ints a) {
    return And(ShiftRight32<kBits>(a), Set((0xffffu >> kBits) * 0x10001u));
  }
  static constexpr int32_t SignedByteOf(uint32_t lane, int byte) {
    return static_cast<int8_t>(lane >> (8 * byte));
  }
  template <int kByte>
  FORETOKEN_INLINE Ints Byte(Ints a) {
    return EachInt([&](int i) { return a.lanes[i] >> (8 * kByte) & 255; });
  }
  template <int kByte>
  FORETOKEN_INLINE Ints SignedByte(Ints a) {
    return EachInt([&](int i) { return static_cast<uint32_t>(SignedByteOf(a.lanes[i], kByte)); });
  }
  FORETOKEN_INLINE Ints EvenBytes(Ints a) {
    return EachInt([&](int i) {
      return static_cast<uint32_t>(SignedByteOf(a.lanes[i], 2)) << 16 |
             (static_cast<uint32_t>(SignedByteOf(a.lanes[i], 0)) & 0xffff);
    });
  }
  FORETOKEN_INLINE Ints OddBytes(Ints a) { return EvenBytes(ShiftRight32<8>(a)); }
  FORETOKEN_INLINE Ints LoadTable(const uint8_t* from) {
    Ints table = Zero();
    std::memcpy(&table, from, 16);
    return table;
  }
  FORETOKEN_INLINE Ints LookUp(Ints table, Ints bytes) {
    uint8_t codes[64], values[16];
    std::memcpy(codes, &bytes, sizeof(codes));
    std::memcpy(values, &table, sizeof(values));
    for (uint8_t& code : codes) code = values[code];
    return Load(codes);
  }

  FORETOKEN_INLINE Ints AddDots(Ints sums, Ints weights, const int32_t* inputs) {
    const uint32_t input = static_cast<uint32_t>(*inputs);
    return EachInt([&](int i) {
      int32_t sum = static_cast<int32_t>(sums.lanes[i]);
      for (int byte = 0; byte < 4; ++byte) {
        sum +=
            static_cast<int32_t>(weights.lanes[i] >> (8 * byte) & 255) * SignedByteOf(input, byte);
      }
      return static_cast<uint32_t>(sum);
    });
  }
  FORETOKEN_INLINE Ints AddPairDots(Ints sums, Ints pairs, const int32_t* inputs) {
    const uint32_t input = static_cast<uint32_t>(*inputs);
    return EachInt([&](int i) {
      const uint32_t lane = pairs.lanes[i];
      const int32_t low = static_cast<int16_t>(lane) * static_cast<int16_t>(input);
      const int32_t high = static_cast<int16_t>(lane >> 16) * static_cast<int16_t>(input >> 16);
      return static_cast<uint32_t>(static_cast<int32_t>(sums.lanes[i]) + low + high);
    });
  }
  FORETOKEN_INLINE void Prefetch(const uint8_t*) {}

  FORETOKEN_INLINE Floats LoadFloats(const void* from) {
    Floats result;
    std::memcpy(&result, from, sizeof(result));
    return result;
  }
  FORETOKEN_INLINE void StoreFloats(float* to, Floats a) { std::memcpy(to, &a, sizeof(a)); }
  FORETOKEN_INLINE Floats SetFloat(float value) {
    return EachFloat([&](int) { return value; });
  }
  FORETOKEN_INLINE Floats BroadcastFloat(const float* from) { return SetFloat(*from); }
  FORETOKEN_INLINE float FloatOfBits(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  FORETOKEN_INLINE uint32_t BitsOfFloat(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  }
  FORETOKEN_INLINE Floats LoadHalves(const void* from) {
    uint16_t halves[16];
    std::memcpy(halves, from, sizeof(halves));
    return EachFloat([&](int i) {
      const uint32_t half = halves[i];
      const uint32_t magnitude = half & 0x7fff, sign = (half & 0x8000) << 16;
      // Exponents differ by 112: a multiplication, which also brings denormals into order.
      const float finite = FloatOfBits(magnitude << 13) * FloatOfBits((127 + 112) << 23);
      const uint32_t bits =
          magnitude >= 0x7c00 ? 0x7f800000 | magnitude << 13 : BitsOfFloat(finite);
      return FloatOfBits(sign | bits);
    });
  }
  FORETOKEN_INLINE Floats LoadBf16(const void* from) {
    uint16_t halves[16];
    std::memcpy(halves, from, sizeof(halves));
    return EachFloat([&](int i) { return FloatOfBits(static_cast<uint32_t>(halves[i]) << 16); });
  }
  FORETOKEN_INLINE Floats Mul(Floats a, Floats b) {
    return EachFloat([&](int i) { return a.lanes[i] * b.lanes[i]; });
  }
  FORETOKEN_INLINE Floats AddFloats(Floats a, Floats b) {
    return EachFloat([&](int i) { return a.lanes[i] + b.lanes[i]; });
  }
  FORETOKEN_INLINE Floats Fma(Floats a, Floats b, Floats c) {
    return EachFloat([&](int i) { return __builtin_fmaf(a.lanes[i], b.lanes[i], c.lanes[i]); });
  }
  FORETOKEN_INLINE Floats ToFloats(Ints a) {
    return EachFloat([&](int i) { return static_cast<float>(static_cast<int32_t>(a.lanes[i])); });
  }
  FORETOKEN_INLINE Ints ToInts(Floats a) {
    // Added to 1.5 * 2^23 a float is rounded to an integer, the tie to the even one.
    const float large = 12582912.0f;
    return EachInt([&](int i) { return BitsOfFloat(a.lanes[i] + large) - BitsOfFloat(large); });
  }
  FORETOKEN_INLINE Ints MagnitudeBits(Floats a) {
    return EachInt([&](int i) { return BitsOfFloat(a.lanes[i]) & 0x7fffffff; });
  }
  FORETOKEN_INLINE Floats CanonicalNan(Floats a) {
    return EachFloat(
        [&](int i) { return a.lanes[i] == a.lanes[i] ? a.lanes[i] : __builtin_nanf(""); });
  }
  FORETOKEN_INLINE float SumOfLanes(Floats a) {
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) a.lanes[i] += a.lanes[i + half];
    }
    return a.lanes[0];
  }
  FORETOKEN_INLINE int32_t LargestOf(Ints a) {
    int32_t largest = 0;
    for (const uint32_t lane : a.lanes) {
      if (static_cast<int32_t>(lane) > largest) largest = static_cast<int32_t>(lane);
    }
    return largest;
  }
  FORETOKEN_INLINE Ints SumsOfSixteen(Ints bytes) {
    return EachInt([&](int i) {
      int32_t sum = 0;
      for (int byte = 0; byte < 16; ++byte) {
        sum += SignedByteOf(bytes.lanes[i / 4 * 4 + byte / 4], byte % 4);
      }
      return static_cast<uint32_t>(sum);
    });
  }
  FORETOKEN_INLINE Ints PackBytes(const Ints* vectors) {
    uint8_t bytes[64];
    for (int i = 0; i < 64; ++i) bytes[i] = static_cast<uint8_t>(vectors[i / 16].lanes[i % 16]);
    return Load(bytes);
  }

  FORETOKEN_INLINE void LoadTransposed(const uint8_t* rows, size_t stride, Ints* vectors) {
    for (size_t row = 0; row < 16; ++row) {
      for (size_t i = 0; i < 4; ++i) {
        std::memcpy(vectors[i].lanes + row, rows + row * stride + 4 * i, 4);
      }
    }
  }
};

}  // namespace

const MatMulKernels& GenericMatMulKernels() {
  static constexpr MatMulKernels kKernels = MakeMatMulKernels<Generic>();
  return kKernels;
}

}  // namespace foretoken
