// Arithmetic of one element, written over vectors of it: V is any Vec<T>. Function objects, so that
// one loop (apply of vec.h) serves them all. kCost is the rough work of an element, 1 if absent.
#pragma once

#include <type_traits>

#include "kernels/vec.h"

namespace lamina::kernels {

template <class V>
using Lane = std::remove_cvref_t<decltype(std::declval<V>()[0])>;
template <class V>
LAMINA_INLINE V all(double s) {
  return broadcast<Lane<V>>(static_cast<Lane<V>>(s));
}

// ---- Two operands.
struct Add {
  template <class V>
  V operator()(V a, V b) const {
    return a + b;
  }
};
struct Subtract {
  template <class V>
  V operator()(V a, V b) const {
    return a - b;
  }
};
struct Multiply {
  template <class V>
  V operator()(V a, V b) const {
    return a * b;
  }
};
struct Divide {
  template <class V>
  V operator()(V a, V b) const {
    return a / b;
  }
};
struct Maximum {
  template <class V>
  V operator()(V a, V b) const {
    return vmax(a, b);
  }
};
struct Minimum {
  template <class V>
  V operator()(V a, V b) const {
    return vmin(a, b);
  }
};

// The share of a's gradient in max(a, b): all, half of a tie, nothing.
struct GreaterShare {
  template <class V>
  V operator()(V a, V b) const {
    return select(a > b, all<V>(1), select(a == b, all<V>(0.5), V{}));
  }
};

// Python's rules: the quotient is rounded down, the remainder has the sign of the divisor. Integer
// division by zero gives 0, as in NumPy.
template <class T>
inline T python_floor_divide(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (b == 0) return a / b;
    T rest = std::fmod(a, b);
    T quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
    const T whole = std::floor(quotient);
    return quotient - whole > T(0.5) ? whole + 1 : whole;
  } else if constexpr (std::is_signed_v<T>) {
    using U = std::make_unsigned_t<T>;
    if (b == 0) return 0;
    if (b == -1) return static_cast<T>(U{0} - static_cast<U>(a));
    return static_cast<T>(a / b - (a % b != 0 && (a < 0) != (b < 0)));
  } else {
    return b == 0 ? T{0} : static_cast<T>(a / b);
  }
}
template <class T>
inline T python_mod(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    T rest = std::fmod(a, b);
    if (rest == 0) return std::copysign(rest, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
  } else if constexpr (std::is_signed_v<T>) {
    if (b == 0 || b == -1) return 0;
    const T rest = static_cast<T>(a % b);
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
  } else {
    return b == 0 ? T{0} : static_cast<T>(a % b);
  }
}
// Integers wrap around; a negative exponent rounds toward zero.
template <class T>
inline T scalar_power(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::pow(a, b);
  } else {
    using U = std::make_unsigned_t<T>;
    if constexpr (std::is_signed_v<T>) {
      if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
    }
    std::uint64_t base = static_cast<U>(a), result = 1;
    for (auto e = static_cast<U>(b); e != 0; e = static_cast<U>(e >> 1)) {
      if (e & 1) result *= base;
      base *= base;
    }
    return static_cast<T>(result);
  }
}

struct FloorDivide {
  static constexpr double kCost = 8;
  template <class V>
  V operator()(V a, V b) const {
    return each_lane(a, b, python_floor_divide<Lane<V>>);
  }
};
struct Mod {
  static constexpr double kCost = 8;
  template <class V>
  V operator()(V a, V b) const {
    return each_lane(a, b, python_mod<Lane<V>>);
  }
};
struct Power {
  static constexpr double kCost = 20;
  template <class V>
  V operator()(V a, V b) const {
    return each_lane(a, b, scalar_power<Lane<V>>);
  }
};
// d(a^b)/da = b a^(b-1), and 0 for b = 0 whatever a is.
struct PowerSlope {
  static constexpr double kCost = 20;
  template <class V>
  V operator()(V a, V b) const {
    return each_lane(a, b, [](auto x, auto y) { return y == 0 ? y : y * std::pow(x, y - 1); });
  }
};
struct Arctan2 {
  static constexpr double kCost = 20;
  template <class V>
  V operator()(V a, V b) const {
    return each_lane(a, b, [](auto y, auto x) { return std::atan2(y, x); });
  }
};

