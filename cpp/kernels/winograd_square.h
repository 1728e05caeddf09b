// F(4x4, 3x3): tiles of 4 x 4 outputs from 36 products a pair of channels instead of 144.
#pragma once

#include "kernels/winograd_grid.h"

namespace lamina::winograd {

struct Square {
  using Axis = Interpolation<4, 3>;
  static constexpr int kOut = Axis::kOut, kIn = Axis::kIn;
  static constexpr int kProducts = kIn * kIn, kTaps = 9;
  static constexpr Dim kRunCells = kRunTiles * kOut + 2;  // columns of the image that a run reads
  static constexpr Dim kRunScratch = kRunCells * kIn * kLane;
  // To be worth it: pairs of channels, outputs of an image.
  static constexpr Dim kLeastPairs = 64, kLeastOutputs = 36;
  using Products = Matrices<kProducts>;

  // Planes of a volume count as images.
  static Grid grid(const ConvShape& s) {
    return {s.batch * s.out[0], (s.out[1] + kOut - 1) / kOut, (s.out[2] + kOut - 1) / kOut,
            s.out[1] * s.out[2]};
  }

  // Channels [begin, end) of the inputs of a run of tiles -> row `first` on of `to`. Too many rows
  // are read at a time for the processor to see what comes next, so the tiles below are asked for
  // early: the first of them follow soon, and what lies beyond the image is not read.
  static void transform_inputs(const ConvShape& s, const float* x, const OutputRow& run, Dim begin,
                               Dim end, const Products& to, Dim first, float* line) {
    const Dim top = run.row * kOut - s.pad[1], left = run.column * kOut - s.pad[2];
    const Dim cells = run.count * kOut + 2;
    const Dim inner = std::clamp<Dim>(-left, 0, cells);
    const Dim outer = std::clamp(s.in[2] - left, inner, cells);
    static constexpr float kZeros[kLane] = {};
    const Dim below = kOut * s.in[2] * s.in_c;
    over_channels(begin, end, [&](Dim c, const auto& load_some, const auto&) {
      const float* at[kIn];  // rows outside the image stand still on zeros
      Dim step[kIn];
      for (int i = 0; i < kIn; ++i) {
        const Dim row = top + i;
        const bool inside = row >= 0 && row < s.in[1];
        at[i] = inside ? x + ((run.image * s.in[1] + row) * s.in[2] + left + inner) * s.in_c + c
                       : kZeros;
        step[i] = inside ? s.in_c : 0;
      }
      std::fill(line, line + inner * kIn * kLane, 0.f);
      std::fill(line + outer * kIn * kLane, line + cells * kIn * kLane, 0.f);
      for (Dim cell = inner; cell < outer; ++cell) {
        V d[kIn], t[kIn];
#pragma GCC unroll 6
        for (int i = 0; i < kIn; ++i) {
          d[i] = load_some(at[i]);
          if (i >= kIn - kOut) __builtin_prefetch(at[i] + below, 0, kIntoL2);
          at[i] += step[i];
        }
        Axis::input(d, t);
#pragma GCC unroll 6
        for (int i = 0; i < kIn; ++i) store<float>(line + (cell * kIn + i) * kLane, t[i]);
      }
      for (Dim tile = 0; tile < run.count; ++tile)
        for (int i = 0; i < kIn; ++i) {
          V d[kIn], t[kIn];
#pragma GCC unroll 6
          for (int j = 0; j < kIn; ++j) d[j] = load(line + ((tile * kOut + j) * kIn + i) * kLane);
          Axis::input(d, t);
          float* const at = to.at(i * kIn, first + tile) + (c - begin);
#pragma GCC unroll 6
          for (int j = 0; j < kIn; ++j) store<float>(at + j * to.step, t[j]);
        }
    });
  }

  // The outputs of a tile that exist, and the first of them.
  struct Cells {
    int rows, columns;
    Dim first;  // pixel
    Cells(const ConvShape& s, const OutputRow& run, Dim tile) {
      const Dim row = run.row * kOut, column = (run.column + tile) * kOut;
      rows = static_cast<int>(std::min<Dim>(kOut, s.out[1] - row));
      columns = static_cast<int>(std::min<Dim>(kOut, s.out[2] - column));
      first = (run.image * s.out[1] + row) * s.out[2] + column;
    }
  };

