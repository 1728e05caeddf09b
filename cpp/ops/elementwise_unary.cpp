// Functions of one operand.
#include "ops/elementwise.h"

namespace lamina {
namespace {

using namespace kernels;

// |x| of the bits of a signed integer; the lowest one stays what it is, as in NumPy.
struct AbsOfBits {
  template <class V>
  V operator()(V x) const {
    const V negative = V{} - (x >> (8 * sizeof(Lane<V>) - 1));  // all ones or zero
    return (x ^ negative) - negative;
  }
};

template <class F>
Tile number_tile(const BindArgs& a) {
  return with_any(a.out[0].dtype, [](auto tag) -> Tile {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>) {
      type_error("does not take bool; cast it first");
    } else if constexpr (std::is_same_v<F, Abs> && std::is_integral_v<T> && std::is_signed_v<T>) {
      return make_tile<std::make_unsigned_t<T>>(AbsOfBits{}, std::make_index_sequence<1>{});
    } else if constexpr (std::is_same_v<F, Square> || std::is_same_v<F, Negative>) {
      if constexpr (std::is_integral_v<T>)  // wraps around
        return make_tile<std::make_unsigned_t<T>>(F{}, std::make_index_sequence<1>{});
      else
        return make_tile<T>(F{}, std::make_index_sequence<1>{});
    } else {
      return make_tile<T>(F{}, std::make_index_sequence<1>{});
    }
  });
}
template <class F>
Bound bind_number(const BindArgs& a) {
  return bind_elementwise(a, number_tile<F>(a), 1);
}
template <class F>
OpDef number_unary(std::string_view name, Vjp vjp) {
  return {.name = name,
          .traits = kElementwise | kInPlace,
          .infer = infer_unary_number,
          .bind = bind_number<F>,
          .vjp = vjp,
          .tile = number_tile<F>};
}

// A copy, whatever the dtype: identity, and stop_gradient, which has no gradient rule.
Tile copy_tile(const BindArgs& a) {
  return [item = item_size(a.out[0].dtype)](void* const* ins, void* out, std::int64_t n) {
    if (ins[0] != out) std::memcpy(out, ins[0], static_cast<std::size_t>(n) * item);
  };
}
Bound bind_copy(const BindArgs& a) { return bind_elementwise(a, copy_tile(a), 1); }
Grads identity_vjp(Builder&, const VjpArgs& a) { return {a.d_out[0]}; }

// clip(x; min, max): integers take the bounds rounded inward and limited to their range.
template <class T>
T bound(double value, bool upper) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    const double whole = upper ? std::floor(value) : std::ceil(value);
    if (whole <= static_cast<double>(std::numeric_limits<T>::min()))
      return std::numeric_limits<T>::min();
    if (whole >= static_cast<double>(std::numeric_limits<T>::max()))
      return std::numeric_limits<T>::max();
    return static_cast<T>(whole);
  }
}
template <class T>
struct Clip {
  T low, high;
  template <class V>
  V operator()(V x) const {
    return at_most(at_least(x, broadcast<T>(low)), broadcast<T>(high));
  }
};
template <class T>
struct ClipGrad {  // of x
  T low, high;
  template <class V>
  V operator()(V x, V dy) const {
    return select((x >= broadcast<T>(low)) & (x <= broadcast<T>(high)), dy, V{});
  }
};
struct ClipBounds {
  double low, high;
};
ClipBounds clip_bounds(const Attrs& attrs) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return {attr_real(attrs, "min", -kInf), attr_real(attrs, "max", kInf)};
}
Tile clip_tile(const BindArgs& a) {
  const ClipBounds c = clip_bounds(a.attrs);
  return with_any(a.out[0].dtype, [&](auto tag) -> Tile {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>)
      type_error("does not take bool; cast it first");
    else
      return make_tile<T>(Clip<T>{bound<T>(c.low, false), bound<T>(c.high, true)},
                          std::make_index_sequence<1>{});
  });
}
Bound bind_clip(const BindArgs& a) { return bind_elementwise(a, clip_tile(a), 1); }
Tile clip_grad_tile(const BindArgs& a) {
  const ClipBounds c = clip_bounds(a.attrs);
  return with_float(a.out[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    return make_tile<T>(ClipGrad<T>{static_cast<T>(c.low), static_cast<T>(c.high)},
                        std::make_index_sequence<2>{});
  });
}
Bound bind_clip_grad(const BindArgs& a) { return bind_elementwise(a, clip_grad_tile(a), 1); }
Grads clip_vjp(Builder& b, const VjpArgs& a) {
  return {b.emit("clip_grad", {a.in[0], a.d_out[0]}, a.attrs)};
}

// ---- Gradient rules. A rule is dy times (or over) a slope built from x and y.
using Slope = ValueId (*)(Builder&, ValueId x, ValueId y);
template <Slope slope>
Grads times(Builder& b, const VjpArgs& a) {
  return {b.mul(a.d_out[0], slope(b, a.in[0], a.out[0]))};
}
template <Slope slope>
Grads over(Builder& b, const VjpArgs& a) {
  return {b.div(a.d_out[0], slope(b, a.in[0], a.out[0]))};
}
Grads negative_vjp(Builder& b, const VjpArgs& a) { return {b.neg(a.d_out[0])}; }

constexpr double kLn2 = 0.6931471805599453, kLn10 = 2.302585092994046;
constexpr double kSqrtPi = 1.772453850905516;