// ---- One operand, integers too.
struct Identity {
  template <class V>
  V operator()(V x) const {
    return x;
  }
};
struct Negative {
  template <class V>
  V operator()(V x) const {
    return -x;
  }
};
struct Abs {
  template <class V>
  V operator()(V x) const {
    if constexpr (std::is_floating_point_v<Lane<V>>)
      return abs(x);
    else
      return x < 0 ? -x : x;
  }
};
struct Sign {
  template <class V>
  V operator()(V x) const {
    const V one = all<V>(1);
    if constexpr (std::is_unsigned_v<Lane<V>>)
      return select(x > 0, one, x);
    else
      return select(x > V{}, one, select(x < V{}, -one, x));  // 0 and NaN stay
  }
};
struct Square {
  template <class V>
  V operator()(V x) const {
    return x * x;
  }
};

// ---- One operand, floating.
struct Sqrt {
  static constexpr double kCost = 2;
  template <class V>
  V operator()(V x) const {
    return sqrt(x);
  }
};
struct Rsqrt {
  static constexpr double kCost = 4;
  template <class V>
  V operator()(V x) const {
    return rsqrt(x);
  }
};
struct Reciprocal {
  template <class V>
  V operator()(V x) const {
    return 1 / x;
  }
};

// Vector functions of vec.h.
#define LAMINA_VECTOR_FUNCTION(Name, function) \
  struct Name {                                \
    static constexpr double kCost = 9;         \
    template <class V>                         \
    V operator()(V x) const {                  \
      return function(x);                      \
    }                                          \
  };
LAMINA_VECTOR_FUNCTION(Exp, exp)
LAMINA_VECTOR_FUNCTION(Expm1, expm1)
LAMINA_VECTOR_FUNCTION(Log, log)
LAMINA_VECTOR_FUNCTION(Log1p, log1p)
LAMINA_VECTOR_FUNCTION(Tanh, tanh)
LAMINA_VECTOR_FUNCTION(Sigmoid, sigmoid)
LAMINA_VECTOR_FUNCTION(Erf, erf)
LAMINA_VECTOR_FUNCTION(Softplus, softplus)
#undef LAMINA_VECTOR_FUNCTION

// Functions of the C library, the same call for every element.
#define LAMINA_LANE_FUNCTION(Name, cost, function)                  \
  struct Name {                                                     \
    static constexpr double kCost = cost;                           \
    template <class V>                                              \
    V operator()(V x) const {                                       \
      return each_lane(x, [](auto v) { return std::function(v); }); \
    }                                                               \
  };
LAMINA_LANE_FUNCTION(Log2, 10, log2)
LAMINA_LANE_FUNCTION(Log10, 15, log10)
LAMINA_LANE_FUNCTION(Sin, 15, sin)
LAMINA_LANE_FUNCTION(Cos, 15, cos)
LAMINA_LANE_FUNCTION(Tan, 25, tan)
LAMINA_LANE_FUNCTION(Arcsin, 20, asin)
LAMINA_LANE_FUNCTION(Arccos, 20, acos)
LAMINA_LANE_FUNCTION(Arctan, 20, atan)
LAMINA_LANE_FUNCTION(Sinh, 20, sinh)
LAMINA_LANE_FUNCTION(Cosh, 20, cosh)
LAMINA_LANE_FUNCTION(Arcsinh, 25, asinh)
LAMINA_LANE_FUNCTION(Arccosh, 25, acosh)
LAMINA_LANE_FUNCTION(Arctanh, 25, atanh)
LAMINA_LANE_FUNCTION(Floor, 1, floor)
LAMINA_LANE_FUNCTION(Ceil, 1, ceil)
LAMINA_LANE_FUNCTION(Round, 1, rint)  // half to even: the default rounding mode
LAMINA_LANE_FUNCTION(Trunc, 1, trunc)
#undef LAMINA_LANE_FUNCTION

// The inverse of erf: a closed-form guess, then Halley's steps on erfc, which keeps the tails
// exact.
inline double inverse_erf(double x) {
  const double size = std::fabs(x);
  if (!(size < 1)) {
    if (size == 1) return std::copysign(std::numeric_limits<double>::infinity(), x);
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (size < 1e-8) return x * 0.886226925452758;  // sqrt(pi) / 2
  const double l = std::log1p(-size * size), h = 4.33074675 + l / 2;
  double z = std::sqrt(std::sqrt(h * h - l / 0.147) - h);
  for (int i = 0; i < 3; ++i) {
    const double miss = size < 0.5 ? size - std::erf(z) : std::erfc(z) - (1 - size);
    const double step = miss / (1.1283791670955126 * std::exp(-z * z));  // 2 / sqrt(pi)
    z += step / (1 - z * step);
  }
  return std::copysign(z, x);
}
struct Erfinv {
  static constexpr double kCost = 100;
  template <class V>
  V operator()(V x) const {
    return each_lane(x, [](Lane<V> v) { return static_cast<Lane<V>>(inverse_erf(v)); });
  }
};

}  // namespace lamina::kernels
