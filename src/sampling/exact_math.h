#ifndef FORETOKEN_SAMPLING_EXACT_MATH_H_
#define FORETOKEN_SAMPLING_EXACT_MATH_H_

#include <bit>
#include <cstdint>

// exp and log from IEEE + - * / alone: the same bits from every compiler, vector width and C
// library, provided that nothing contracts a * b + c (the build sets -ffp-contract=off). Their
// error is below 1e-15, relative.

namespace foretoken {

// ln 2 in two parts; the high one has 32 significant bits, so that a small integer times it is
// exact.
inline constexpr double kLn2High = 0x1.62e42feep-1;
inline constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// Below this ExactExp is 0: a double would soon be subnormal, and no probability is that small.
inline constexpr double kMinExponent = -708;

// e^x for x <= 700; 0 for x < kMinExponent and for NaN. Free of branches: loops over it vectorise.
inline double ExactExp(double x) {
  // Adding 1.5 * 2^52 leaves the nearest integer to x / ln 2 in the low bits.
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kRound = 0x1.8p+52;
  const double shifted = x * kLog2E + kRound;
  const double n = shifted - kRound;
  const double r = (x - n * kLn2High) - n * kLn2Low;  // |r| <= ln 2 / 2
  double p = 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const uint64_t exponent = std::bit_cast<uint64_t>(shifted) << 52;
  const double result = std::bit_cast<double>(std::bit_cast<uint64_t>(p) + exponent);
  return x >= kMinExponent ? result : 0.0;
}

// ln(x). Precondition: x is positive, finite and normal.
double ExactLog(double x);

// -ln(1 - v) for 0 < v < 1, precise to the last bits for small v too.
double ExactNegLog1m(double v);

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_EXACT_MATH_H_
