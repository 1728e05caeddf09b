#include "kernels/rnn.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/rnn_gradients.h"
#include "kernels/rnn_inputs.h"
#include "kernels/rnn_product.h"

namespace lamina {

const std::vector<std::string>& cell_activation_names() {
  static const std::vector<std::string> names = {"linear",       "relu",     "sigmoid",  "tanh",
                                                 "hard_sigmoid", "softsign", "softplus", "elu"};
  return names;  // in the order of the enum
}

std::optional<CellActivation> cell_activation_named(std::string_view name) {
  const auto& names = cell_activation_names();
  const auto it = std::find(names.begin(), names.end(), name);
  if (it == names.end()) return std::nullopt;
  return static_cast<CellActivation>(it - names.begin());
}

namespace {

using namespace rnn;

// What a step of a slice works on.
template <class T>
struct ForwardSlice : Slice {
  T* h;         // [rows, units]: the state
  T* c;         // [rows, units]
  T* masked_h;  // [rows, units]: h times a recurrent mask
  T* output;    // [rows, units]: the last output, which differs from h under a mask
  T* product;   // [rows, gates * units]
  const T *packed_kernel, *packed_recurrent;
};

// With recurrent masks the recurrent kernel is packed gate by gate, without as one.
template <class T>
Dim packed_recurrent_size(Dim units, Dim gates, Dim columns, Dim depth) {
  return std::max(packed_b_size<T>(columns, depth), gates * packed_b_size<T>(units, units));
}

template <class T>
struct ForwardScratch {
  T* packed;                               // weights that threads share
  T* projected;                            // of the distinct words, or of a block of steps
  T *h, *c, *masked_h, *output, *product;  // for the whole batch
  std::size_t bytes;

  ForwardScratch(const RnnShape& s, Dim gates, bool keeps, std::byte* memory) {
    Carver carve(memory);
    const Dim wide = gates * s.units, state = s.batch * s.units;
    packed = carve.take<T>(shared_weights(packed_b_size<T>(wide, s.features) +
                                          packed_recurrent_size<T>(s.units, gates, wide, s.units)));
    projected = carve.take<T>(projected_elements(s, wide, keeps));
    h = carve.take<T>(state);
    c = carve.take<T>(state);
    masked_h = carve.take<T>(state);
    output = carve.take<T>(state);
    product = carve.take<T>(s.batch * wide);
    bytes = carve.used();
  }
  ForwardSlice<T> slice(const Slice& slice, const RnnShape& s, Dim gates) const {
    const Dim at = slice.first * s.units;
    return {slice,   h + at, c + at, masked_h + at, output + at, product + at * gates,
            nullptr, nullptr};
  }
};

template <class T>
struct BackwardSlice : Slice {
  T* dh;      // [rows, units]: of the state after the step
  T* dc;      // [rows, units]
  T* held;    // [rows, units]: of the outputs that repeat an earlier one
  T* before;  // [rows, units]: of the state before the step, through the product
  const T* packed;
};

// ---- Forward.
template <class T, class Cell>
class ForwardPass {
 public:
  ForwardPass(const RnnForward<T>& call, const Cell& cell, std::byte* scratch)
      : call_(call),
        s_(call.shape),
        cell_(cell),
        scratch_(s_, Cell::kGates, call.gates != nullptr, scratch),
        streams_(call.gates != nullptr &&
                 streams_kept<T>(s_, (Cell::kGates + 1 + Cell::kHasCell) * s_.units,
                                 {call.gates, call.cells, call.inputs})) {}

