#include "kernels/gru.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/rnn_rows.h"

namespace lamina {
namespace {

using namespace rnn;

// The rows [first, first + rows) of the batch, with what a step of them works on.
template <class T>
struct ForwardSlice {
  Dim first, rows;
  T* h;         // [rows, units]: the state
  T* entering;  // [rows, units]: the state times a recurrent mask
  T* let_in;    // [rows, units]: the state behind the reset gate
  T* output;    // [rows, units]: the last output, which differs from h under a mask
  T* product;   // [rows, 3 * units]
};

template <class T>
struct ForwardScratch {
  T* packed_kernel;
  T* packed_recurrent[kGruGates];
  T *h, *entering, *let_in, *output, *product;  // for the whole batch
  std::size_t bytes;

  ForwardScratch(const RnnShape& s, std::byte* memory) {
    Carver carve(memory);
    const Dim wide = kGruGates * s.units, state = s.batch * s.units;
    packed_kernel = carve.take<T>(packed_b_size<T>(wide, s.features));
    for (T*& gate : packed_recurrent) gate = carve.take<T>(packed_b_size<T>(s.units, s.units));
    h = carve.take<T>(state);
    entering = carve.take<T>(state);
    let_in = carve.take<T>(state);
    output = carve.take<T>(state);
    product = carve.take<T>(s.batch * wide);
    bytes = carve.used();
  }
  ForwardSlice<T> slice(Dim first, Dim last, const RnnShape& s) const {
    const Dim at = first * s.units;
    return {first,
            last - first,
            h + at,
            entering + at,
            let_in + at,
            output + at,
            product + at * kGruGates};
  }
};

template <class T, class Cell>
class ForwardPass {
 public:
  ForwardPass(const GruForward<T>& call, const Cell& cell, std::byte* scratch)
      : call_(call), s_(call.shape), cell_(cell), scratch_(s_, scratch) {}

  void run() const {
    if (s_.batch == 0 || s_.units == 0) return;
    pack_b<T>(wide(), s_.features, call_.kernel, wide(), 1, scratch_.packed_kernel);
    for (Dim g = 0; g < kGruGates; ++g)
      pack_b<T>(s_.units, s_.units, call_.recurrent + g * s_.units, wide(), 1,
                scratch_.packed_recurrent[g]);
    const Slices slices(s_.batch);
    parallel_chunks(slices.count, [&](std::int64_t i) {
      run_slice(scratch_.slice(slices.begin(i), slices.end(i), s_));
    });
  }

 private:
  using Slice = ForwardSlice<T>;
  Dim wide() const { return kGruGates * s_.units; }
  Dim kept() const { return gru_kept_gates(call_.reset_after) * s_.units; }
  // The input step that is processed as number `step`.
  Dim time(Dim step) const { return call_.options.go_backwards ? s_.steps - 1 - step : step; }

  void run_slice(const Slice& slice) const {
    const Dim count = slice.rows * s_.units;
    copy_row(slice.h, call_.h0 + slice.first * s_.units, count);
    if (call_.mask != nullptr) zero_row(slice.output, count);
    // Projected inputs go where the gates are kept, else into memory of the thread.
    const Dim block = std::min(s_.steps, kProjectedSteps);
    T* projected = call_.gates == nullptr ? workspace<T>(2, slice.rows * block * kept()) : nullptr;
    for (Dim step = 0; step < s_.steps; step += block) {
      const Dim steps = std::min(block, s_.steps - step);
      const Dim from = call_.options.go_backwards ? s_.steps - step - steps : step;
      T* z = projected;
      Dim row_stride = steps * kept();
      if (z == nullptr) {
        row_stride = s_.steps * kept();
        z = call_.gates + slice.first * row_stride + from * kept();
      }
      for (Dim i = 0; i < slice.rows; ++i)
        gemm_packed_serial<T>(steps, wide(), s_.features,
                              call_.x + ((slice.first + i) * s_.steps + from) * s_.features,
                              s_.features, scratch_.packed_kernel, z + i * row_stride, kept(),
                              {.bias = call_.bias});
      for (Dim k = 0; k < steps; ++k)
        run_step(slice, step + k, z + (time(step + k) - from) * kept(), row_stride);
    }
    finish(slice);
  }

  // z: the projected inputs of this step, one row every z_stride.
  void run_step(const Slice& slice, Dim step, T* z, Dim z_stride) const {
    const Dim n = s_.units;
    multiply(slice, 0, slice.h);
    multiply(slice, 1, slice.h);
    if (!call_.reset_after) {
      for (Dim i = 0; i < slice.rows; ++i)
        cell_.open_reset(n, z + i * z_stride, slice.product + i * wide(), slice.h + i * n,
                         slice.let_in + i * n);
    }
    multiply(slice, 2, call_.reset_after ? slice.h : slice.let_in);
    for (Dim i = 0; i < slice.rows; ++i) run_row(slice, i, step, z + i * z_stride);
  }

