#include "kernels/gru.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/rnn_gradients.h"
#include "kernels/rnn_inputs.h"
#include "kernels/rnn_product.h"

namespace lamina {
namespace {

using namespace rnn;

// What a step of a slice works on.
template <class T>
struct ForwardSlice : Slice {
  T* h;         // [rows, units]: the state
  T* entering;  // [rows, units]: the state times a recurrent mask
  T* let_in;    // [rows, units]: the state behind the reset gate
  T* output;    // [rows, units]: the last output, which differs from h under a mask
  T* product;   // [rows, 3 * units]
  const T *packed_kernel, *packed_recurrent;
};

template <class T>
struct ForwardScratch {
  T* packed;                                    // weights that threads share
  T* projected;                                 // of the distinct words, or of a block of steps
  T *h, *entering, *let_in, *output, *product;  // for the whole batch
  std::size_t bytes;

  ForwardScratch(const RnnShape& s, bool keeps, std::byte* memory) {
    Carver carve(memory);
    const Dim wide = kGruGates * s.units, state = s.batch * s.units;
    packed = carve.take<T>(shared_weights(packed_b_size<T>(wide, s.features) +
                                          PackedGates<T>::size(s.units, kGruGates)));
    projected = carve.take<T>(projected_elements(s, wide, keeps));
    h = carve.take<T>(state);
    entering = carve.take<T>(state);
    let_in = carve.take<T>(state);
    output = carve.take<T>(state);
    product = carve.take<T>(s.batch * wide);
    bytes = carve.used();
  }
  ForwardSlice<T> slice(const Slice& slice, const RnnShape& s) const {
    const Dim at = slice.first * s.units;
    return {slice,   h + at, entering + at, let_in + at, output + at, product + at * kGruGates,
            nullptr, nullptr};
  }
};

// Gates whose recurrent products are one product, because they see the same state.
struct Group {
  Dim first, count;
};
// With the reset gate before the candidate's product, that one sees a state of its own; under
// recurrent masks every gate does.
template <class Body>
void each_gate_group(bool reset_after, bool masked, const Body& body) {
  if (masked) {
    for (Dim gate = 0; gate < kGruGates; ++gate) body(Group{gate, 1});
  } else if (reset_after) {
    body(Group{0, kGruGates});
  } else {
    body(Group{0, 2});
    body(Group{2, 1});
  }
}

template <class T, class Cell>
class ForwardPass {
 public:
  ForwardPass(const GruForward<T>& call, const Cell& cell, std::byte* scratch)
      : call_(call),
        s_(call.shape),
        cell_(cell),
        scratch_(s_, call.gates != nullptr, scratch),
        packed_(s_.units, kGruGates, call.recurrent),
        streams_(call.gates != nullptr &&
                 streams_kept<T>(s_, kept() + s_.units, {call.gates, call.before})) {}

  void run() const {
    if (s_.batch == 0 || s_.units == 0) return;
    if (call_.words != nullptr)
      project_words(*call_.words, s_.features, wide(), call_.x, call_.kernel, scratch_.packed,
                    call_.bias, scratch_.projected);
    const bool packs = call_.words == nullptr && !projects_unpacked(s_);
    const Dim kernel = packs ? packed_b_size<T>(wide(), s_.features) : 0;
    const Dim recurrent = PackedGates<T>::size(s_.units, kGruGates);
    const auto pack = [&](T* to) {
      if (kernel > 0) pack_b<T>(wide(), s_.features, call_.kernel, wide(), 1, to);
      each_group([&](Group g) { packed_.pack(g.first, g.count, to + kernel); });
    };
    const PackedWeights packed(kernel + recurrent, scratch_.packed, pack);
    const Slices slices(s_.batch);
    parallel_chunks(slices.count, [&](std::int64_t i) {
      ForwardSlice<T> slice = scratch_.slice(slices[i], s_);
      slice.packed_kernel = packed.here();
      slice.packed_recurrent = slice.packed_kernel + kernel;
      run_slice(slice);
    });
  }

 private:
  using Work = ForwardSlice<T>;
  Dim wide() const { return kGruGates * s_.units; }
  Dim kept() const { return gru_kept_gates(call_.reset_after) * s_.units; }
  // The input step that is processed as number `step`.
  Dim time(Dim step) const { return call_.options.go_backwards ? s_.steps - 1 - step : step; }
  template <class Body>
  void each_group(const Body& body) const {
    each_gate_group(call_.reset_after, call_.recurrent_masks != nullptr, body);
  }

