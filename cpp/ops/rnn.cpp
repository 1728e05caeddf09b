// lstm and simple_rnn over whole sequences.
//
//   lstm(x [B,T,F], kernel [F,4U], recurrent [U,4U], bias [4U], h0 [B,U], c0 [B,U],
//        mask bool [B,T] if has_mask, recurrent_masks [4,B,U] if has_recurrent_mask)
//     -> y, h, c, then gates [B,T,4,U], cells [B,T,U], inputs [B,T,U] for the backward pass
//   simple_rnn: the same with kernels of U columns and one recurrent mask [B,U], without c0, c and
//   cells.
//
// The grad ops return the gradient before the activations (written over the gates) and those of the
// initial state; the gradients of x and the weights are matrix products that the vjp rules add.
#include "ops/rnn.h"

namespace lamina {
namespace {

// Which inputs and outputs a node has, in order.
template <bool kLstm>
struct Layout {
  static constexpr Dim kGates = kLstm ? 4 : 1;
  static constexpr std::size_t kNone = kNoOperand;
  // Forward inputs.
  static constexpr std::size_t x = 0, kernel = 1, recurrent = 2, bias = 3, h0 = 4;
  static constexpr std::size_t c0 = kLstm ? 5 : kNone;
  std::size_t mask = kNone, recurrent_masks = kNone, count = kLstm ? 6 : 5;
  // Forward outputs.
  static constexpr std::size_t y = 0, h = 1, c = kLstm ? 2 : kNone;
  static constexpr std::size_t gates = kLstm ? 3 : 2, cells = kLstm ? 4 : kNone;
  static constexpr std::size_t inputs = kLstm ? 5 : 3, outputs = inputs + 1;

  explicit Layout(const Attrs& attrs) {
    if (attr_bool(attrs, "has_mask", false)) mask = count++;
    if (attr_bool(attrs, "has_recurrent_mask", false)) recurrent_masks = count++;
  }
};

// The same of the grad op.
template <bool kLstm>
struct GradLayout {
  static constexpr std::size_t kNone = kNoOperand;
  static constexpr std::size_t gates = 0, recurrent = 1;
  static constexpr std::size_t cells = kLstm ? 2 : kNone, c0 = kLstm ? 3 : kNone;
  std::size_t mask = kNone, recurrent_masks = kNone, dy = kNone, dh = kNone, dc = kNone;
  std::size_t count = kLstm ? 4 : 2;

