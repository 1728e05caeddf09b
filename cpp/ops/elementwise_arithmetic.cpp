// Arithmetic of two operands.
#include "ops/elementwise.h"

namespace lamina {
namespace {

using namespace kernels;

// Integer sums and products wrap around, so they are computed on the unsigned type.
template <class F>
constexpr bool kWraps =
    std::is_same_v<F, Add> || std::is_same_v<F, Subtract> || std::is_same_v<F, Multiply>;

template <class F>
Tile number_tile(const BindArgs& a) {
  return with_any(a.out[0].dtype, [](auto tag) -> Tile {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>) {
      type_error("does not take bool; cast it first");
    } else if constexpr (std::is_integral_v<T> && kWraps<F>) {
      return make_tile<std::make_unsigned_t<T>>(F{}, std::make_index_sequence<2>{});
    } else {
      return make_tile<T>(F{}, std::make_index_sequence<2>{});
    }
  });
}
template <class F>
Bound bind_number(const BindArgs& a) {
  return bind_elementwise(a, number_tile<F>(a), cost_of<F>());
}
template <class F>
OpDef number_binary(std::string_view name, Vjp vjp) {
  return {.name = name,
          .traits = kElementwise | kInPlace,
          .infer = infer_binary_number,
          .bind = bind_number<F>,
          .vjp = vjp,
          .tile = number_tile<F>};
}

// A rule from two functions: the gradients of the operands before the broadcast is undone.
template <ValueId (*first)(Builder&, const VjpArgs&), ValueId (*second)(Builder&, const VjpArgs&)>
Grads both(Builder& b, const VjpArgs& a) {
  Grads d{kNoValue, kNoValue};
  if (a.wanted[0]) d[0] = sum_to_input(b, a, 0, first(b, a));
  if (a.wanted[1]) d[1] = sum_to_input(b, a, 1, second(b, a));
  return d;
}
ValueId arriving(Builder&, const VjpArgs& a) { return a.d_out[0]; }
ValueId arriving_negative(Builder& b, const VjpArgs& a) { return b.neg(a.d_out[0]); }
ValueId times_second(Builder& b, const VjpArgs& a) { return b.mul(a.d_out[0], a.in[1]); }
ValueId times_first(Builder& b, const VjpArgs& a) { return b.mul(a.d_out[0], a.in[0]); }
ValueId over_second(Builder& b, const VjpArgs& a) { return b.div(a.d_out[0], a.in[1]); }
ValueId divisor(Builder& b, const VjpArgs& a) {
  return b.neg(b.div(b.mul(a.d_out[0], a.out[0]), a.in[1]));
}

// max and min: a tie is shared equally.
template <int kGreater, int kLess>
ValueId extreme(Builder& b, const VjpArgs& a) {
  return b.mul(a.d_out[0], b.emit("greater_share", {a.in[kGreater], a.in[kLess]}));
}

ValueId power_base(Builder& b, const VjpArgs& a) {
  return b.mul(a.d_out[0], b.emit("power_slope", {a.in[0], a.in[1]}));
}
// y log(a); 0 for a = 0, where y is 0 and the logarithm infinite.
ValueId power_exponent(Builder& b, const VjpArgs& a) {
  const ValueId zero = b.scalar(b.dtype(a.in[0]), 0), one = b.scalar(b.dtype(a.in[0]), 1);
  const ValueId base = b.emit("select", {b.emit("equal", {a.in[0], zero}), one, a.in[0]});
  return b.mul(a.d_out[0], b.mul(a.out[0], b.emit("log", {base})));
}

// The slope of the power is itself a power: b a^(b-1).
ValueId less_one(Builder& b, const VjpArgs& a) {
  return b.sub(a.in[1], b.scalar(b.dtype(a.in[1]), 1));
}
ValueId slope_base(Builder& b, const VjpArgs& a) {
  const ValueId next = b.emit("power_slope", {a.in[0], less_one(b, a)});
  return b.mul(a.d_out[0], b.mul(a.in[1], next));
}
ValueId slope_exponent(Builder& b, const VjpArgs& a) {
  const ValueId zero = b.scalar(b.dtype(a.in[0]), 0), one = b.scalar(b.dtype(a.in[0]), 1);
  const ValueId base = b.emit("select", {b.emit("equal", {a.in[0], zero}), one, a.in[0]});
  const ValueId power = b.emit("power", {a.in[0], less_one(b, a)});
  return b.mul(a.d_out[0], b.add(power, b.mul(a.out[0], b.emit("log", {base}))));
}

ValueId mod_divisor(Builder& b, const VjpArgs& a) {
  return b.neg(b.mul(a.d_out[0], b.emit("floor_divide", {a.in[0], a.in[1]})));
}

// arctan2(y, x)
ValueId over_radius_squared(Builder& b, const VjpArgs& a, std::size_t side) {
  const ValueId radius = b.add(b.emit("square", {a.in[0]}), b.emit("square", {a.in[1]}));
  return b.div(b.mul(a.d_out[0], a.in[side]), radius);
}
ValueId arctan2_y(Builder& b, const VjpArgs& a) { return over_radius_squared(b, a, 1); }
ValueId arctan2_x(Builder& b, const VjpArgs& a) { return b.neg(over_radius_squared(b, a, 0)); }

const Register r{
    number_binary<Add>("add", both<arriving, arriving>),
    number_binary<Subtract>("subtract", both<arriving, arriving_negative>),
    number_binary<Multiply>("multiply", both<times_second, times_first>),
    floating_binary<Divide>("divide", both<over_second, divisor>),
    number_binary<Maximum>("maximum", both<extreme<0, 1>, extreme<1, 0>>),
    number_binary<Minimum>("minimum", both<extreme<1, 0>, extreme<0, 1>>),
    number_binary<FloorDivide>("floor_divide", nullptr),
    number_binary<Mod>("mod", both<arriving, mod_divisor>),
    number_binary<Power>("power", both<power_base, power_exponent>),
    floating_binary<Arctan2>("arctan2", both<arctan2_y, arctan2_x>),
    floating_binary<GreaterShare>("greater_share", nullptr),
    floating_binary<PowerSlope>("power_slope", both<slope_base, slope_exponent>),
};

}  // namespace
}  // namespace lamina