  void run_slice(const Work& slice) const {
    const Dim count = slice.rows * s_.units;
    copy_row(slice.h, call_.h0 + slice.first * s_.units, count);
    if (call_.mask != nullptr) zero_row(slice.output, count);
    run_projected(call_, slice, wide(), slice.packed_kernel, scratch_.projected,
                  [&](Dim step, const auto& z_at) { run_step(slice, step, z_at); });
    if (streams_) finish_streams();
    finish(slice);
  }

  // z_at(i, t): the projected input of row i of the slice at time t.
  template <class Projected>
  void run_step(const Work& slice, Dim step, const Projected& z_at) const {
    const Dim n = s_.units, t = time(step);
    Wanted<T> wanted;
    if (call_.words != nullptr)  // their projections lie scattered, where any thread wrote them
      for (Dim i = 0; i < slice.rows; ++i) wanted.add(z_at(i, t), wide());
    each_group([&](Group g) {
      const bool behind_reset = g.first == 2 && !call_.reset_after;
      if (behind_reset)
        for (Dim i = 0; i < slice.rows; ++i)
          cell_.open_reset(n, z_at(i, t), slice.product + i * wide(), slice.h + i * n,
                           slice.let_in + i * n);
      multiply(slice, g, behind_reset ? slice.let_in : slice.h, step, wanted);
      wanted = {};
    });
    for (Dim i = 0; i < slice.rows; ++i) run_row(slice, i, step, z_at(i, t));
  }

  // One group's part of the recurrent product.
  void multiply(const Work& slice, Group g, const T* state, Dim step,
                const Wanted<T>& wanted) const {
    const Dim n = s_.units;
    if (call_.recurrent_masks != nullptr) {
      const T* mask = call_.recurrent_masks + (g.first * s_.batch + slice.first) * n;
      multiply_row(slice.entering, state, mask, slice.rows * n);
      state = slice.entering;
    }
    const T* bias = call_.recurrent_bias == nullptr ? nullptr : call_.recurrent_bias + g.first * n;
    multiply_step<T>(slice.rows, g.count * n, n, state, n,
                     slice.packed_recurrent + packed_.at(g.first), slice.product + g.first * n,
                     wide(), bias, false, step % 2 == 0, wanted);
  }

  void run_row(const Work& slice, Dim i, Dim step, const T* z) const {
    const Dim n = s_.units, t = time(step), kept_at = slice.kept(i, t, s_.steps);
    T *const h = slice.h + i * n, *const held = slice.output + i * n;
    T* const y =
        call_.options.return_sequences ? at(call_.y, slice.place(i, step, s_.steps)) : nullptr;
    const Kept<T> keep{.streams = streams_,
                       .gates = call_.gates == nullptr ? nullptr : call_.gates + kept_at * kept(),
                       .cell = nullptr,
                       .before = at(call_.before, kept_at),
                       .output = call_.mask == nullptr ? y : held};
    if (call_.mask != nullptr && !call_.mask[slice.place(i, t, s_.steps)]) {
      if (keep.gates != nullptr) zero_row(keep.gates, kept());  // an output holds no leftovers
      if (keep.before != nullptr) copy_row(keep.before, h, n);
      if (call_.options.zero_masked_output) zero_row(held, n);
    } else if (call_.reset_after) {
      cell_.forward_after(n, z, slice.product + i * wide(), h, keep);
    } else {
      cell_.forward_before(n, z, slice.product + i * wide(), h, keep);
    }
    if (call_.mask != nullptr && y != nullptr) copy_row(y, held, n);
  }

  // The row of a step in [places, units], null if there is no such buffer.
  T* at(T* sequence, Dim place) const {
    return sequence == nullptr ? nullptr : sequence + place * s_.units;
  }

  void finish(const Work& slice) const {
    const Dim count = slice.rows * s_.units, at = slice.first * s_.units;
    if (call_.y != nullptr && !call_.options.return_sequences)
      copy_row(call_.y + at, call_.mask != nullptr ? slice.output : slice.h, count);
    if (call_.h_last != nullptr) copy_row(call_.h_last + at, slice.h, count);
  }

  const GruForward<T>& call_;
  const RnnShape& s_;
  const Cell cell_;
  const ForwardScratch<T> scratch_;
  const PackedGates<T> packed_;
  const bool streams_;
};

template <class T>
struct BackwardSlice : Slice {
  T* dh;       // [rows, units]: of the state after the step
  T* held;     // [rows, units]: of the outputs that repeat an earlier one
  T* carried;  // [rows, units]: of the state before the step; without a mask the same as dh
  T* through;  // [rows, units]: of what entered a product
  const T* packed;
};

template <class T>
struct GruBackwardScratch {
  T* let_in;  // [places, units]: the state behind the reset gate; reset before only
  BackwardScratch<T> rest;
  std::size_t bytes;