  void run() const {
    if (s_.batch == 0 || s_.units == 0) return;
    if (call_.words != nullptr)
      project_words(*call_.words, s_.features, wide(), call_.x, call_.kernel, scratch_.packed,
                    call_.bias, scratch_.projected);
    const bool packs = call_.words == nullptr && !projects_unpacked(s_);
    const Dim kernel = packs ? packed_b_size<T>(wide(), s_.features) : 0;
    const Dim recurrent = packed_recurrent_size<T>(s_.units, Cell::kGates, wide(), s_.units);
    const auto pack = [&](T* to) {
      if (kernel > 0) pack_b<T>(wide(), s_.features, call_.kernel, wide(), 1, to);
      pack_recurrent(to + kernel);
    };
    const PackedWeights packed(kernel + recurrent, scratch_.packed, pack);
    const Slices slices(s_.batch);
    parallel_chunks(slices.count, [&](std::int64_t i) {
      ForwardSlice<T> slice = scratch_.slice(slices[i], s_, Cell::kGates);
      slice.packed_kernel = packed.here();
      slice.packed_recurrent = slice.packed_kernel + kernel;
      run_slice(slice);
    });
  }

 private:
  using Work = ForwardSlice<T>;
  Dim wide() const { return Cell::kGates * s_.units; }
  Dim packed_gate(Dim gate) const { return gate * packed_b_size<T>(s_.units, s_.units); }
  void pack_recurrent(T* to) const {
    if (call_.recurrent_masks == nullptr) {
      pack_b<T>(wide(), s_.units, call_.recurrent, wide(), 1, to);
      return;
    }
    for (Dim g = 0; g < Cell::kGates; ++g)
      pack_b<T>(s_.units, s_.units, call_.recurrent + g * s_.units, wide(), 1, to + packed_gate(g));
  }
  // The input step that is processed as number `step`.
  Dim time(Dim step) const { return call_.options.go_backwards ? s_.steps - 1 - step : step; }

  void run_slice(const Work& slice) const {
    start(slice);
    run_projected(call_, slice, wide(), slice.packed_kernel, scratch_.projected,
                  [&](Dim step, const auto& z_at) { run_step(slice, step, z_at); });
    if (streams_) finish_streams();
    finish(slice);
  }

  void start(const Work& slice) const {
    const Dim count = slice.rows * s_.units, at = slice.first * s_.units;
    copy_row(slice.h, call_.h0 + at, count);
    if (Cell::kHasCell) copy_row(slice.c, call_.c0 + at, count);
    if (call_.mask != nullptr) zero_row(slice.output, count);
  }

  // slice.product = h U, each gate with what its mask leaves of h.
  void multiply_recurrent(const Work& slice, Dim step, const Wanted<T>& wanted) const {
    const Dim n = s_.units;
    if (call_.recurrent_masks == nullptr) {
      multiply_step<T>(slice.rows, wide(), n, slice.h, n, slice.packed_recurrent, slice.product,
                       wide(), nullptr, false, step % 2 == 0, wanted);
      return;
    }
    for (Dim g = 0; g < Cell::kGates; ++g) {
      const T* mask = call_.recurrent_masks + (g * s_.batch + slice.first) * n;
      multiply_row(slice.masked_h, slice.h, mask, slice.rows * n);
      gemm_packed_serial<T>(slice.rows, n, n, slice.masked_h, n,
                            slice.packed_recurrent + packed_gate(g), slice.product + g * n, wide(),
                            {});
    }
  }

  // z_at(i, t): the projected input of row i of the slice at time t.
  template <class Projected>
  void run_step(const Work& slice, Dim step, const Projected& z_at) const {
    const Dim n = s_.units, t = time(step);
    Wanted<T> wanted;
    if (call_.words != nullptr)  // their projections lie scattered, where any thread wrote them
      for (Dim i = 0; i < slice.rows; ++i) wanted.add(z_at(i, t), wide());
    multiply_recurrent(slice, step, wanted);
    for (Dim i = 0; i < slice.rows; ++i) {
      const Dim kept = slice.kept(i, t, s_.steps);
      if (call_.mask == nullptr || call_.mask[slice.place(i, t, s_.steps)]) {
        T* const output = call_.mask != nullptr ? slice.output + i * n : output_at(slice, i, step);
        cell_.forward(n, z_at(i, t), slice.product + i * wide(), slice.h + i * n, slice.c + i * n,
                      {.streams = streams_,
                       .gates = call_.gates == nullptr ? nullptr : call_.gates + kept * wide(),
                       .cell = at(call_.cells, kept),
                       .before = at(call_.inputs, kept),
                       .output = output});
      } else {
        pass_over(slice, i, kept);
      }
      if (call_.mask != nullptr && output_at(slice, i, step) != nullptr)
        copy_row(output_at(slice, i, step), slice.output + i * n, n);
    }
  }

