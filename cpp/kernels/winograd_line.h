// F(kOut, kTaps) along one axis: tiles of kOut outputs in a row from kOut + kTaps - 1 products a
// pair of channels instead of kOut * kTaps.
#pragma once

#include "kernels/winograd_grid.h"

namespace lamina::winograd {

template <int kOutputs, int kKernel>
struct Line {
  using Axis = Interpolation<kOutputs, kKernel>;
  static constexpr int kOut = Axis::kOut, kIn = Axis::kIn;
  static constexpr int kProducts = kIn, kTaps = kKernel;
  static constexpr Dim kRunScratch = 0;
  // To be worth it: pairs of channels, outputs of a row.
  static constexpr Dim kLeastPairs = 256, kLeastOutputs = 12;
  using Products = Matrices<kProducts>;

  // Every row counts as an image.
  static Grid grid(const ConvShape& s) {
    return {s.batch * s.out[0] * s.out[1], 1, (s.out[2] + kOut - 1) / kOut, s.out[2]};
  }

  // Channels [begin, end) of the inputs of a run of tiles -> row `first` on of `to`.
  static void transform_inputs(const ConvShape& s, const float* x, const OutputRow& run, Dim begin,
                               Dim end, const Products& to, Dim first, float*) {
    transform_cells(s, run, begin, end, to, first,
                    [&](Dim cell) { return x + (run.image * s.in[2] + cell) * s.in_c; });
  }

  // The same for cells that lie anywhere: at(i) is cell i of the run's image.
  template <class At>
  static void transform_cells(const ConvShape& s, const OutputRow& run, Dim begin, Dim end,
                              const Products& to, Dim first, const At& at) {
    const Dim left = run.column * kOut - s.pad[2];
    const float* cells[kRunCells];  // null: outside the image
    for (int i = 0; i < run.count * kOut + kIn - kOut; ++i)
      cells[i] = left + i >= 0 && left + i < s.in[2] ? at(left + i) : nullptr;
    transform_run(cells, run.count, begin, end, to.at(0, first), to.row, to.step);
  }

  // The outputs of a tile that exist, and the first of them.
  struct Cells {
    int count;
    Dim first;  // pixel
    Cells(const ConvShape& s, const OutputRow& run, Dim tile) {
      const Dim column = (run.column + tile) * kOut;
      count = static_cast<int>(std::min<Dim>(kOut, s.out[2] - column));
      first = run.image * s.out[2] + column;
    }
  };

  // Row `first` on of the products `from` -> channels [begin, end) of the outputs of a run of
  // tiles. Of this, and of the inputs of a run, there is one copy: in another one the compiler may
  // join products and sums in another way.
  [[gnu::noinline]] static void transform_outputs(const ConvShape& s, const Products& from,
                                                  Dim first, const OutputRow& run, Dim begin,
                                                  Dim end, const Epilogue<float>& e, float* y) {
    const V least = least_output(e);
    for (Dim tile = 0; tile < run.count; ++tile) {
      const Cells cells(s, run, tile);
      const float* const row = from.at(0, first + tile);
      over_channels(begin, end, [&](Dim c, const auto& load_some, const auto& store_some) {
        const V bias = e.bias == nullptr ? V{} : load_some(e.bias + c);
        V m[kIn], t[kOut];
#pragma GCC unroll 8
        for (int i = 0; i < kIn; ++i) m[i] = load(row + i * from.step + (c - begin));
        Axis::output(m, t);
        float* const to = y + cells.first * s.out_c + c;
#pragma GCC unroll 8
        for (int i = 0; i < kOut; ++i)
          if (i < cells.count) store_some(to + i * s.out_c, at_least(t[i] + bias, least));
      });
    }
  }

  // Channels [begin, end) of the gradients of a run's outputs -> row `first` on of `to`.
  static void transform_output_grads(const ConvShape& s, const float* dy, const OutputRow& run,
                                     Dim begin, Dim end, const Products& to, Dim first) {
    for (Dim tile = 0; tile < run.count; ++tile) {
      const Cells cells(s, run, tile);
      float* const row = to.at(0, first + tile);
      over_channels(begin, end, [&](Dim c, const auto& load_some, const auto&) {
        const float* const from = dy + cells.first * s.out_c + c;
        V t[kOut], m[kIn];
#pragma GCC unroll 8
        for (int i = 0; i < kOut; ++i) t[i] = i < cells.count ? load_some(from + i * s.out_c) : V{};
        Axis::output_grad(t, m);
#pragma GCC unroll 8
        for (int i = 0; i < kIn; ++i) store<float>(row + i * to.step + (c - begin), m[i]);
      });
    }
  }

  // The weights of an input and a vector of outputs, kTaps of them tap_step apart; the way back.
  static void transform_weights(const float* taps, Dim tap_step, float* to, Dim step) {
    V g[kTaps], u[kIn];
#pragma GCC unroll 8
    for (int k = 0; k < kTaps; ++k) g[k] = load(taps + k * tap_step);
    Axis::kernel(g, u);
#pragma GCC unroll 8
    for (int i = 0; i < kIn; ++i) store<float>(to + i * step, u[i]);
  }
  template <class Store>
  static void transform_sums(const float* from, Dim step, const Store& store_some, float* taps,
                             Dim tap_step) {
    V u[kIn], g[kTaps];
#pragma GCC unroll 8
    for (int i = 0; i < kIn; ++i) u[i] = load(from + i * step);
    Axis::kernel_grad(u, g);
#pragma GCC unroll 8
    for (int k = 0; k < kTaps; ++k) store_some(taps + k * tap_step, g[k]);
  }

 private:
  static constexpr int kRunCells = static_cast<int>(kRunTiles) * kOut + kIn - kOut;

  [[gnu::noinline]] static void transform_run(const float* const* cells, Dim tiles, Dim begin,
                                              Dim end, float* to, Dim row, Dim step) {
    for (; tiles > 0; --tiles, cells += kOut, to += row) {
      const float* at[kIn];
      std::copy_n(cells, kIn, at);
      const bool whole = at[0] != nullptr && at[kIn - 1] != nullptr;
      over_channels(begin, end, [&](Dim c, const auto& load_some, const auto&) {
        V d[kIn], t[kIn];
        const auto take = [&](const auto& exists) __attribute__((always_inline)) {
#pragma GCC unroll 8
          for (int i = 0; i < kIn; ++i) d[i] = exists(i) ? load_some(at[i] + c) : V{};
        };
        if (whole)
          take([](int) { return true; });
        else
          take([&](int i) { return at[i] != nullptr; });
        Axis::input(d, t);
#pragma GCC unroll 8
        for (int i = 0; i < kIn; ++i) store<float>(to + i * step + (c - begin), t[i]);
      });
    }
  }
};

}  // namespace lamina::winograd
