// Portable C++: the reference for the other instruction sets, which must give its bits.
#include "kernels/attention_kernels_impl.h"

namespace foretoken {
namespace {

FORETOKEN_INLINE float FloatOfBits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

FORETOKEN_INLINE uint32_t BitsOfFloat(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

FORETOKEN_INLINE float FloatOfF16(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t rest = half & 0x7fffu;
  if (rest >= 0x7c00u) return FloatOfBits(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest < 0x400u) {
    const float size = static_cast<float>(rest) * 0x1p-24f;
    return sign != 0 ? -size : size;
  }
  return FloatOfBits(sign | ((rest << 13) + 0x38000000u));
}

template <typename T>
FORETOKEN_INLINE T ElementAt(const unsigned char* from, int i) {
  T x;
  memcpy(&x, from + static_cast<size_t>(i) * sizeof x, sizeof x);
  return x;
}

// Sixteen lanes in an array.
struct GenericLanes {
  struct Vec {
    float lane[kLanes];
  };
  struct Mask {
    bool lane[kLanes];
  };
  static constexpr int kTileVectors = 1;

  template <typename Function>
  static FORETOKEN_INLINE Vec ForEach(const Function& function) {
    Vec result;
    for (int i = 0; i < kLanes; ++i) result.lane[i] = function(i);
    return result;
  }

  static FORETOKEN_INLINE Vec Zero() { return Broadcast(0); }
  static FORETOKEN_INLINE Vec Broadcast(float x) {
    return ForEach([x](int) { return x; });
  }
  static FORETOKEN_INLINE Vec BroadcastF16(uint16_t x) { return Broadcast(FloatOfF16(x)); }
  static FORETOKEN_INLINE Vec Load(const float* from) {
    return ForEach([from](int i) { return from[i]; });
  }
  static FORETOKEN_INLINE Vec LoadF32(const unsigned char* from) {
    return ForEach([from](int i) { return ElementAt<float>(from, i); });
  }
  static FORETOKEN_INLINE Vec LoadF16(const unsigned char* from) {
    return ForEach([from](int i) { return FloatOfF16(ElementAt<uint16_t>(from, i)); });
  }
  static FORETOKEN_INLINE Vec LoadBf16(const unsigned char* from) {
    return ForEach(
        [from](int i) { return FloatOfBits(uint32_t{ElementAt<uint16_t>(from, i)} << 16); });
  }
  static FORETOKEN_INLINE Vec LoadInt8(const unsigned char* from) {
    return ForEach([from](int i) { return static_cast<float>(ElementAt<int8_t>(from, i)); });
  }
  static FORETOKEN_INLINE void Store(float* to, const Vec& x) { memcpy(to, x.lane, sizeof x); }
  static FORETOKEN_INLINE float First(const Vec& x) { return x.lane[0]; }

  static FORETOKEN_INLINE Vec Add(const Vec& a, const Vec& b) {
    return ForEach([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static FORETOKEN_INLINE Vec Sub(const Vec& a, const Vec& b) {
    return ForEach([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static FORETOKEN_INLINE Vec Mul(const Vec& a, const Vec& b) {
    return ForEach([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static FORETOKEN_INLINE Vec Div(const Vec& a, const Vec& b) {
    return ForEach([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  static FORETOKEN_INLINE Vec Fma(const Vec& a, const Vec& b, const Vec& c) {
    return ForEach([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static FORETOKEN_INLINE Vec Max(const Vec& a, const Vec& b) {
    return ForEach([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static FORETOKEN_INLINE Vec Min(const Vec& a, const Vec& b) {
    return ForEach([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static FORETOKEN_INLINE Vec PowerOfTwo(const Vec& shifted) {
    return ForEach(
        [&](int i) { return FloatOfBits((BitsOfFloat(shifted.lane[i]) << 23) + 0x3f800000u); });
  }

  static FORETOKEN_INLINE Mask Less(const Vec& a, const Vec& b) {
    Mask mask;
    for (int i = 0; i < kLanes; ++i) mask.lane[i] = a.lane[i] < b.lane[i];
    return mask;
  }
  static FORETOKEN_INLINE Mask IsNan(const Vec& x) {
    Mask mask;
    for (int i = 0; i < kLanes; ++i) mask.lane[i] = x.lane[i] != x.lane[i];
    return mask;
  }
  static FORETOKEN_INLINE Mask MaskOf(uint16_t bits) {
    Mask mask;
    for (int i = 0; i < kLanes; ++i) mask.lane[i] = ((bits >> i) & 1) != 0;
    return mask;
  }
  static FORETOKEN_INLINE Vec Select(const Mask& mask, const Vec& yes, const Vec& no) {
    return ForEach([&](int i) { return mask.lane[i] ? yes.lane[i] : no.lane[i]; });
  }

  // Halves are folded together, as it suits registers.
  static FORETOKEN_INLINE float ReduceAdd(Vec x) {
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) x.lane[i] += x.lane[i + half];
    }
    return x.lane[0];
  }
  static FORETOKEN_INLINE float ReduceMax(Vec x) {
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) x.lane[i] = Larger(x.lane[i], x.lane[i + half]);
    }
    return x.lane[0];
  }

  static FORETOKEN_INLINE void Transpose(Vec* rows) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < i; ++j) {
        const float x = rows[i].lane[j];
        rows[i].lane[j] = rows[j].lane[i];
        rows[j].lane[i] = x;
      }
    }
  }

  static FORETOKEN_INLINE uint64_t VisibleBits(const uint16_t* mask, bool* added) {
    uint64_t visible = 0;
    for (int i = 0; i < kAttentionBlock; ++i) {
      if (mask[i] == 0xfc00) continue;
      visible |= uint64_t{1} << i;
      *added |= (mask[i] & 0x7fff) != 0;
    }
    return visible;
  }
};

}  // namespace

constinit const AttentionKernels kAttentionGeneric = MakeAttentionKernels<GenericLanes>();

}  // namespace foretoken