  // The row of a step in [places, units], null if there is no such buffer.
  T* at(T* sequence, Dim place) const {
    return sequence == nullptr ? nullptr : sequence + place * s_.units;
  }
  T* output_at(const Work& slice, Dim i, Dim step) const {
    return call_.options.return_sequences ? at(call_.y, slice.place(i, step, s_.steps)) : nullptr;
  }

  // A masked step of a row: the state stays.
  void pass_over(const Work& slice, Dim i, Dim kept) const {
    const Dim n = s_.units;
    if (call_.inputs != nullptr) copy_row(at(call_.inputs, kept), slice.h + i * n, n);
    if (Cell::kHasCell && call_.cells != nullptr)
      copy_row(at(call_.cells, kept), slice.c + i * n, n);
    if (call_.gates != nullptr)
      zero_row(call_.gates + kept * wide(), wide());  // an output holds no leftovers
    if (call_.options.zero_masked_output) zero_row(slice.output + i * n, n);
  }

  void finish(const Work& slice) const {
    const Dim count = slice.rows * s_.units, at = slice.first * s_.units;
    if (call_.y != nullptr && !call_.options.return_sequences)
      copy_row(call_.y + at, call_.mask != nullptr ? slice.output : slice.h, count);
    if (call_.h_last != nullptr) copy_row(call_.h_last + at, slice.h, count);
    if (Cell::kHasCell && call_.c_last != nullptr) copy_row(call_.c_last + at, slice.c, count);
  }

  const RnnForward<T>& call_;
  const RnnShape& s_;
  const Cell cell_;
  const ForwardScratch<T> scratch_;
  const bool streams_;
};

// ---- Backward.
template <class T>
BackwardScratch<T> backward_scratch(const RnnShape& s, Dim gates, std::byte* memory) {
  const Dim packed = packed_recurrent_size<T>(s.units, gates, s.units, gates * s.units);
  return {s, gates, gates, packed, memory};
}

template <class T, class Cell>
class BackwardPass {
 public:
  BackwardPass(const RnnBackward<T>& call, const Cell& cell)
      : call_(call), s_(call.shape), cell_(cell) {}

  static void run(const RnnBackward<T>& call, const Cell& cell, std::byte* scratch) {
    const BackwardPass pass(call, cell);
    const RnnGradients<T> products{.shape = call.shape,
                                   .gates = Cell::kGates,
                                   .kept = Cell::kGates,
                                   .go_backwards = call.options.go_backwards,
                                   .dz = call.dz,
                                   .x = call.x,
                                   .words = call.words,
                                   .kernel = call.kernel,
                                   .before = call.inputs,
                                   .let_in = nullptr,
                                   .recurrent_masks = call.recurrent_masks,
                                   .dx = call.dx,
                                   .dkernel = call.dkernel,
                                   .drecurrent = call.drecurrent,
                                   .dbias = call.dbias,
                                   .drecurrent_bias = nullptr};
    run_backward(pass, products, backward_scratch<T>(call.shape, Cell::kGates, scratch));
  }

