// gru over whole sequences.
//
//   gru(x [B,T,F], kernel [F,3U], recurrent [U,3U], bias, h0 [B,U],
//       mask bool [B,T] if has_mask, recurrent_masks [3,B,U] if has_recurrent_mask)
//     -> y, h, then gates [B,T,K,U] and before [B,T,U] for the backward pass
//   reset_after (the default): bias [2,3U] of both products, K = 4. Otherwise: bias [3U], K = 3.
//
// The grad op returns the gradient before the activations (written over the gates, see
// kernels/gru.h) and that of the initial state; the vjp rule adds the products that remain.
#include "kernels/gru.h"

#include "ops/rnn.h"

namespace lamina {
namespace {

bool resets_after(const Attrs& attrs) { return attr_bool(attrs, "reset_after", true); }

constexpr std::size_t kX = 0, kKernel = 1, kRecurrent = 2, kBias = 3, kH0 = 4;  // inputs
constexpr std::size_t kY = 0, kH = 1, kGates = 2, kBefore = 3;                  // outputs
constexpr std::size_t kGradGates = 0, kGradRecurrent = 1, kGradBefore = 2;      // grad op

// Where the inputs lie that not every node has.
struct Optional {
  std::size_t mask = kNoOperand, recurrent_masks = kNoOperand, dy = kNoOperand, dh = kNoOperand;
  std::size_t count;

  Optional(const Attrs& attrs, std::size_t first) : count(first) {
    place(attrs, mask, "has_mask");
    place(attrs, recurrent_masks, "has_recurrent_mask");
  }
  static Optional of_forward(const Attrs& attrs) { return Optional(attrs, 5); }
  static Optional of_grad(const Attrs& attrs) {
    Optional at(attrs, 3);
    at.place(attrs, at.dy, "has_dy");
    at.place(attrs, at.dh, "has_dh");
    return at;
  }

