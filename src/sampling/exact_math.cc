#include "sampling/exact_math.h"

namespace foretoken {
namespace {

// ln(1 + f) for -0.3 <= f <= 0.42: 2 atanh(s) with s = f / (2 + f), by its series.
double LogOnePlus(double f) {
  const double s = f / (2.0 + f);
  const double z = s * s;  // <= 0.032: 13 terms leave an error below 2^-60
  double p = 1.0 / 25;
  p = p * z + 1.0 / 23;
  p = p * z + 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  return 2.0 * s + 2.0 * s * (z * p);
}

}  // namespace

double ExactLog(double x) {
  constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
  constexpr uint64_t kExponentOfOne = uint64_t{1023} << 52;
  constexpr double kSqrt2 = 0x1.6a09e667f3bcdp+0;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  double mantissa = std::bit_cast<double>((bits & kMantissa) | kExponentOfOne);
  double exponent = static_cast<double>(static_cast<int64_t>(bits >> 52) - 1023);
  if (mantissa > kSqrt2) {
    mantissa *= 0.5;
    exponent += 1.0;
  }
  return exponent * kLn2High + (LogOnePlus(mantissa - 1.0) + exponent * kLn2Low);
}

double ExactNegLog1m(double v) {
  // Past 1/4 the subtraction costs no precision that the result has.
  return v < 0.25 ? -LogOnePlus(-v) : -ExactLog(1.0 - v);
}

}  // namespace foretoken
