// lstm and simple_rnn over whole sequences.
//
//   lstm(x [B,T,F], kernel [F,4U], recurrent [U,4U], bias [4U], h0 [B,U], c0 [B,U],
//        mask bool [B,T] if has_mask, recurrent_masks [4,B,U] if has_recurrent_mask,
//        words [B,T] if has_words: then x is a table [rows,F])
//     -> y, h, c, then gates [B,T,4,U], cells [B,T,U], inputs [B,T,U] for the backward pass, which
//        alone knows in which order their rows lie (kernels/rnn.h)
//   simple_rnn: the same with kernels of U columns and one recurrent mask [B,U], without c0, c and
//   cells.
//
// The grad ops return dz, the gradient before the activations (written over the gates), then the
// gradients of the initial state, x, both kernels and the bias. With words that of x is a list of
// rows, one for each distinct word, and which words these are comes last.
#include "ops/rnn.h"

#include <algorithm>

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
  std::size_t mask = kNone, recurrent_masks = kNone, words = kNone, count = kLstm ? 6 : 5;
  // Forward outputs.
  static constexpr std::size_t y = 0, h = 1, c = kLstm ? 2 : kNone;
  static constexpr std::size_t gates = kLstm ? 3 : 2, cells = kLstm ? 4 : kNone;
  static constexpr std::size_t inputs = kLstm ? 5 : 3, outputs = inputs + 1;

  explicit Layout(const Attrs& attrs) {
    if (attr_bool(attrs, "has_mask", false)) mask = count++;
    if (attr_bool(attrs, "has_recurrent_mask", false)) recurrent_masks = count++;
    if (attr_bool(attrs, "has_words", false)) words = count++;
  }
};

// The same of the grad op.
template <bool kLstm>
struct GradLayout {
  static constexpr std::size_t kNone = kNoOperand;
  static constexpr std::size_t gates = 0, recurrent = 1, x = 2, kernel = 3, inputs = 4;
  static constexpr std::size_t cells = kLstm ? 5 : kNone, c0 = kLstm ? 6 : kNone;
  std::size_t mask = kNone, recurrent_masks = kNone, dy = kNone, dh = kNone, dc = kNone;
  std::size_t words = kNone, count = kLstm ? 7 : 5;
  // Outputs.
  static constexpr std::size_t dz = 0, dh0 = 1, dc0 = kLstm ? 2 : kNone, dx = kLstm ? 3 : 2;
  static constexpr std::size_t dkernel = dx + 1, drecurrent = dx + 2, dbias = dx + 3;
  static constexpr std::size_t dwords = dx + 4;

