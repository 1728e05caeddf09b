// The narrow floating types: how they are stored, and their conversion to and from float. Nothing
// is computed in them. Conversions are integer arithmetic without branches: the compiler vectorises
// them on every level, and the bits are the same on all of them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "lamina/types.h"

namespace lamina::kernels {

// A binary float of 1 + kExponent + kMantissa bits with IEEE 754's layout. kFinite: it has no
// infinity, and the largest code is its only NaN (the "fn" of float8_e4m3fn).
template <class Bits, int kExponent, int kMantissa, bool kFinite = false>
struct Narrow {
  Bits bits;

  static constexpr int kShift = 23 - kMantissa;             // float has 23 bits of mantissa
  static constexpr int kBias = (1 << (kExponent - 1)) - 1;  // float's is 127
  static constexpr std::uint32_t kSign = 1u << (kExponent + kMantissa);
  static constexpr std::uint32_t kInfinity = ((1u << kExponent) - 1) << kMantissa;
  static constexpr std::uint32_t kNan = kFinite ? kSign - 1 : kInfinity | 1u << (kMantissa - 1);
  static constexpr std::uint32_t kOverflow = kFinite ? kNan : kInfinity;
  static constexpr std::uint32_t kRebias = static_cast<std::uint32_t>(127 - kBias) << 23;

  Narrow() = default;
  // Rounds to the nearest, ties to even.
  explicit Narrow(float x) {
    const auto whole = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t size = whole & 0x7fffffffu;
    std::uint32_t code =
        (size + ((size >> kShift) & 1u) + (1u << (kShift - 1)) - 1u - kRebias) >> kShift;
    if constexpr (kBias < 127) {
      // Below the smallest normal number: float's own addition rounds at the right place.
      constexpr float kMagic = power_of_two(24 - kBias - kMantissa);
      const std::uint32_t tiny = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + kMagic) -
                                 std::bit_cast<std::uint32_t>(kMagic);
      code = size < kRebias + (1u << 23) ? tiny : code;
      code = size < (kRebias + (static_cast<std::uint32_t>(kBias) * 2 + 3) * (1u << 23)) &&
                     code < kOverflow
                 ? code
                 : kOverflow;
    }
    code = size > 0x7f800000u ? kNan : code;
    bits = static_cast<Bits>(code | ((whole >> 31) << (kExponent + kMantissa)));
  }
  explicit Narrow(double x) : Narrow(rounded_to_odd(x)) {}

  explicit operator float() const {
    const std::uint32_t code = bits & (kSign - 1u);
    std::uint32_t size = (code << kShift) + kRebias;
    if constexpr (kBias < 127) {
      const float tiny =
          static_cast<float>(static_cast<std::int32_t>(code)) * power_of_two(1 - kBias - kMantissa);
      size = code < (1u << kMantissa) ? std::bit_cast<std::uint32_t>(tiny) : size;
      const std::uint32_t beyond = 0x7f800000u | (code << kShift & 0x7fffffu);
      if constexpr (kFinite)
        size = code == kNan ? 0x7fc00000u : size;
      else
        size = code >= kInfinity ? beyond : size;
    }
    return std::bit_cast<float>(size | (bits & kSign) << (31 - kExponent - kMantissa));
  }

 private:
  static constexpr float power_of_two(int n) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(n + 127) << 23);
  }
  // The float towards zero, its last bit set if anything was lost: rounding that once more gives
  // what rounding x at once would.
  static float rounded_to_odd(double x) {
    const auto near = static_cast<float>(x);
    const double back = near;
    if (back == x || x != x) return near;
    auto code = std::bit_cast<std::uint32_t>(near);
    if (std::fabs(back) > std::fabs(x)) --code;
    return std::bit_cast<float>(code | 1u);
  }
};

using Half = Narrow<std::uint16_t, 5, 10>;
using BFloat16 = Narrow<std::uint16_t, 8, 7>;
using Float8E4M3 = Narrow<std::uint8_t, 4, 3, true>;
using Float8E5M2 = Narrow<std::uint8_t, 5, 2>;

template <class T>
constexpr bool kIsNarrowFloat = requires {
  T::kRebias;
};

// A number as something C++ computes in: narrow floats become float.
template <class T>
auto widened(T x) {
  if constexpr (kIsNarrowFloat<T>)
    return static_cast<float>(x);
  else
    return x;
}

// Calls f with a value of the type that stores `dtype`, whichever it is.
template <class F>
auto with_storage(DType dtype, F f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::boolean:
      return f(bool{});
    case DType::f16:
      return f(Half{});
    case DType::bf16:
      return f(BFloat16{});
    case DType::f8e4m3:
      return f(Float8E4M3{});
    case DType::f8e5m2:
      return f(Float8E5M2{});
    case DType::i8:
      return f(std::int8_t{});
    case DType::i16:
      return f(std::int16_t{});
    case DType::u16:
      return f(std::uint16_t{});
    case DType::u32:
      break;
  }
  return f(std::uint32_t{});
}

// The number stored at `p`.
inline double number_at(const void* p, DType dtype) {
  return with_storage(dtype, [p](auto tag) {
    return static_cast<double>(widened(*static_cast<const decltype(tag)*>(p)));
  });
}

}  // namespace lamina::kernels