  GruBackwardScratch(const RnnShape& s, bool reset_after, std::byte* memory)
      : let_in(reset_after ? nullptr : reinterpret_cast<T*>(memory)),
        rest(s, kGruGates, gru_kept_gates(reset_after), PackedGates<T>::size(s.units, kGruGates),
             memory == nullptr ? nullptr : memory + let_in_bytes(s, reset_after)),
        bytes(let_in_bytes(s, reset_after) + rest.bytes) {}
  static std::size_t let_in_bytes(const RnnShape& s, bool reset_after) {
    return reset_after ? 0 : aligned_bytes<T>(s.places() * s.units);
  }
};

template <class T, class Cell>
class BackwardPass {
 public:
  BackwardPass(const GruBackward<T>& call, const Cell& cell, T* let_in)
      : call_(call),
        s_(call.shape),
        cell_(cell),
        let_in_(let_in),
        packed_(s_.units, kGruGates, call.recurrent) {}

  static void run(const GruBackward<T>& call, const Cell& cell, std::byte* memory) {
    const GruBackwardScratch<T> scratch(call.shape, call.reset_after, memory);
    const BackwardPass pass(call, cell, scratch.let_in);
    const RnnGradients<T> products{.shape = call.shape,
                                   .gates = kGruGates,
                                   .kept = gru_kept_gates(call.reset_after),
                                   .go_backwards = call.options.go_backwards,
                                   .dz = call.dz,
                                   .x = call.x,
                                   .words = call.words,
                                   .kernel = call.kernel,
                                   .before = call.before,
                                   .let_in = scratch.let_in,
                                   .recurrent_masks = call.recurrent_masks,
                                   .dx = call.dx,
                                   .dkernel = call.dkernel,
                                   .drecurrent = call.drecurrent,
                                   .dbias = call.dbias,
                                   .drecurrent_bias = call.drecurrent_bias};
    run_backward(pass, products, scratch.rest);
  }

  // ---- For run_backward.
  using Work = BackwardSlice<T>;
  Dim packed_size() const { return PackedGates<T>::size(s_.units, kGruGates); }
  void pack(T* to) const {
    each_group([&](Group g) { packed_.pack_transposed(g.first, g.count, to); });
  }
  Work work(const Slice& slice, T* state, const T* packed) const {
    const Dim size = slice.rows * s_.units;
    return {slice,
            state,
            state + size,
            call_.mask != nullptr ? state + 2 * size : state,
            state + 3 * size,
            packed};
  }
  void start(const Work& slice) const {
    const Dim count = slice.rows * s_.units;
    copy_or_zero(slice.dh,
                 call_.dh_last == nullptr ? nullptr : call_.dh_last + slice.first * s_.units,
                 count);
    zero_row(slice.held, count);
  }
  void run(const Work& slice, Dim begin, Dim end) const {
    for (Dim step = end - 1; step >= begin; --step) run_step(slice, step);
  }
  void finish(const Work& slice) const {
    if (call_.dh0 != nullptr)
      copy_row(call_.dh0 + slice.first * s_.units, slice.dh, slice.rows * s_.units);
  }

 private:
  Dim kept() const { return gru_kept_gates(call_.reset_after) * s_.units; }
  Dim time(Dim step) const { return call_.options.go_backwards ? s_.steps - 1 - step : step; }
  template <class Body>
  void each_group(const Body& body) const {
    each_gate_group(call_.reset_after, call_.recurrent_masks != nullptr, body);
  }
  bool is_valid(const Slice& slice, Dim i, Dim t) const {
    return call_.mask == nullptr || call_.mask[slice.place(i, t, s_.steps)];
  }

  void run_step(const Work& slice, Dim step) const {
    const Dim n = s_.units, t = time(step);
    for (Dim i = 0; i < slice.rows; ++i) run_row(slice, i, step);
    Wanted<T> wanted = wanted_before(slice, step);
    if (!call_.reset_after) close_reset(slice, t);
    each_group([&](Group g) {
      if (!call_.reset_after && g.first == 2) return;
      add_product(slice, g, t, wanted);
      wanted = {};
    });
    for (Dim i = 0; i < slice.rows && call_.mask != nullptr; ++i)
      if (is_valid(slice, i, t)) copy_row(slice.dh + i * n, slice.carried + i * n, n);
  }

  // The gradient of the output of one row at one step; null: none.
  const T* output_gradient(Dim row, Dim step) const {
    if (call_.dy == nullptr) return nullptr;
    if (call_.options.return_sequences) return call_.dy + (row * s_.steps + step) * s_.units;
    return step == s_.steps - 1 ? call_.dy + row * s_.units : nullptr;
  }