  // Row `first` on of the products `from` -> channels [begin, end) of the outputs of a run of
  // tiles.
  static void transform_outputs(const ConvShape& s, const Products& from, Dim first,
                                const OutputRow& run, Dim begin, Dim end, const Epilogue<float>& e,
                                float* y) {
    const Dim row_step = s.out[2] * s.out_c;
    const V least = least_output(e);
    over_channels(begin, end, [&](Dim c, const auto& load_some, const auto& store_some) {
      const V bias = e.bias == nullptr ? V{} : load_some(e.bias + c);
      for (Dim tile = 0; tile < run.count; ++tile) {
        const float* const at = from.at(0, first + tile) + (c - begin);
        V half[kIn][kOut];
#pragma GCC unroll 6
        for (int i = 0; i < kIn; ++i) {
          V m[kIn];
#pragma GCC unroll 6
          for (int j = 0; j < kIn; ++j) m[j] = load(at + (i * kIn + j) * from.step);
          Axis::output(m, half[i]);
        }
        const Cells cells(s, run, tile);
        float* const to = y + cells.first * s.out_c + c;
        const auto finish = [&](int rows, int columns) __attribute__((always_inline)) {
#pragma GCC unroll 4
          for (int j = 0; j < kOut; ++j) {
            V m[kIn], t[kOut];
#pragma GCC unroll 6
            for (int i = 0; i < kIn; ++i) m[i] = half[i][j];
            Axis::output(m, t);
#pragma GCC unroll 4
            for (int i = 0; i < kOut; ++i)
              if (i < rows && j < columns)
                store_some(to + i * row_step + j * s.out_c, at_least(t[i] + bias, least));
          }
        };
        if (cells.rows == kOut && cells.columns == kOut)
          finish(kOut, kOut);
        else
          finish(cells.rows, cells.columns);
      }
    });
  }

  // Channels [begin, end) of the gradients of a run's outputs -> row `first` on of `to`.
  static void transform_output_grads(const ConvShape& s, const float* dy, const OutputRow& run,
                                     Dim begin, Dim end, const Products& to, Dim first) {
    const Dim row_step = s.out[2] * s.out_c;
    over_channels(begin, end, [&](Dim c, const auto& load_some, const auto&) {
      for (Dim tile = 0; tile < run.count; ++tile) {
        const Cells cells(s, run, tile);
        const float* const from = dy + cells.first * s.out_c + c;
        V half[kIn][kOut];
        const auto take = [&](int rows, int columns) __attribute__((always_inline)) {
#pragma GCC unroll 4
          for (int j = 0; j < kOut; ++j) {
            V t[kOut], m[kIn];
#pragma GCC unroll 4
            for (int i = 0; i < kOut; ++i) {
              const float* const cell = from + i * row_step + j * s.out_c;
              t[i] = i < rows && j < columns ? load_some(cell) : V{};
              __builtin_prefetch(cell + kOut * row_step, 0, kIntoL2);
            }
            Axis::output_grad(t, m);
#pragma GCC unroll 6
            for (int i = 0; i < kIn; ++i) half[i][j] = m[i];
          }
        };
        if (cells.rows == kOut && cells.columns == kOut)
          take(kOut, kOut);
        else
          take(cells.rows, cells.columns);
        float* const at = to.at(0, first + tile) + (c - begin);
#pragma GCC unroll 6
        for (int i = 0; i < kIn; ++i) {
          V m[kIn];
          Axis::output_grad(half[i], m);
#pragma GCC unroll 6
          for (int j = 0; j < kIn; ++j) store<float>(at + (i * kIn + j) * to.step, m[j]);
        }
      }
    });
  }

  // The weights of an input and a vector of outputs, kTaps of them tap_step apart; the way back.
  static void transform_weights(const float* taps, Dim tap_step, float* to, Dim step) {
    V half[3][kIn];
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
      V g[3];
      for (int i = 0; i < 3; ++i) g[i] = load(taps + (i * 3 + j) * tap_step);
      Axis::kernel(g, half[j]);
    }
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) {
      const V g[3] = {half[0][i], half[1][i], half[2][i]};
      V u[kIn];
      Axis::kernel(g, u);
#pragma GCC unroll 6
      for (int j = 0; j < kIn; ++j) store<float>(to + (i * kIn + j) * step, u[j]);
    }
  }
  template <class Store>
  static void transform_sums(const float* from, Dim step, const Store& store_some, float* taps,
                             Dim tap_step) {
    V half[kIn][3];
#pragma GCC unroll 6
    for (int a = 0; a < kIn; ++a) {
      V u[kIn];
#pragma GCC unroll 6
      for (int b = 0; b < kIn; ++b) u[b] = load(from + (a * kIn + b) * step);
      Axis::kernel_grad(u, half[a]);
    }
#pragma GCC unroll 3
    for (int b = 0; b < 3; ++b) {
      V u[kIn], g[3];
#pragma GCC unroll 6
      for (int a = 0; a < kIn; ++a) u[a] = half[a][b];
      Axis::kernel_grad(u, g);
#pragma GCC unroll 3
      for (int a = 0; a < 3; ++a) store_some(taps + (a * 3 + b) * tap_step, g[a]);
    }
  }
};

}  // namespace lamina::winograd