ValueId itself(Builder&, ValueId x, ValueId) { return x; }
ValueId result(Builder&, ValueId, ValueId y) { return y; }
ValueId sign(Builder& b, ValueId x, ValueId) { return b.emit("sign", {x}); }
ValueId twice(Builder& b, ValueId x, ValueId) { return b.scale(x, 2); }
ValueId result_plus_one(Builder& b, ValueId, ValueId y) { return b.shift(y, 1); }
ValueId plus_one(Builder& b, ValueId x, ValueId) { return b.shift(x, 1); }
ValueId times_ln2(Builder& b, ValueId x, ValueId) { return b.scale(x, kLn2); }
ValueId times_ln10(Builder& b, ValueId x, ValueId) { return b.scale(x, kLn10); }
ValueId twice_result(Builder& b, ValueId, ValueId y) { return b.scale(y, 2); }
ValueId rsqrt_slope(Builder& b, ValueId, ValueId y) {
  return b.scale(b.mul(b.emit("square", {y}), y), -0.5);
}
ValueId reciprocal_slope(Builder& b, ValueId, ValueId y) { return b.neg(b.emit("square", {y})); }
ValueId cosine(Builder& b, ValueId x, ValueId) { return b.emit("cos", {x}); }
ValueId minus_sine(Builder& b, ValueId x, ValueId) { return b.neg(b.emit("sin", {x})); }
ValueId one_plus_result_squared(Builder& b, ValueId, ValueId y) {
  return b.shift(b.emit("square", {y}), 1);
}
ValueId one_minus_square(Builder& b, ValueId x, ValueId) {
  return b.shift(b.neg(b.emit("square", {x})), 1);
}
ValueId one_plus_square(Builder& b, ValueId x, ValueId) {
  return b.shift(b.emit("square", {x}), 1);
}
ValueId arcsin_slope(Builder& b, ValueId x, ValueId y) {
  return b.emit("rsqrt", {one_minus_square(b, x, y)});
}
ValueId arccos_slope(Builder& b, ValueId x, ValueId y) { return b.neg(arcsin_slope(b, x, y)); }
ValueId arcsinh_slope(Builder& b, ValueId x, ValueId y) {
  return b.emit("rsqrt", {one_plus_square(b, x, y)});
}
ValueId arccosh_slope(Builder& b, ValueId x, ValueId) {
  return b.emit("rsqrt", {b.shift(b.emit("square", {x}), -1)});
}
ValueId hyperbolic_cosine(Builder& b, ValueId x, ValueId) { return b.emit("cosh", {x}); }
ValueId hyperbolic_sine(Builder& b, ValueId x, ValueId) { return b.emit("sinh", {x}); }
ValueId erf_slope(Builder& b, ValueId x, ValueId) {
  return b.scale(b.emit("exp", {b.neg(b.emit("square", {x}))}), 2 / kSqrtPi);
}
ValueId erfinv_slope(Builder& b, ValueId, ValueId y) {
  return b.scale(b.emit("exp", {b.emit("square", {y})}), kSqrtPi / 2);
}

const Register r{
    {.name = "identity",
     .traits = kElementwise | kInPlace | kAnyDtype,
     .infer = infer_unary_any,
     .bind = bind_copy,
     .vjp = identity_vjp,
     .tile = copy_tile},
    {.name = "stop_gradient",
     .traits = kElementwise | kInPlace | kAnyDtype,
     .infer = infer_unary_any,
     .bind = bind_copy,
     .tile = copy_tile},
    {.name = "clip",
     .traits = kElementwise | kInPlace,
     .infer = infer_unary_number,
     .bind = bind_clip,
     .vjp = clip_vjp,
     .tile = clip_tile},
    {.name = "clip_grad",
     .traits = kElementwise | kInPlace,
     .infer = infer_binary_floating,
     .bind = bind_clip_grad,
     .tile = clip_grad_tile},
    number_unary<Negative>("negative", negative_vjp),
    number_unary<Abs>("abs", times<sign>),
    number_unary<Sign>("sign", nullptr),
    number_unary<Square>("square", times<twice>),
    floating_unary<Exp>("exp", times<result>),
    floating_unary<Expm1>("expm1", times<result_plus_one>),
    floating_unary<Log>("log", over<itself>),
    floating_unary<Log1p>("log1p", over<plus_one>),
    floating_unary<Log2>("log2", over<times_ln2>),
    floating_unary<Log10>("log10", over<times_ln10>),
    floating_unary<Sqrt>("sqrt", over<twice_result>),
    floating_unary<Rsqrt>("rsqrt", times<rsqrt_slope>),
    floating_unary<Reciprocal>("reciprocal", times<reciprocal_slope>),
    floating_unary<Sin>("sin", times<cosine>),
    floating_unary<Cos>("cos", times<minus_sine>),
    floating_unary<Tan>("tan", times<one_plus_result_squared>),
    floating_unary<Arcsin>("arcsin", times<arcsin_slope>),
    floating_unary<Arccos>("arccos", times<arccos_slope>),
    floating_unary<Arctan>("arctan", over<one_plus_square>),
    floating_unary<Sinh>("sinh", times<hyperbolic_cosine>),
    floating_unary<Cosh>("cosh", times<hyperbolic_sine>),
    floating_unary<Arcsinh>("arcsinh", times<arcsinh_slope>),
    floating_unary<Arccosh>("arccosh", times<arccosh_slope>),
    floating_unary<Arctanh>("arctanh", over<one_minus_square>),
    floating_unary<Floor>("floor", nullptr),
    floating_unary<Ceil>("ceil", nullptr),
    floating_unary<Round>("round", nullptr),
    floating_unary<Trunc>("trunc", nullptr),
    floating_unary<Erf>("erf", times<erf_slope>),
    floating_unary<Erfinv>("erfinv", times<erfinv_slope>),
};

}  // namespace
}  // namespace lamina