  // One gate's part of the recurrent product.
  void multiply(const Slice& slice, Dim gate, const T* state) const {
    const Dim n = s_.units;
    if (call_.recurrent_masks != nullptr) {
      const T* mask = call_.recurrent_masks + (gate * s_.batch + slice.first) * n;
      multiply_row(slice.entering, state, mask, slice.rows * n);
      state = slice.entering;
    }
    const T* bias = call_.recurrent_bias == nullptr ? nullptr : call_.recurrent_bias + gate * n;
    gemm_packed_serial<T>(slice.rows, n, n, state, n, scratch_.packed_recurrent[gate],
                          slice.product + gate * n, wide(), {.bias = bias});
  }

  void run_row(const Slice& slice, Dim i, Dim step, T* z) const {
    const Dim n = s_.units, row = slice.first + i, at = row * s_.steps + time(step);
    T *h = slice.h + i * n, *output = h;
    const T* product = slice.product + i * wide();
    if (call_.before != nullptr) copy_row(call_.before + at * n, h, n);
    const bool valid = call_.mask == nullptr || call_.mask[at];
    if (valid) {
      if (call_.reset_after) {
        cell_.forward_after(n, z, product, h);
      } else {
        cell_.forward_before(n, z, product, h);
      }
    } else if (call_.reset_after) {
      zero_row(z + kGruGates * n, n);  // an output holds no leftovers
    }
    if (call_.mask != nullptr) {
      output = slice.output + i * n;
      if (valid) copy_row(output, h, n);
      if (!valid && call_.options.zero_masked_output) zero_row(output, n);
    }
    if (call_.y != nullptr && call_.options.return_sequences)
      copy_row(call_.y + (row * s_.steps + step) * n, output, n);
  }

  void finish(const Slice& slice) const {
    const Dim count = slice.rows * s_.units, at = slice.first * s_.units;
    if (call_.y != nullptr && !call_.options.return_sequences)
      copy_row(call_.y + at, call_.mask != nullptr ? slice.output : slice.h, count);
    if (call_.h_last != nullptr) copy_row(call_.h_last + at, slice.h, count);
  }

  const GruForward<T>& call_;
  const RnnShape& s_;
  const Cell cell_;
  const ForwardScratch<T> scratch_;
};

template <class T>
struct BackwardSlice {
  Dim first, rows;
  T* dh;       // [rows, units]: of the state after the step
  T* step;     // [rows, units]: all that reaches this step's h
  T* held;     // [rows, units]: of the outputs that repeat an earlier one
  T* carried;  // [rows, units]: of the state before the step
  T* through;  // [rows, units]: of what entered a product
};

template <class T>
struct BackwardScratch {
  T* packed[kGruGates];
  T *dh, *step, *held, *carried, *through;
  std::size_t bytes;

  BackwardScratch(const RnnShape& s, std::byte* memory) {
    Carver carve(memory);
    const Dim state = s.batch * s.units;
    for (T*& gate : packed) gate = carve.take<T>(packed_b_size<T>(s.units, s.units));
    dh = carve.take<T>(state);
    step = carve.take<T>(state);
    held = carve.take<T>(state);
    carried = carve.take<T>(state);
    through = carve.take<T>(state);
    bytes = carve.used();
  }
  BackwardSlice<T> slice(Dim first, Dim last, const RnnShape& s) const {
    const Dim at = first * s.units;
    return {first, last - first, dh + at, step + at, held + at, carried + at, through + at};
  }
};

template <class T, class Cell>
class BackwardPass {
 public:
  BackwardPass(const GruBackward<T>& call, const Cell& cell, std::byte* scratch)
      : call_(call), s_(call.shape), cell_(cell), scratch_(s_, scratch) {}

  void run() const {
    if (s_.batch == 0 || s_.units == 0) return;
    for (Dim g = 0; g < kGruGates; ++g)  // transposed
      pack_b<T>(s_.units, s_.units, call_.recurrent + g * s_.units, 1, kGruGates * s_.units,
                scratch_.packed[g]);
    const Slices slices(s_.batch);
    parallel_chunks(slices.count, [&](std::int64_t i) {
      run_slice(scratch_.slice(slices.begin(i), slices.end(i), s_));
    });
  }