  explicit GradLayout(const Attrs& attrs) {
    const auto place = [&](std::size_t& at, const char* flag) {
      if (attr_bool(attrs, flag, false)) at = count++;
    };
    place(mask, "has_mask");
    place(recurrent_masks, "has_recurrent_mask");
    place(dy, "has_dy");
    place(dh, "has_dh");
    if (kLstm) place(dc, "has_dc");
  }
};

// An LSTM has a mask for each gate.
template <bool kLstm>
Shape masks_shape(Dim batch, Dim units) {
  return kLstm ? Shape{Layout<kLstm>::kGates, batch, units} : Shape{batch, units};
}

template <bool kLstm>
std::vector<Spec> infer_forward(const InferArgs& a) {
  using L = Layout<kLstm>;
  const L at(a.attrs);
  require_count(a, at.count);
  read_options(a.attrs);
  const Spec &x = a[L::x], &recurrent = a[L::recurrent];
  require_floating(x, "x");
  for (std::size_t i = 1; i < at.count; ++i)
    if (i != at.mask) require_same_dtype(x, a[i]);
  require_rank(x, 3, "x (batch, steps, features)");
  require_rank(recurrent, 2, "the recurrent kernel");
  const Dim units = recurrent.shape[0], wide = dim_mul(L::kGates, units), steps = x.shape[1];
  const char* per_row = "(batch, units)";
  require_shape(recurrent, {units, wide}, "the recurrent kernel",
                kLstm ? "(units, 4 * units)" : "(units, units)");
  require_shape(a[L::kernel], {x.shape[2], wide}, "the kernel",
                kLstm ? "(features, 4 * units)" : "(features, units)");
  require_shape(a[L::bias], {wide}, "the bias", kLstm ? "(4 * units,)" : "(units,)");
  require_shape(a[L::h0], {x.shape[0], units}, "the initial state h", per_row);
  Dim batch = dim_merge(x.shape[0], a[L::h0].shape[0]);
  if constexpr (kLstm) {
    require_shape(a[L::c0], {batch, units}, "the initial state c", per_row);
    batch = dim_merge(batch, a[L::c0].shape[0]);
  }
  if (at.mask != L::kNone) {
    require_mask(a[at.mask]);
    require_shape(a[at.mask], {batch, steps}, "the mask", "(batch, steps)");
  }
  if (at.recurrent_masks != L::kNone)
    require_shape(a[at.recurrent_masks], masks_shape<kLstm>(batch, units), "the recurrent masks",
                  kLstm ? "(4, batch, units)" : per_row);

  std::vector<Spec> out(L::outputs, Spec{x.dtype, {batch, units}});
  if (attr_bool(a.attrs, "return_sequences", false)) out[L::y].shape = {batch, steps, units};
  out[L::gates].shape = {batch, steps, L::kGates, units};
  if constexpr (kLstm) out[L::cells].shape = {batch, steps, units};
  out[L::inputs].shape = {batch, steps, units};
  return out;
}

template <bool kLstm>
Bound bind_forward(const BindArgs& a) {
  using L = Layout<kLstm>;
  const L at(a.attrs);
  const RnnOptions options = read_options(a.attrs);
  const Shape& x = a.in[L::x].shape;
  const RnnShape shape{x[0], x[1], x[2], a.in[L::recurrent].shape[0]};
  return with_float(a.in[L::x].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto run = [=](const Run& r) {
      const RnnForward<T> call{.shape = shape,
                               .options = options,
                               .x = r.in<T>(L::x),
                               .kernel = r.in<T>(L::kernel),
                               .recurrent = r.in<T>(L::recurrent),
                               .bias = r.in<T>(L::bias),
                               .h0 = r.in<T>(L::h0),
                               .c0 = input_or_null<T>(r, L::c0),
                               .mask = input_or_null<bool>(r, at.mask),
                               .recurrent_masks = input_or_null<T>(r, at.recurrent_masks),
                               .y = r.out<T>(L::y),
                               .h_last = r.out<T>(L::h),
                               .c_last = output_or_null<T>(r, L::c),
                               .gates = r.out<T>(L::gates),
                               .cells = output_or_null<T>(r, L::cells),
                               .inputs = r.out<T>(L::inputs)};
      if constexpr (kLstm) {
        lstm_forward(call, r.scratch);
      } else {
        simple_rnn_forward(call, r.scratch);
      }
    };
    return {.run = run,
            .scratch_bytes = rnn_forward_scratch<T>(shape, L::kGates),
            .flops = step_flops(shape, L::kGates, shape.features + shape.units)};
  });
}

template <bool kLstm>
std::vector<Spec> infer_grad(const InferArgs& a) {
  using G = GradLayout<kLstm>;
  const G at(a.attrs);
  require_count(a, at.count);
  const Spec& gates = a[G::gates];
  require_floating(gates, "gates");
  require_rank(gates, 4, "gates (batch, steps, gates, units)");
  constexpr Dim kGates = Layout<kLstm>::kGates;
  if (dim_merge(gates.shape[2], kGates) == -2)
    shape_error("gates must have shape (batch, steps, " + std::to_string(kGates) +
                ", units), got " + to_string(gates.shape));
  const Dim batch = gates.shape[0], steps = gates.shape[1], units = gates.shape[3];
  const Shape row{batch, units}, sequence{batch, steps, units};
  const auto check = [&](std::size_t i, const Shape& wanted, const char* operand) {
    if (i == G::kNone) return;
    require_same_dtype(gates, a[i]);
    require_shape(a[i], wanted, operand, "of the forward pass");
  };
  read_options(a.attrs);
  check(G::recurrent, {units, dim_mul(kGates, units)}, "the recurrent kernel");
  check(G::cells, sequence, "cells");
  check(G::c0, row, "the initial state c");
  if (at.mask != G::kNone) {
    require_mask(a[at.mask]);
    require_shape(a[at.mask], {batch, steps}, "the mask", "(batch, steps)");
  }
  check(at.recurrent_masks, masks_shape<kLstm>(batch, units), "the recurrent masks");
  check(at.dy, attr_bool(a.attrs, "return_sequences", false) ? sequence : row, "dy");
  check(at.dh, row, "dh");
  check(at.dc, row, "dc");
  std::vector<Spec> out{gates, Spec{gates.dtype, row}};
  if (kLstm) out.push_back(out[1]);
  return out;
}

template <bool kLstm>
Bound bind_grad(const BindArgs& a) {
  using G = GradLayout<kLstm>;
  const G at(a.attrs);
  const RnnOptions options = read_options(a.attrs);
  const Shape& gates = a.in[G::gates].shape;
  const RnnShape shape{gates[0], gates[1], 0, gates[3]};
  return with_float(a.in[G::gates].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto run = [=](const Run& r) {
      const RnnBackward<T> call{.shape = shape,
                                .options = options,
                                .recurrent = r.in<T>(G::recurrent),
                                .gates = r.in<T>(G::gates),
                                .cells = input_or_null<T>(r, G::cells),
                                .c0 = input_or_null<T>(r, G::c0),
                                .mask = input_or_null<bool>(r, at.mask),
                                .recurrent_masks = input_or_null<T>(r, at.recurrent_masks),
                                .dy = input_or_null<T>(r, at.dy),
                                .dh_last = input_or_null<T>(r, at.dh),
                                .dc_last = input_or_null<T>(r, at.dc),
                                .dz = r.out<T>(0),
                                .dh0 = r.out<T>(1),
                                .dc0 = output_or_null<T>(r, kLstm ? 2 : G::kNone)};
      if constexpr (kLstm) {
        lstm_backward(call, r.scratch);
      } else {
        simple_rnn_backward(call, r.scratch);
      }
    };
    return {.run = run,
            .scratch_bytes = rnn_backward_scratch<T>(shape, gates[2]),
            .flops = step_flops(shape, gates[2], shape.units)};
  });
}

