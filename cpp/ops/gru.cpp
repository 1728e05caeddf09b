// gru over whole sequences.
//
//   gru(x [B,T,F], kernel [F,3U], recurrent [U,3U], bias, h0 [B,U],
//       mask bool [B,T] if has_mask, recurrent_masks [3,B,U] if has_recurrent_mask,
//       words [B,T] if has_words: then x is a table [rows,F])
//     -> y, h, then gates [B,T,K,U] and before [B,T,U] for the backward pass, which alone knows in
//        which order their rows lie (kernels/rnn.h)
//   reset_after (the default): bias [2,3U] of both products, K = 4. Otherwise: bias [3U], K = 3.
//
// The grad op returns dz, the gradient before the activations (written over the gates, see
// kernels/gru.h), then the gradients of the initial state, x, both kernels and the bias. With words
// that of x is a list of rows, one for each distinct word, and which words these are comes last.
#include "kernels/gru.h"

#include <algorithm>

#include "ops/rnn.h"

namespace lamina {
namespace {

bool resets_after(const Attrs& attrs) { return attr_bool(attrs, "reset_after", true); }

constexpr std::size_t kX = 0, kKernel = 1, kRecurrent = 2, kBias = 3, kH0 = 4;  // inputs
constexpr std::size_t kY = 0, kH = 1, kGates = 2, kBefore = 3;                  // outputs
// Of the grad op.
constexpr std::size_t kGradGates = 0, kGradRecurrent = 1, kGradX = 2, kGradKernel = 3;
constexpr std::size_t kGradBefore = 4;
constexpr std::size_t kDz = 0, kDh0 = 1, kDx = 2, kDKernel = 3, kDRecurrent = 4, kDBias = 5;
constexpr std::size_t kDWords = 6;

// Where the inputs lie that not every node has.
struct Optional {
  std::size_t mask = kNoOperand, recurrent_masks = kNoOperand, dy = kNoOperand, dh = kNoOperand;
  std::size_t words = kNoOperand, count;

