// Whole numbers and representations: bitwise operations, shifts, gcd and lcm, nextafter, and the
// same bytes read as another type; and the modified Bessel functions of order 0 and 1.
#include <cmath>
#include <numeric>

#include "ops/elementwise.h"

namespace lamina {
namespace {

struct BitAnd {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};
struct BitOr {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};
struct BitXor {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
  }
};
// Shifts by the width or more give what shifting one by one would: 0, or the sign.
struct LeftShift {
  template <class T>
  T operator()(T a, T b) const {
    using U = std::make_unsigned_t<T>;
    constexpr auto kBits = static_cast<U>(8 * sizeof(T));
    return static_cast<U>(b) >= kBits ? T{0} : static_cast<T>(static_cast<U>(a) << b);
  }
};
struct RightShift {
  template <class T>
  T operator()(T a, T b) const {
    using U = std::make_unsigned_t<T>;
    constexpr int kBits = 8 * sizeof(T);
    return static_cast<T>(a >> (static_cast<U>(b) >= kBits ? kBits - 1 : static_cast<int>(b)) >>
                          (static_cast<U>(b) >= kBits ? 1 : 0));
  }
};
template <class T>
std::make_unsigned_t<T> size_of(T x) {
  using U = std::make_unsigned_t<T>;
  return x < 0 ? static_cast<U>(U{0} - static_cast<U>(x)) : static_cast<U>(x);
}
struct Gcd {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(std::gcd(size_of(a), size_of(b)));
  }
};
struct Lcm {
  template <class T>
  T operator()(T a, T b) const {
    const auto x = size_of(a), y = size_of(b);
    return x == 0 || y == 0 ? T{0} : static_cast<T>(x / std::gcd(x, y) * y);
  }
};
struct NextAfter {
  template <class T>
  T operator()(T a, T b) const {
    return std::nextafter(a, b);
  }
};
// std::cyl_bessel_i takes only x >= 0 and overflows as exp does.
template <int kOrder>
struct Bessel {
  template <class T>
  T operator()(T x) const {
    const T size = std::abs(x);
    if (!(size < T{700}))
      return std::isnan(x) ? x : std::copysign(T(INFINITY), kOrder == 0 ? size : x);
    const T y = static_cast<T>(std::cyl_bessel_i(double{kOrder}, static_cast<double>(size)));
    return kOrder == 1 && x < 0 ? -y : y;
  }
};

template <class T, class F, std::size_t... I>
Tile scalar_tile(F f, std::index_sequence<I...>) {
  return [f](void* const* ins, void* out, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i)
      static_cast<T*>(out)[i] = f(static_cast<const T*>(ins[I])[i]...);
  };
}

template <class F>
Tile integer_tile(const BindArgs& a) {
  return with_any(a.out[0].dtype, [](auto tag) -> Tile {
    using T = decltype(tag);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
      return scalar_tile<T>(F{}, std::make_index_sequence<2>{});
    else
      type_error("takes integers only");
  });
}
template <class F>
Bound bind_integer(const BindArgs& a) {
  return bind_elementwise(a, integer_tile<F>(a), 2);
}
std::vector<Spec> infer_integers(const InferArgs& a) {
  std::vector<Spec> out = infer_binary_number(a);
  if (is_floating(out[0].dtype))
    type_error(std::string("takes integers only, got ") + dtype_name(out[0].dtype));
  return out;
}
template <class F>
OpDef integers(std::string_view name) {
  return {.name = name,
          .traits = kElementwise | kInPlace,
          .infer = infer_integers,
          .bind = bind_integer<F>,
          .tile = integer_tile<F>};
}

template <std::size_t kInputs, class F>
Tile float_tile(const BindArgs& a) {
  return with_float(a.out[0].dtype, [](auto tag) {
    return scalar_tile<decltype(tag)>(F{}, std::make_index_sequence<kInputs>{});
  });
}
template <std::size_t kInputs, class F>
Bound bind_float(const BindArgs& a) {
  return bind_elementwise(a, float_tile<kInputs, F>(a), 40);
}
template <std::size_t kInputs, class F>
OpDef floats(std::string_view name, Vjp vjp) {
  return {.name = name,
          .traits = kElementwise | kInPlace,
          .infer = kInputs == 1 ? infer_unary_floating : infer_binary_floating,
          .bind = bind_float<kInputs, F>,
          .vjp = vjp,
          .tile = float_tile<kInputs, F>};
}

Grads vjp_i0(Builder& b, const VjpArgs& a) { return {b.mul(a.d_out[0], b.emit("i1", {a.in[0]}))}; }
// i1' = i0 - i1 / x, 1/2 at 0.
Grads vjp_i1(Builder& b, const VjpArgs& a) {
  const ValueId x = a.in[0], one = b.scalar(b.dtype(x), 1);
  const ValueId at_zero = b.emit("equal", {x, b.scalar(b.dtype(x), 0)});
  const ValueId safe = b.emit("select", {at_zero, one, x});
  const ValueId slope = b.sub(b.emit("i0", {x}), b.div(a.out[0], safe));
  return {b.mul(a.d_out[0], b.emit("select", {at_zero, b.scalar(b.dtype(x), 0.5), slope}))};
}

// ---- bitcast(x; dtype): the last axis shrinks or grows with the size of an element.
std::vector<Spec> infer_bitcast(const InferArgs& a) {
  require_count(a, 1);
  Spec out{parse_dtype(attr_str(a.attrs, "dtype", "float32")), a[0].shape};
  const auto from = static_cast<Dim>(item_size(a[0].dtype));
  const auto to = static_cast<Dim>(item_size(out.dtype));
  if (from == to) return {out};
  if (out.shape.empty()) shape_error("a scalar has another size in that dtype");
  const Dim bytes = dim_mul(out.shape.back(), from);
  if (bytes != kUnknown && bytes % to != 0)
    shape_error("the last axis holds " + std::to_string(bytes) +
                " bytes, which do not divide into elements of " + std::to_string(to));
  out.shape.back() = bytes == kUnknown ? kUnknown : bytes / to;
  return {out};
}
Bound bind_bitcast(const BindArgs& a) {
  return {[bytes = byte_size(a.in[0])](const Run& r) { std::memcpy(r.outs[0], r.ins[0], bytes); },
          0, 0};
}

const Register r{
    integers<BitAnd>("bitwise_and"),
    integers<BitOr>("bitwise_or"),
    integers<BitXor>("bitwise_xor"),
    integers<LeftShift>("left_shift"),
    integers<RightShift>("right_shift"),
    integers<Gcd>("gcd"),
    integers<Lcm>("lcm"),
    floats<2, NextAfter>("nextafter", nullptr),
    floats<1, Bessel<0>>("i0", vjp_i0),
    floats<1, Bessel<1>>("i1", vjp_i1),
    {.name = "bitcast", .traits = kView | kAnyDtype, .infer = infer_bitcast, .bind = bind_bitcast},
};

}  // namespace
}  // namespace lamina