  // ---- For run_backward.
  using Work = BackwardSlice<T>;
  Dim packed_size() const {
    return packed_recurrent_size<T>(s_.units, Cell::kGates, s_.units, wide());
  }
  // For dh = dz U^T.
  void pack(T* to) const {
    if (call_.recurrent_masks == nullptr) {
      pack_b<T>(s_.units, wide(), call_.recurrent, 1, wide(), to);
      return;
    }
    for (Dim g = 0; g < Cell::kGates; ++g)
      pack_b<T>(s_.units, s_.units, call_.recurrent + g * s_.units, 1, wide(), to + packed_gate(g));
  }
  Work work(const Slice& slice, T* state, const T* packed) const {
    const Dim size = slice.rows * s_.units;
    return {slice, state, state + size, state + 2 * size, state + 3 * size, packed};
  }
  void start(const Work& slice) const {
    const Dim count = slice.rows * s_.units, at = slice.first * s_.units;
    copy_or_zero(slice.dh, call_.dh_last == nullptr ? nullptr : call_.dh_last + at, count);
    if (Cell::kHasCell)
      copy_or_zero(slice.dc, call_.dc_last == nullptr ? nullptr : call_.dc_last + at, count);
    zero_row(slice.held, count);
  }
  void run(const Work& slice, Dim begin, Dim end) const {
    for (Dim step = end - 1; step >= begin; --step) {
      for (Dim i = 0; i < slice.rows; ++i) run_row(slice, i, step);
      if (step > 0 || call_.dh0 != nullptr) to_state_before(slice, step);
    }
  }
  void finish(const Work& slice) const {
    const Dim count = slice.rows * s_.units, at = slice.first * s_.units;
    if (call_.dh0 != nullptr) copy_row(call_.dh0 + at, slice.dh, count);
    if (Cell::kHasCell && call_.dc0 != nullptr) copy_row(call_.dc0 + at, slice.dc, count);
  }

 private:
  Dim wide() const { return Cell::kGates * s_.units; }
  Dim packed_gate(Dim gate) const { return gate * packed_b_size<T>(s_.units, s_.units); }
  Dim time(Dim step) const { return call_.options.go_backwards ? s_.steps - 1 - step : step; }

  // The gradient of the output of one row at one step; null: none.
  const T* output_gradient(Dim row, Dim step) const {
    if (call_.dy == nullptr) return nullptr;
    if (call_.options.return_sequences) return call_.dy + (row * s_.steps + step) * s_.units;
    return step == s_.steps - 1 ? call_.dy + row * s_.units : nullptr;
  }

  void run_row(const Work& slice, Dim i, Dim step) const {
    const Dim n = s_.units, row = slice.first + i, t = time(step);
    const Dim kept = slice.kept(i, t, s_.steps);
    T* dz = call_.dz + kept * wide();
    const T* dy = output_gradient(row, step);
    T* held = slice.held + i * n;
    if (step > 0 && dy != nullptr && call_.options.return_sequences) ask_for(dy - n, n);
    if (!counts(row, t)) {
      zero_row(dz, wide());
      if (dy != nullptr && !call_.options.zero_masked_output) add_row(held, dy, n);
      return;
    }
    T* dh = slice.dh + i * n;  // whose place the gradient of the state before takes
    if (dy != nullptr) add_row(dh, dy, n);
    if (call_.mask != nullptr) {
      add_row(dh, held, n);
      zero_row(held, n);
    }
    const T *cell = nullptr, *before = nullptr;
    if (Cell::kHasCell) {
      cell = call_.cells + kept * n;
      before = step == 0 ? call_.c0 + row * n
                         : call_.cells + slice.kept(i, time(step - 1), s_.steps) * n;
    }
    cell_.backward(n, call_.gates + kept * wide(), cell, before, dh, slice.dc + i * n, dz);
  }

  // What the step before will read.
  Wanted<T> wanted_before(const Slice& slice, Dim step) const {
    Wanted<T> wanted;
    if (step == 0) return wanted;
    const Dim kept = slice.kept(0, time(step - 1), s_.steps), count = slice.rows * s_.units;
    wanted.add(call_.gates + kept * wide(), count * Cell::kGates);
    wanted.add(call_.inputs + kept * s_.units, count);
    if (Cell::kHasCell && step > 1)
      wanted.add(call_.cells + slice.kept(0, time(step - 2), s_.steps) * s_.units, count);
    return wanted;
  }