  explicit GradLayout(const Attrs& attrs) {
    const auto place = [&](std::size_t& at, const char* flag) {
      if (attr_bool(attrs, flag, false)) at = count++;
    };
    place(mask, "has_mask");
    place(recurrent_masks, "has_recurrent_mask");
    place(dy, "has_dy");
    place(dh, "has_dh");
    if (kLstm) place(dc, "has_dc");
    place(words, "has_words");
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
    if (i != at.mask && i != at.words) require_same_dtype(x, a[i]);
  const Shape sequence = sequence_shape(a, L::x, at.words);
  require_rank(recurrent, 2, "the recurrent kernel");
  const Dim units = recurrent.shape[0], wide = dim_mul(L::kGates, units), steps = sequence[1];
  const char* per_row = "(batch, units)";
  require_shape(recurrent, {units, wide}, "the recurrent kernel",
                kLstm ? "(units, 4 * units)" : "(units, units)");
  require_shape(a[L::kernel], {sequence[2], wide}, "the kernel",
                kLstm ? "(features, 4 * units)" : "(features, units)");
  require_shape(a[L::bias], {wide}, "the bias", kLstm ? "(4 * units,)" : "(units,)");
  require_shape(a[L::h0], {sequence[0], units}, "the initial state h", per_row);
  Dim batch = dim_merge(sequence[0], a[L::h0].shape[0]);
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
std::vector<std::pair<std::size_t, Dim>> ranges(const InferArgs& a) {
  return word_ranges(a, Layout<kLstm>::x, Layout<kLstm>(a.attrs).words);
}

template <bool kLstm>
Bound bind_forward(const BindArgs& a) {
  using L = Layout<kLstm>;
  const L at(a.attrs);
  const RnnOptions options = read_options(a.attrs);
  const Words words(a.in, L::x, at.words);
  const RnnShape shape = gates_shape(a.out[L::gates].shape, a.in[L::kernel].shape[0], words);
  return with_float(a.in[L::x].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const std::size_t scratch = rnn_forward_scratch<T>(shape, L::kGates, a.used[L::gates]);
    const auto run = [=](const Run& r) {
      const std::optional<Distinct> distinct = words.find(r, r.scratch + scratch);
      const RnnForward<T> call{.shape = shape,
                               .options = options,
                               .x = r.in<T>(L::x),
                               .words = distinct ? &*distinct : nullptr,
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
            .scratch_bytes = scratch + words.bytes(),
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
  const Dim wide = dim_mul(kGates, units);
  const Shape x = sequence_shape(a, G::x, at.words);
  require_same_dtype(gates, a[G::x]);
  require_shape(Spec{gates.dtype, x}, {batch, steps, x[2]}, "x", "of the forward pass");
  check(G::recurrent, {units, wide}, "the recurrent kernel");
  check(G::kernel, {x[2], wide}, "the kernel");
  check(G::inputs, sequence, "the states before the steps");
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
  const Dim words = at.words == G::kNone ? 0 : most_words(dim_mul(batch, steps), a[G::x].shape[0]);
  const Shape dx = at.words == G::kNone ? a[G::x].shape : Shape{words, x[2]};
  for (const Shape& shape : {dx, Shape{x[2], wide}, Shape{units, wide}, Shape{wide}})
    out.push_back({gates.dtype, shape});
  if (at.words != G::kNone) out.push_back({DType::i32, {words}});
  return out;
}

template <bool kLstm>
Bound bind_grad(const BindArgs& a) {
  using G = GradLayout<kLstm>;
  constexpr Dim kGates = Layout<kLstm>::kGates;
  const G at(a.attrs);
  const RnnOptions options = read_options(a.attrs);
  const Words words(a.in, G::x, at.words);
  const RnnShape shape = gates_shape(a.in[G::gates].shape, a.in[G::kernel].shape[0], words);
  return with_float(a.in[G::gates].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const std::size_t scratch = rnn_backward_scratch<T>(shape, kGates);
    const auto run = [=](const Run& r) {
      std::optional<Distinct> distinct = words.find(r, r.scratch + scratch);
      if (distinct) distinct->link_places();
      const RnnBackward<T> call{.shape = shape,
                                .options = options,
                                .x = r.in<T>(G::x),
                                .words = distinct ? &*distinct : nullptr,
                                .kernel = r.in<T>(G::kernel),
                                .recurrent = r.in<T>(G::recurrent),
                                .gates = r.in<T>(G::gates),
                                .cells = input_or_null<T>(r, G::cells),
                                .inputs = r.in<T>(G::inputs),
                                .c0 = input_or_null<T>(r, G::c0),
                                .mask = input_or_null<bool>(r, at.mask),
                                .recurrent_masks = input_or_null<T>(r, at.recurrent_masks),
                                .dy = input_or_null<T>(r, at.dy),
                                .dh_last = input_or_null<T>(r, at.dh),
                                .dc_last = input_or_null<T>(r, at.dc),
                                .dz = r.out<T>(G::dz),
                                .dh0 = r.out<T>(G::dh0),
                                .dc0 = output_or_null<T>(r, G::dc0),
                                .dx = r.out<T>(G::dx),
                                .dkernel = r.out<T>(G::dkernel),
                                .drecurrent = r.out<T>(G::drecurrent),
                                .dbias = r.out<T>(G::dbias)};
      if constexpr (kLstm) {
        lstm_backward(call, r.scratch);
      } else {
        simple_rnn_backward(call, r.scratch);
      }
      if (distinct && r.outs[G::dwords] != nullptr)
        write_words(*distinct, words.most(), r.out<std::int32_t>(G::dwords));
    };
    return {.run = run,
            .scratch_bytes = scratch + words.bytes(),
            .flops = step_flops(shape, kGates, 2 * (shape.features + shape.units))};
  });
}

template <bool kLstm>
Grads vjp(Builder& b, const VjpArgs& v) {
  using L = Layout<kLstm>;
  using G = GradLayout<kLstm>;
  const L at(v.attrs);
  Attrs attrs = v.attrs;
  attrs["has_words"] = false;
  const ValueId x = lay_out(b, v.in[L::x], v, at.words);
  std::vector<ValueId> in{v.out[L::gates], v.in[L::recurrent], x, v.in[L::kernel],
                          v.out[L::inputs]};
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
  Grads grads(v.in.size(), kNoValue);
  const auto give = [&](std::size_t input, std::size_t output) {
    if (v.wanted[input]) grads[input] = d[output];
  };
  if (v.wanted[L::x]) grads[L::x] = gather_up(b, d[G::dx], v, L::x, at.words);
  give(L::kernel, G::dkernel);
  give(L::recurrent, G::drecurrent);
  give(L::bias, G::dbias);
  give(L::h0, G::dh0);
  if constexpr (kLstm) give(L::c0, G::dc0);
  return grads;
}

const Register registered{
    {.name = "lstm",
     .infer = infer_forward<true>,
     .bind = bind_forward<true>,
     .vjp = vjp<true>,
     .index_ranges = ranges<true>},
    {.name = "simple_rnn",
     .infer = infer_forward<false>,
     .bind = bind_forward<false>,
     .vjp = vjp<false>,
     .index_ranges = ranges<false>},
    // The output "dz" has the rank of the gates, which no other input has: it can lie nowhere else.
    {.name = "lstm_grad", .traits = kInPlace, .infer = infer_grad<true>, .bind = bind_grad<true>},
    {.name = "simple_rnn_grad",
     .traits = kInPlace,
     .infer = infer_grad<false>,
     .bind = bind_grad<false>},
};

}  // namespace
}  // namespace lamina