 private:
  void place(const Attrs& attrs, std::size_t& at, const char* flag) {
    if (attr_bool(attrs, flag, false)) at = count++;
  }
};

void check_masks(const InferArgs& a, const Optional& at, Dim batch, Dim steps, Dim units) {
  if (at.mask != kNoOperand) {
    require_mask(a[at.mask]);
    require_shape(a[at.mask], {batch, steps}, "the mask", "(batch, steps)");
  }
  if (at.recurrent_masks != kNoOperand)
    require_shape(a[at.recurrent_masks], {kGruGates, batch, units}, "the recurrent masks",
                  "(3, batch, units)");
}

std::vector<Spec> infer_forward(const InferArgs& a) {
  const Optional at = Optional::of_forward(a.attrs);
  require_count(a, at.count);
  read_options(a.attrs);
  const Spec &x = a[kX], &recurrent = a[kRecurrent];
  require_floating(x, "x");
  for (std::size_t i = 1; i < at.count; ++i)
    if (i != at.mask) require_same_dtype(x, a[i]);
  require_rank(x, 3, "x (batch, steps, features)");
  require_rank(recurrent, 2, "the recurrent kernel");
  const Dim units = recurrent.shape[0], wide = dim_mul(kGruGates, units), steps = x.shape[1];
  const bool after = resets_after(a.attrs);
  require_shape(recurrent, {units, wide}, "the recurrent kernel", "(units, 3 * units)");
  require_shape(a[kKernel], {x.shape[2], wide}, "the kernel", "(features, 3 * units)");
  require_shape(a[kBias], after ? Shape{2, wide} : Shape{wide}, "the bias",
                after ? "(2, 3 * units)" : "(3 * units,)");
  require_shape(a[kH0], {x.shape[0], units}, "the initial state", "(batch, units)");
  const Dim batch = dim_merge(x.shape[0], a[kH0].shape[0]);
  check_masks(a, at, batch, steps, units);

  const Spec row{x.dtype, {batch, units}}, sequence{x.dtype, {batch, steps, units}};
  const bool all = attr_bool(a.attrs, "return_sequences", false);
  return {all ? sequence : row, row, Spec{x.dtype, {batch, steps, gru_kept_gates(after), units}},
          sequence};
}

Bound bind_forward(const BindArgs& a) {
  const Optional at = Optional::of_forward(a.attrs);
  const RnnOptions options = read_options(a.attrs);
  const bool after = resets_after(a.attrs);
  const Shape& x = a.in[kX].shape;
  const RnnShape shape{x[0], x[1], x[2], a.in[kRecurrent].shape[0]};
  return with_float(a.in[kX].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto run = [=](const Run& r) {
      const T* bias = r.in<T>(kBias);
      const GruForward<T> call{.shape = shape,
                               .options = options,
                               .reset_after = after,
                               .x = r.in<T>(kX),
                               .kernel = r.in<T>(kKernel),
                               .recurrent = r.in<T>(kRecurrent),
                               .bias = bias,
                               .recurrent_bias = after ? bias + kGruGates * shape.units : nullptr,
                               .h0 = r.in<T>(kH0),
                               .mask = input_or_null<bool>(r, at.mask),
                               .recurrent_masks = input_or_null<T>(r, at.recurrent_masks),
                               .y = r.out<T>(kY),
                               .h_last = r.out<T>(kH),
                               .gates = r.out<T>(kGates),
                               .before = r.out<T>(kBefore)};
      gru_forward(call, r.scratch);
    };
    return {.run = run,
            .scratch_bytes = gru_forward_scratch<T>(shape),
            .flops = step_flops(shape, kGruGates, shape.features + shape.units)};
  });
}

std::vector<Spec> infer_grad(const InferArgs& a) {
  const Optional at = Optional::of_grad(a.attrs);
  require_count(a, at.count);
  read_options(a.attrs);
  const Spec& gates = a[kGradGates];
  require_floating(gates, "gates");
  require_rank(gates, 4, "gates (batch, steps, gates, units)");
  const Dim batch = gates.shape[0], steps = gates.shape[1], units = gates.shape[3];
  const Shape row{batch, units}, sequence{batch, steps, units};
  const auto check = [&](std::size_t i, const Shape& wanted, const char* operand) {
    if (i == kNoOperand) return;
    require_same_dtype(gates, a[i]);
    require_shape(a[i], wanted, operand, "of the forward pass");
  };
  check(kGradGates, {batch, steps, gru_kept_gates(resets_after(a.attrs)), units}, "gates");
  check(kGradRecurrent, {units, dim_mul(kGruGates, units)}, "the recurrent kernel");
  check(kGradBefore, sequence, "the states before the steps");
  check_masks(a, at, batch, steps, units);
  check(at.recurrent_masks, {kGruGates, batch, units}, "the recurrent masks");
  check(at.dy, attr_bool(a.attrs, "return_sequences", false) ? sequence : row, "dy");
  check(at.dh, row, "dh");
  return {gates, Spec{gates.dtype, row}};
}

Bound bind_grad(const BindArgs& a) {
  const Optional at = Optional::of_grad(a.attrs);
  const RnnOptions options = read_options(a.attrs);
  const bool after = resets_after(a.attrs);
  const Shape& gates = a.in[kGradGates].shape;
  const RnnShape shape{gates[0], gates[1], 0, gates[3]};
  return with_float(a.in[kGradGates].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto run = [=](const Run& r) {
      const GruBackward<T> call{.shape = shape,
                                .options = options,
                                .reset_after = after,
                                .recurrent = r.in<T>(kGradRecurrent),
                                .gates = r.in<T>(kGradGates),
                                .before = r.in<T>(kGradBefore),
                                .mask = input_or_null<bool>(r, at.mask),
                                .recurrent_masks = input_or_null<T>(r, at.recurrent_masks),
                                .dy = input_or_null<T>(r, at.dy),
                                .dh_last = input_or_null<T>(r, at.dh),
                                .dz = r.out<T>(0),
                                .dh0 = r.out<T>(1)};
      gru_backward(call, r.scratch);
    };
    return {.run = run,
            .scratch_bytes = gru_backward_scratch<T>(shape),
            .flops = step_flops(shape, kGruGates, shape.units)};
  });
}

const Attrs kTransposeA{{"transpose_a", true}}, kTransposeB{{"transpose_b", true}};

std::vector<ValueId> split(Builder& b, ValueId whole, std::int64_t axis,
                           std::vector<std::int64_t> sizes) {
  return b.emit_all("split", {whole}, {{"axis", axis}, {"sizes", std::move(sizes)}});
}