  Optional(const Attrs& attrs, std::size_t first) : count(first) {
    place(attrs, mask, "has_mask");
    place(attrs, recurrent_masks, "has_recurrent_mask");
  }
  static Optional of_forward(const Attrs& attrs) {
    Optional at(attrs, 5);
    at.place(attrs, at.words, "has_words");
    return at;
  }
  static Optional of_grad(const Attrs& attrs) {
    Optional at(attrs, 5);
    at.place(attrs, at.dy, "has_dy");
    at.place(attrs, at.dh, "has_dh");
    at.place(attrs, at.words, "has_words");
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
    if (i != at.mask && i != at.words) require_same_dtype(x, a[i]);
  const Shape steps_of_x = sequence_shape(a, kX, at.words);
  require_rank(recurrent, 2, "the recurrent kernel");
  const Dim units = recurrent.shape[0], wide = dim_mul(kGruGates, units), steps = steps_of_x[1];
  const bool after = resets_after(a.attrs);
  require_shape(recurrent, {units, wide}, "the recurrent kernel", "(units, 3 * units)");
  require_shape(a[kKernel], {steps_of_x[2], wide}, "the kernel", "(features, 3 * units)");
  require_shape(a[kBias], after ? Shape{2, wide} : Shape{wide}, "the bias",
                after ? "(2, 3 * units)" : "(3 * units,)");
  require_shape(a[kH0], {steps_of_x[0], units}, "the initial state", "(batch, units)");
  const Dim batch = dim_merge(steps_of_x[0], a[kH0].shape[0]);
  check_masks(a, at, batch, steps, units);

  const Spec row{x.dtype, {batch, units}}, sequence{x.dtype, {batch, steps, units}};
  const bool all = attr_bool(a.attrs, "return_sequences", false);
  return {all ? sequence : row, row, Spec{x.dtype, {batch, steps, gru_kept_gates(after), units}},
          sequence};
}

std::vector<std::pair<std::size_t, Dim>> ranges(const InferArgs& a) {
  return word_ranges(a, kX, Optional::of_forward(a.attrs).words);
}

Bound bind_forward(const BindArgs& a) {
  const Optional at = Optional::of_forward(a.attrs);
  const RnnOptions options = read_options(a.attrs);
  const bool after = resets_after(a.attrs);
  const Words words(a.in, kX, at.words);
  const RnnShape shape = gates_shape(a.out[kGates].shape, a.in[kKernel].shape[0], words);
  return with_float(a.in[kX].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const std::size_t scratch = gru_forward_scratch<T>(shape, a.used[kGates]);
    const auto run = [=](const Run& r) {
      const std::optional<Distinct> distinct = words.find(r, r.scratch + scratch);
      const T* bias = r.in<T>(kBias);
      const GruForward<T> call{.shape = shape,
                               .options = options,
                               .reset_after = after,
                               .x = r.in<T>(kX),
                               .words = distinct ? &*distinct : nullptr,
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
            .scratch_bytes = scratch + words.bytes(),
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
  const bool after = resets_after(a.attrs);
  const Dim wide = dim_mul(kGruGates, units);
  const Shape x = sequence_shape(a, kGradX, at.words);
  require_same_dtype(gates, a[kGradX]);
  require_shape(Spec{gates.dtype, x}, {batch, steps, x[2]}, "x", "of the forward pass");
  check(kGradRecurrent, {units, wide}, "the recurrent kernel");
  check(kGradGates, {batch, steps, gru_kept_gates(after), units}, "gates");
  check(kGradKernel, {x[2], wide}, "the kernel");
  check(kGradBefore, sequence, "the states before the steps");
  check_masks(a, at, batch, steps, units);
  check(at.recurrent_masks, {kGruGates, batch, units}, "the recurrent masks");
  check(at.dy, attr_bool(a.attrs, "return_sequences", false) ? sequence : row, "dy");
  check(at.dh, row, "dh");
  const bool rows = at.words != kNoOperand;
  const Dim words = rows ? most_words(dim_mul(batch, steps), a[kGradX].shape[0]) : 0;
  std::vector<Spec> out{gates};
  for (const Shape& shape : {row, rows ? Shape{words, x[2]} : x, Shape{x[2], wide},
                             Shape{units, wide}, after ? Shape{2, wide} : Shape{wide}})
    out.push_back({gates.dtype, shape});
  if (rows) out.push_back({DType::i32, {words}});
  return out;
}

Bound bind_grad(const BindArgs& a) {
  const Optional at = Optional::of_grad(a.attrs);
  const RnnOptions options = read_options(a.attrs);
  const bool after = resets_after(a.attrs);
  const Words words(a.in, kGradX, at.words);
  const RnnShape shape = gates_shape(a.in[kGradGates].shape, a.in[kGradKernel].shape[0], words);
  return with_float(a.in[kGradGates].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const std::size_t scratch = gru_backward_scratch<T>(shape, after);
    const auto run = [=](const Run& r) {
      std::optional<Distinct> distinct = words.find(r, r.scratch + scratch);
      if (distinct) distinct->link_places();
      T* const dbias = r.out<T>(kDBias);
      const GruBackward<T> call{
          .shape = shape,
          .options = options,
          .reset_after = after,
          .x = r.in<T>(kGradX),
          .words = distinct ? &*distinct : nullptr,
          .kernel = r.in<T>(kGradKernel),
          .recurrent = r.in<T>(kGradRecurrent),
          .gates = r.in<T>(kGradGates),
          .before = r.in<T>(kGradBefore),
          .mask = input_or_null<bool>(r, at.mask),
          .recurrent_masks = input_or_null<T>(r, at.recurrent_masks),
          .dy = input_or_null<T>(r, at.dy),
          .dh_last = input_or_null<T>(r, at.dh),
          .dz = r.out<T>(kDz),
          .dh0 = r.out<T>(kDh0),
          .dx = r.out<T>(kDx),
          .dkernel = r.out<T>(kDKernel),
          .drecurrent = r.out<T>(kDRecurrent),
          .dbias = dbias,
          .drecurrent_bias = after && dbias != nullptr ? dbias + kGruGates * shape.units : nullptr};
      gru_backward(call, r.scratch);
      if (distinct && r.outs[kDWords] != nullptr)
        write_words(*distinct, words.most(), r.out<std::int32_t>(kDWords));
    };
    return {.run = run,
            .scratch_bytes = scratch + words.bytes(),
            .flops = step_flops(shape, kGruGates, 2 * (shape.features + shape.units))};
  });
}

Grads vjp(Builder& b, const VjpArgs& v) {
  const Optional at = Optional::of_forward(v.attrs);
  Attrs attrs = v.attrs;
  attrs["has_words"] = false;
  const ValueId x = lay_out(b, v.in[kX], v, at.words);
  std::vector<ValueId> in{v.out[kGates], v.in[kRecurrent], x, v.in[kKernel], v.out[kBefore]};
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
  Grads grads(v.in.size(), kNoValue);
  const auto give = [&](std::size_t input, std::size_t output) {
    if (v.wanted[input]) grads[input] = d[output];
  };
  if (v.wanted[kX]) grads[kX] = gather_up(b, d[kDx], v, kX, at.words);
  give(kKernel, kDKernel);
  give(kRecurrent, kDRecurrent);
  give(kBias, kDBias);
  give(kH0, kDh0);
  return grads;
}

const Register registered{
    {.name = "gru",
     .infer = infer_forward,
     .bind = bind_forward,
     .vjp = vjp,
     .index_ranges = ranges},
    // The output "dz" has the rank of the gates, which no other input has: it can lie nowhere else.
    {.name = "gru_grad", .traits = kInPlace, .infer = infer_grad, .bind = bind_grad},
};

}  // namespace
}  // namespace lamina