 private:
  using Slice = BackwardSlice<T>;
  Dim kept() const { return gru_kept_gates(call_.reset_after) * s_.units; }
  Dim time(Dim step) const { return call_.options.go_backwards ? s_.steps - 1 - step : step; }
  bool is_valid(Dim at) const { return call_.mask == nullptr || call_.mask[at]; }

  void run_slice(const Slice& slice) const {
    const Dim n = s_.units, count = slice.rows * n, at = slice.first * n;
    copy_or_zero(slice.dh, call_.dh_last == nullptr ? nullptr : call_.dh_last + at, count);
    zero_row(slice.held, count);
    for (Dim step = s_.steps - 1; step >= 0; --step) {
      const Dim t = time(step);
      for (Dim i = 0; i < slice.rows; ++i) run_row(slice, i, step);
      if (call_.reset_after) {
        add_product(slice, 2, t);
      } else {
        close_reset(slice, t);
      }
      add_product(slice, 1, t);
      add_product(slice, 0, t);
      for (Dim i = 0; i < slice.rows; ++i)
        if (is_valid((slice.first + i) * s_.steps + t))
          copy_row(slice.dh + i * n, slice.carried + i * n, n);
    }
    if (call_.dh0 != nullptr) copy_row(call_.dh0 + at, slice.dh, count);
  }

  // The gradient of the output of one row at one step; null: none.
  const T* output_gradient(Dim row, Dim step) const {
    if (call_.dy == nullptr) return nullptr;
    if (call_.options.return_sequences) return call_.dy + (row * s_.steps + step) * s_.units;
    return step == s_.steps - 1 ? call_.dy + row * s_.units : nullptr;
  }

  void run_row(const Slice& slice, Dim i, Dim step) const {
    const Dim n = s_.units, row = slice.first + i, at = row * s_.steps + time(step);
    T *dz = call_.dz + at * kept(), *held = slice.held + i * n, *carried = slice.carried + i * n;
    const T* dy = output_gradient(row, step);
    if (!is_valid(at)) {
      zero_row(dz, kept());
      zero_row(carried, n);
      if (dy != nullptr && !call_.options.zero_masked_output) add_row(held, dy, n);
      return;
    }
    T* dh = slice.step + i * n;
    copy_row(dh, slice.dh + i * n, n);
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

  // dz of one gate times its kernel transposed, and the recurrent mask.
  void go_through(const Slice& slice, Dim gate, Dim t, T* target, bool accumulate) const {
    const Dim n = s_.units;
    const T* dz = call_.dz + (slice.first * s_.steps + t) * kept() + gate * n;
    gemm_packed_serial<T>(slice.rows, n, n, dz, s_.steps * kept(), scratch_.packed[gate], target, n,
                          {.accumulate = accumulate});
    if (call_.recurrent_masks != nullptr)
      multiply_row(target, target, call_.recurrent_masks + (gate * s_.batch + slice.first) * n,
                   slice.rows * n);
  }

  void add_product(const Slice& slice, Dim gate, Dim t) const {
    if (call_.recurrent_masks == nullptr) {
      go_through(slice, gate, t, slice.carried, true);
      return;
    }
    go_through(slice, gate, t, slice.through, false);
    add_row(slice.carried, slice.through, slice.rows * s_.units);
  }

  // Reset before: from the candidate through its product to the reset gate and the state.
  void close_reset(const Slice& slice, Dim t) const {
    const Dim n = s_.units;
    go_through(slice, 2, t, slice.through, false);
    for (Dim i = 0; i < slice.rows; ++i) {
      const Dim at = (slice.first + i) * s_.steps + t;
      if (is_valid(at))
        cell_.close_reset(n, call_.gates + at * kept(), call_.before + at * n,
                          slice.through + i * n, call_.dz + at * kept(), slice.carried + i * n);
    }
  }

  const GruBackward<T>& call_;
  const RnnShape& s_;
  const Cell cell_;
  const BackwardScratch<T> scratch_;
};

}  // namespace

template <class T>
std::size_t gru_forward_scratch(const RnnShape& shape) {
  return ForwardScratch<T>(shape, nullptr).bytes;
}

template <class T>
std::size_t gru_backward_scratch(const RnnShape& shape) {
  return BackwardScratch<T>(shape, nullptr).bytes;
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
    BackwardPass<T, Cell>(call, Cell{a}, scratch).run();
  });
}

#define LAMINA_INSTANTIATE(T)                                     \
  template std::size_t gru_forward_scratch<T>(const RnnShape&);   \
  template std::size_t gru_backward_scratch<T>(const RnnShape&);  \
  template void gru_forward<T>(const GruForward<T>&, std::byte*); \
  template void gru_backward<T>(const GruBackward<T>&, std::byte*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