// The gradient of the recurrent kernel, from that of the recurrent product (one row a step).
ValueId recurrent_gradient(Builder& b, const VjpArgs& v, ValueId d_product) {
  const Optional at = Optional::of_forward(v.attrs);
  const bool after = resets_after(v.attrs);
  const ValueId before = v.out[kBefore];
  const Shape sequence = b.shape(before);
  const Dim batch = sequence[0], units = sequence[2], rows = dim_mul(batch, sequence[1]);
  const auto multiply = [&](ValueId entering, ValueId d) {
    return b.emit("matmul", {b.reshape(entering, {rows, units}), d}, kTransposeA);
  };
  if (after && at.recurrent_masks == kNoOperand) return multiply(before, d_product);

  // What enters differs from gate to gate.
  const std::vector<ValueId> d = split(b, d_product, 1, {units, units, units});
  std::vector<ValueId> entering(kGruGates, before), parts;
  if (!after) {
    const ValueId reset = split(b, v.out[kGates], 2, {1, 1, 1})[1];
    entering[2] = b.mul(before, b.reshape(reset, sequence));
  }
  if (at.recurrent_masks != kNoOperand) {
    const std::vector<ValueId> masks = split(b, v.in[at.recurrent_masks], 0, {1, 1, 1});
    for (std::size_t g = 0; g < masks.size(); ++g)
      entering[g] = b.mul(entering[g], b.reshape(masks[g], {batch, 1, units}));
  }
  for (std::size_t g = 0; g < entering.size(); ++g) parts.push_back(multiply(entering[g], d[g]));
  return b.emit("concat", parts, {{"axis", std::int64_t{1}}});
}

Grads vjp(Builder& b, const VjpArgs& v) {
  const Optional at = Optional::of_forward(v.attrs);
  const bool after = resets_after(v.attrs);
  Attrs attrs = v.attrs;
  std::vector<ValueId> in{v.out[kGates], v.in[kRecurrent], v.out[kBefore]};
  if (at.mask != kNoOperand) in.push_back(v.in[at.mask]);
  if (at.recurrent_masks != kNoOperand) in.push_back(v.in[at.recurrent_masks]);
  const auto arriving = [&](std::size_t output, const char* flag) {
    const bool present = v.d_out[output] != kNoValue;
    attrs[flag] = present;
    if (present) in.push_back(v.d_out[output]);
  };
  arriving(kY, "has_dy");
  arriving(kH, "has_dh");
  const std::vector<ValueId> d = b.emit_all("gru_grad", in, attrs);

  // Every step of every row is one row of the products that remain.
  const Shape x = b.shape(v.in[kX]);
  const Dim units = b.shape(v.in[kRecurrent])[0], rows = dim_mul(x[0], x[1]);
  const Attrs columns{{"axis", std::int64_t{1}}};
  ValueId dz = b.reshape(d[0], {rows, gru_kept_gates(after) * units}), d_product = dz;
  if (after) {
    const std::vector<ValueId> parts = split(b, dz, 1, {2 * units, units, units});
    d_product = b.emit("concat", {parts[0], parts[1]}, columns);
    dz = b.emit("concat", {parts[0], parts[2]}, columns);
  }
  Grads grads(v.in.size(), kNoValue);
  if (v.wanted[kX]) grads[kX] = b.reshape(b.emit("matmul", {dz, v.in[kKernel]}, kTransposeB), x);
  if (v.wanted[kKernel])
    grads[kKernel] = b.emit("matmul", {b.reshape(v.in[kX], {rows, x[2]}), dz}, kTransposeA);
  if (v.wanted[kRecurrent]) grads[kRecurrent] = recurrent_gradient(b, v, d_product);
  if (v.wanted[kBias]) {
    const auto sum = [&](ValueId of) {
      return b.emit("sum", {of}, {{"axes", std::vector<std::int64_t>{0}}, {"keepdims", after}});
    };
    grads[kBias] =
        after ? b.emit("concat", {sum(dz), sum(d_product)}, {{"axis", std::int64_t{0}}}) : sum(dz);
  }
  if (v.wanted[kH0]) grads[kH0] = d[1];
  return grads;
}

const Register registered{
    {.name = "gru", .infer = infer_forward, .bind = bind_forward, .vjp = vjp},
    // The output "dz" has the rank of the gates, which no other input has: it can lie nowhere else.
    {.name = "gru_grad", .traits = kInPlace, .infer = infer_grad, .bind = bind_grad},
};

}  // namespace
}  // namespace lamina