  void run_row(const Work& slice, Dim i, Dim step) const {
    const Dim n = s_.units, row = slice.first + i, t = time(step);
    const Dim at = slice.kept(i, t, s_.steps);
    T *dz = call_.dz + at * kept(), *held = slice.held + i * n, *carried = slice.carried + i * n;
    const T* dy = output_gradient(row, step);
    if (step > 0 && dy != nullptr && call_.options.return_sequences) ask_for(dy - n, n);
    if (!is_valid(slice, i, t)) {
      zero_row(dz, kept());
      zero_row(carried, n);
      if (dy != nullptr && !call_.options.zero_masked_output) add_row(held, dy, n);
      return;
    }
    T* dh = slice.dh + i * n;  // whose place the gradient of the state before takes at the end
    if (dy != nullptr) add_row(dh, dy, n);
    if (call_.mask != nullptr) {
      add_row(dh, held, n);
      zero_row(held, n);
    }
    const T *gates = call_.gates + at * kept(), *before = call_.before + at * n;
    if (call_.reset_after) {
      cell_.backward_after(n, gates, before, dh, dz, carried);
    } else {
      cell_.backward_before(n, gates, before, dh, dz, carried);
    }
  }

  // What the step before will read.
  Wanted<T> wanted_before(const Slice& slice, Dim step) const {
    Wanted<T> wanted;
    if (step == 0) return wanted;
    const Dim at = slice.kept(0, time(step - 1), s_.steps);
    wanted.add(call_.gates + at * kept(), slice.rows * kept());
    wanted.add(call_.before + at * s_.units, slice.rows * s_.units);
    return wanted;
  }

  // dz of a group times its kernel transposed, and the recurrent mask.
  void go_through(const Work& slice, Group g, Dim t, T* target, bool accumulate,
                  const Wanted<T>& wanted) const {
    const Dim n = s_.units;
    const T* dz = call_.dz + slice.kept(0, t, s_.steps) * kept() + g.first * n;
    multiply_step<T>(slice.rows, n, g.count * n, dz, kept(), {slice.packed + packed_.at(g.first)},
                     target, n, nullptr, accumulate, t % 2 == 0, wanted);
    if (call_.recurrent_masks != nullptr)
      multiply_row(target, target, call_.recurrent_masks + (g.first * s_.batch + slice.first) * n,
                   slice.rows * n);
  }

  void add_product(const Work& slice, Group g, Dim t, const Wanted<T>& wanted) const {
    if (call_.recurrent_masks == nullptr) {
      go_through(slice, g, t, slice.carried, true, wanted);
      return;
    }
    go_through(slice, g, t, slice.through, false, wanted);
    add_row(slice.carried, slice.through, slice.rows * s_.units);
  }

  // Reset before: from the candidate through its product to the reset gate and the state.
  void close_reset(const Work& slice, Dim t) const {
    const Dim n = s_.units;
    go_through(slice, {2, 1}, t, slice.through, false, {});
    for (Dim i = 0; i < slice.rows; ++i) {
      const Dim at = slice.kept(i, t, s_.steps);
      if (is_valid(slice, i, t)) {
        cell_.close_reset(n, call_.gates + at * kept(), call_.before + at * n,
                          slice.through + i * n, call_.dz + at * kept(), slice.carried + i * n,
                          let_in_ + at * n);
      } else {
        zero_row(let_in_ + at * n, n);
      }
    }
  }

  const GruBackward<T>& call_;
  const RnnShape& s_;
  const Cell cell_;
  T* const let_in_;
  const PackedGates<T> packed_;
};

}  // namespace

template <class T>
std::size_t gru_forward_scratch(const RnnShape& shape, bool keeps) {
  return ForwardScratch<T>(shape, keeps, nullptr).bytes;
}

template <class T>
std::size_t gru_backward_scratch(const RnnShape& shape, bool reset_after) {
  return GruBackwardScratch<T>(shape, reset_after, nullptr).bytes;
}

template <class T>
void gru_forward(const GruForward<T>& call, std::byte* scratch) {
  with_activations<T>(call.options, true, [&](auto a) {
    using Cell = Gru<T, decltype(a)>;
    ForwardPass<T, Cell>(call, Cell{a}, scratch).run();
  });
}

template <class T>
void gru_backward(const GruBackward<T>& call, std::byte* scratch) {
  with_activations<T>(call.options, true, [&](auto a) {
    using Cell = Gru<T, decltype(a)>;
    BackwardPass<T, Cell>::run(call, Cell{a}, scratch);
  });
}

#define LAMINA_INSTANTIATE(T)                                          \
  template std::size_t gru_forward_scratch<T>(const RnnShape&, bool);  \
  template std::size_t gru_backward_scratch<T>(const RnnShape&, bool); \
  template void gru_forward<T>(const GruForward<T>&, std::byte*);      \
  template void gru_backward<T>(const GruBackward<T>&, std::byte*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