// The gradient [U, gates * U] of the recurrent kernel, for h [B,T,U] before each step and
// dz [B * T, gates * U]; a gate's columns saw h through the gate's mask.
template <Dim kGates>
ValueId recurrent_gradient(Builder& b, ValueId h, ValueId dz, ValueId masks) {
  const Shape sequence = b.shape(h);
  const Dim units = sequence[2], rows = dim_mul(sequence[0], sequence[1]);
  const Attrs transpose_a{{"transpose_a", true}};
  if (masks == kNoValue) return b.emit("matmul", {b.reshape(h, {rows, units}), dz}, transpose_a);
  const std::vector<std::int64_t> ones(kGates, 1), widths(kGates, units);
  const auto parts = [&](ValueId whole, std::int64_t axis, const std::vector<std::int64_t>& sizes) {
    return b.emit_all("split", {whole}, {{"axis", axis}, {"sizes", sizes}});
  };
  const std::vector<ValueId> gates = parts(dz, 1, widths);
  const std::vector<ValueId> mask = parts(b.reshape(masks, {kGates, sequence[0], units}), 0, ones);
  std::vector<ValueId> columns;
  for (std::size_t g = 0; g < gates.size(); ++g) {
    const ValueId per_row = b.reshape(mask[g], {sequence[0], 1, units});
    const ValueId seen = b.reshape(b.mul(h, per_row), {rows, units});
    columns.push_back(b.emit("matmul", {seen, gates[g]}, transpose_a));
  }
  return kGates == 1 ? columns[0] : b.emit("concat", columns, {{"axis", std::int64_t{1}}});
}

template <bool kLstm>
Grads vjp(Builder& b, const VjpArgs& v) {
  using L = Layout<kLstm>;
  const L at(v.attrs);
  Attrs attrs = v.attrs;
  std::vector<ValueId> in{v.out[L::gates], v.in[L::recurrent]};
  if constexpr (kLstm) in.insert(in.end(), {v.out[L::cells], v.in[L::c0]});
  if (at.mask != L::kNone) in.push_back(v.in[at.mask]);
  if (at.recurrent_masks != L::kNone) in.push_back(v.in[at.recurrent_masks]);
  const auto arriving = [&](std::size_t output, const char* flag) {
    const bool present = v.d_out[output] != kNoValue;
    attrs[flag] = present;
    if (present) in.push_back(v.d_out[output]);
  };
  arriving(L::y, "has_dy");
  arriving(L::h, "has_dh");
  if constexpr (kLstm) arriving(L::c, "has_dc");
  const std::vector<ValueId> d = b.emit_all(kLstm ? "lstm_grad" : "simple_rnn_grad", in, attrs);

  // Every step of every row is one row of the products that remain.
  const Shape x = b.shape(v.in[L::x]);
  const Dim units = b.shape(v.in[L::recurrent])[0], rows = dim_mul(x[0], x[1]);
  const ValueId dz = b.reshape(d[0], {rows, L::kGates * units});
  const Attrs transpose_a{{"transpose_a", true}}, transpose_b{{"transpose_b", true}};
  Grads grads(v.in.size(), kNoValue);
  if (v.wanted[L::x])
    grads[L::x] = b.reshape(b.emit("matmul", {dz, v.in[L::kernel]}, transpose_b), x);
  if (v.wanted[L::kernel])
    grads[L::kernel] = b.emit("matmul", {b.reshape(v.in[L::x], {rows, x[2]}), dz}, transpose_a);
  if (v.wanted[L::recurrent]) {
    const ValueId masks = at.recurrent_masks == L::kNone ? kNoValue : v.in[at.recurrent_masks];
    grads[L::recurrent] = recurrent_gradient<L::kGates>(b, v.out[L::inputs], dz, masks);
  }
  if (v.wanted[L::bias])
    grads[L::bias] = b.emit("sum", {dz}, {{"axes", std::vector<std::int64_t>{0}}});
  if (v.wanted[L::h0]) grads[L::h0] = d[1];
  if constexpr (kLstm)
    if (v.wanted[L::c0]) grads[L::c0] = d[2];
  return grads;
}

const Register registered{
    {.name = "lstm", .infer = infer_forward<true>, .bind = bind_forward<true>, .vjp = vjp<true>},
    {.name = "simple_rnn",
     .infer = infer_forward<false>,
     .bind = bind_forward<false>,
     .vjp = vjp<false>},
    // The output "dz" has the rank of the gates, which no other input has: it can lie nowhere else.
    {.name = "lstm_grad", .traits = kInPlace, .infer = infer_grad<true>, .bind = bind_grad<true>},
    {.name = "simple_rnn_grad",
     .traits = kInPlace,
     .infer = infer_grad<false>,
     .bind = bind_grad<false>},
};

}  // namespace
}  // namespace lamina