  // From the step's dz to the gradient of the state it started from.
  void to_state_before(const Work& slice, Dim step) const {
    const Dim n = s_.units, t = time(step);
    const T* dz = call_.dz + slice.kept(0, t, s_.steps) * wide();
    if (call_.recurrent_masks != nullptr) return to_state_before_by_gate(slice, t, dz);
    T* target = call_.mask == nullptr ? slice.dh : slice.before;
    multiply_step<T>(slice.rows, n, wide(), dz, wide(), slice.packed, target, n, nullptr, false,
                     step % 2 == 0, wanted_before(slice, step));
    if (call_.mask == nullptr) return;
    for (Dim i = 0; i < slice.rows; ++i)
      if (counts(slice.first + i, t)) copy_row(slice.dh + i * n, slice.before + i * n, n);
  }

  // The same where every gate saw the state through a mask of its own.
  void to_state_before_by_gate(const Work& slice, Dim t, const T* dz) const {
    const Dim n = s_.units;
    for (Dim i = 0; i < slice.rows; ++i)
      if (counts(slice.first + i, t)) zero_row(slice.dh + i * n, n);
    for (Dim g = 0; g < Cell::kGates; ++g) {
      gemm_packed_serial<T>(slice.rows, n, n, dz + g * n, wide(), slice.packed + packed_gate(g),
                            slice.before, n, {});
      const T* mask = call_.recurrent_masks + (g * s_.batch + slice.first) * n;
      multiply_row(slice.before, slice.before, mask, slice.rows * n);
      for (Dim i = 0; i < slice.rows; ++i)
        if (counts(slice.first + i, t)) add_row(slice.dh + i * n, slice.before + i * n, n);
    }
  }

  bool counts(Dim row, Dim t) const {
    return call_.mask == nullptr || call_.mask[row * s_.steps + t];
  }

  const RnnBackward<T>& call_;
  const RnnShape& s_;
  const Cell cell_;
};

}  // namespace

template <class T>
std::size_t rnn_forward_scratch(const RnnShape& shape, Dim gates, bool keeps) {
  return ForwardScratch<T>(shape, gates, keeps, nullptr).bytes;
}

template <class T>
std::size_t rnn_backward_scratch(const RnnShape& shape, Dim gates) {
  return backward_scratch<T>(shape, gates, nullptr).bytes;
}

template <class T>
void lstm_forward(const RnnForward<T>& call, std::byte* scratch) {
  with_activations<T>(call.options, true, [&](auto a) {
    using Cell = rnn::Lstm<T, decltype(a)>;
    ForwardPass<T, Cell>(call, Cell{a}, scratch).run();
  });
}

template <class T>
void lstm_backward(const RnnBackward<T>& call, std::byte* scratch) {
  with_activations<T>(call.options, true, [&](auto a) {
    using Cell = rnn::Lstm<T, decltype(a)>;
    BackwardPass<T, Cell>::run(call, Cell{a}, scratch);
  });
}

template <class T>
void simple_rnn_forward(const RnnForward<T>& call, std::byte* scratch) {
  with_activations<T>(call.options, false, [&](auto a) {
    using Cell = rnn::Simple<T, decltype(a)>;
    ForwardPass<T, Cell>(call, Cell{a}, scratch).run();
  });
}

template <class T>
void simple_rnn_backward(const RnnBackward<T>& call, std::byte* scratch) {
  with_activations<T>(call.options, false, [&](auto a) {
    using Cell = rnn::Simple<T, decltype(a)>;
    BackwardPass<T, Cell>::run(call, Cell{a}, scratch);
  });
}

#define LAMINA_INSTANTIATE(T)                                              \
  template std::size_t rnn_forward_scratch<T>(const RnnShape&, Dim, bool); \
  template std::size_t rnn_backward_scratch<T>(const RnnShape&, Dim);      \
  template void lstm_forward<T>(const RnnForward<T>&, std::byte*);         \
  template void lstm_backward<T>(const RnnBackward<T>&, std::byte*);       \
  template void simple_rnn_forward<T>(const RnnForward<T>&, std::byte*);   \
  template void simple_rnn_backward<T>(const RnnBackward<T>&, std::byte*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
