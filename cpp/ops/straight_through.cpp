// Values whose gradient is not the slope of what computed them: rounding that gradients pass
// through, and the statistics of eight-bit float training, which arrive as "gradients".
#include <cstring>

#include "ops/elementwise.h"

namespace lamina {
namespace {

constexpr double kE4m3Max = 448, kE5m2Max = 57344;

Tile first_tile(const BindArgs& a) {
  return [item = item_size(a.out[0].dtype)](void* const* ins, void* out, std::int64_t n) {
    if (ins[0] != out) std::memcpy(out, ins[0], static_cast<std::size_t>(n) * item);
  };
}
Bound bind_first(const BindArgs& a) {
  // The other operands matter to the gradient alone.
  const BindArgs first{a.in.first(1), a.out, a.attrs, a.used};
  return bind_elementwise(first, first_tile(first), 1);
}

// straight_through(value, x): value; its gradient goes to x as it is.
std::vector<Spec> infer_straight_through(const InferArgs& a) {
  require_count(a, 2);
  require_floating(a[0], "value");
  if (!(a[0] == a[1]))
    shape_error("value and x must be alike, got " + to_string(a[0]) + " and " + to_string(a[1]));
  return {a[0]};
}
Grads straight_through_vjp(Builder&, const VjpArgs& a) { return {kNoValue, a.d_out[0]}; }

// ---- Eight-bit floats. scale is a scalar, history a vector of the largest values of past steps.

void require_statistics(const Spec& scale, const Spec& history) {
  require_floating(scale, "scale");
  require_rank(scale, 0, "scale");
  require_floating(history, "history");
  require_rank(history, 1, "history");
  if (history.shape[0] == 0) shape_error("history must have at least one value");
}
DType format_of(const Attrs& attrs) {
  const DType format = parse_dtype(attr_str(attrs, "format", "float8_e4m3fn"));
  if (format == DType::f8e4m3 || format == DType::f8e5m2) return format;
  type_error(std::string("format must be an eight-bit float, got ") + dtype_name(format));
}
double largest_of(const Attrs& attrs) {
  return format_of(attrs) == DType::f8e4m3 ? kE4m3Max : kE5m2Max;
}

// The next scale: the largest value of the history over the format's, or the old scale while
// there is none.
ValueId next_scale(Builder& b, ValueId scale, ValueId history, double largest) {
  const DType dtype = b.dtype(scale);
  const ValueId amax = b.cast(b.emit("max", {history}), dtype);
  const ValueId usable = b.emit(
      "logical_and", {b.emit("greater", {amax, b.scalar(dtype, 0)}), b.emit("isfinite", {amax})});
  return b.emit("select", {usable, b.div(amax, b.scalar(dtype, largest)), scale});
}

// The history one step on: the largest value of x in front, the oldest one gone.
ValueId next_history(Builder& b, ValueId x, ValueId history) {
  const bool is_empty = is_known(b.shape(x)) && element_count(b.shape(x)) == 0;
  const ValueId amax = is_empty ? b.scalar(b.dtype(history), 0)
                                : b.cast(b.emit("max", {b.emit("abs", {x})}), b.dtype(history));
  const Dim length = b.shape(history)[0];
  const ValueId front = b.reshape(amax, {1});
  if (length == 1) return front;
  const auto part = [&](Dim begin, Dim end) {
    return b.emit("slice", {history},
                  {{"begin", std::vector<std::int64_t>{begin}},
                   {"end", std::vector<std::int64_t>{end}},
                   {"strides", std::vector<std::int64_t>{1}}});
  };
  std::vector<ValueId> parts{front};
  if (length > 2) parts.push_back(part(2, length));
  parts.push_back(part(0, 1));
  return b.emit("concat", parts, {{"axis", std::int64_t{0}}});
}

ValueId rounded(Builder& b, ValueId x, ValueId scale, const Attrs& attrs) {
  const double largest = largest_of(attrs);
  const DType dtype = b.dtype(x);
  const ValueId factor = b.cast(scale, dtype);
  const ValueId inner = b.emit("clip", {b.div(x, factor)}, {{"min", -largest}, {"max", largest}});
  return b.mul(b.cast(b.cast(inner, format_of(attrs)), dtype), factor);
}

// float8_operand(value, x, scale, history; format): value, which is x rounded. The gradient goes to
// x as it is; those of scale and history are their next values.
std::vector<Spec> infer_operand(const InferArgs& a) {
  require_count(a, 4);
  require_floating(a[0], "value");
  if (!(a[0] == a[1]))
    shape_error("value and x must be alike, got " + to_string(a[0]) + " and " + to_string(a[1]));
  require_statistics(a[2], a[3]);
  largest_of(a.attrs);
  return {a[0]};
}
Grads operand_vjp(Builder& b, const VjpArgs& a) {
  Grads d(4, kNoValue);
  d[1] = a.d_out[0];
  if (a.wanted[2]) d[2] = next_scale(b, a.in[2], a.in[3], largest_of(a.attrs));
  if (a.wanted[3]) d[3] = next_history(b, a.in[1], a.in[3]);
  return d;
}

// float8_gradient(x, scale, history; format): x; its gradient is rounded on the way back, and those
// of scale and history are their next values.
std::vector<Spec> infer_gradient(const InferArgs& a) {
  require_count(a, 3);
  require_floating(a[0], "x");
  require_statistics(a[1], a[2]);
  largest_of(a.attrs);
  return {a[0]};
}
Grads gradient_vjp(Builder& b, const VjpArgs& a) {
  Grads d(3, kNoValue);
  if (a.wanted[0]) d[0] = rounded(b, a.d_out[0], a.in[1], a.attrs);
  if (a.wanted[1]) d[1] = next_scale(b, a.in[1], a.in[2], largest_of(a.attrs));
  if (a.wanted[2]) d[2] = next_history(b, a.d_out[0], a.in[2]);
  return d;
}

const Register r{
    {.name = "straight_through",
     .infer = infer_straight_through,
     .bind = bind_first,
     .vjp = straight_through_vjp},
    {.name = "float8_operand", .infer = infer_operand, .bind = bind_first, .vjp = operand_vjp},
    {.name = "float8_gradient", .infer = infer_gradient, .bind = bind_first, .vjp = gradient_vjp},
};

}  // namespace
}  // namespace lamina
