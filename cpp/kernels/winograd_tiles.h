// From images to the 36 matrices (tile, channel) whose products make up Winograd's convolution, and
// back. A tile's numbers are the same whichever tiles are transformed with it.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/conv.h"
#include "kernels/gemm_tile.h"
#include "kernels/winograd_transforms.h"

namespace lamina::winograd {

constexpr Dim kLane = kLanes<float>;
constexpr Dim kRunTiles = 8;                     // neighbours in a row, transformed together
constexpr Dim kRunCells = kRunTiles * kOut + 2;  // columns of the image that they read
constexpr Dim kLine = kRunCells * kIn * kLane;   // floats of scratch for the transform of a run

constexpr int kIntoL2 = 2;  // of __builtin_prefetch

constexpr Dim round_up(Dim n, Dim unit) { return (n + unit - 1) / unit * unit; }

// 36 matrices of `tiles` rows. They lie an odd number of cache lines apart, so that the 36 places
// of a tile do not compete for one set of the cache.
struct Matrices {
  float* data;
  Dim row, step;
  Matrices(float* p, Dim tiles, Dim columns)
      : data(p), row(round_up(columns, kLane)), step(size(tiles, columns) / kProducts) {}
  float* at(int product, Dim tile) const { return data + product * step + tile * row; }
  static Dim size(Dim tiles, Dim columns) {
    constexpr Dim kCacheLine = 16;
    return kProducts * (round_up(tiles * round_up(columns, kLane), 2 * kCacheLine) + kCacheLine);
  }
};

// The grid of tiles over the outputs. Planes of a volume count as images.
struct Grid {
  Dim images, down, across;
  explicit Grid(const ConvShape& s)
      : images(s.batch * s.out[0]),
        down((s.out[1] + kOut - 1) / kOut),
        across((s.out[2] + kOut - 1) / kOut) {}
  Dim tiles() const { return images * down * across; }
  Dim tiles_of_image() const { return down * across; }  // of one depth

  // Calls body(run, first) for runs of neighbours in one row of tiles; `first` counts from begin.
  template <class Body>
  void over_runs(Dim begin, Dim end, const Body& body) const {
    for (Dim t = begin; t < end;) {
      const OutputRow run = row_at({1, down, across}, t, std::min(end, t + kRunTiles));
      body(run, t - begin);
      t += run.count;
    }
  }
};

// Calls f(channel, load, store) for each vector of channels [begin, end), whole ones and the rest.
template <class F>
LAMINA_INLINE void over_channels(Dim begin, Dim end, const F& f) {
  for (; begin + kLane <= end; begin += kLane)
    f(
        begin, [](const float* p) { return load(p); }, [](float* p, V v) { store<float>(p, v); });
  if (begin == end) return;
  const tile::Lanes rest(static_cast<int>(end - begin));
  f(
      begin, [&](const float* p) { return rest.load(p); },
      [&](float* p, V v) { rest.store(p, v); });
}

// Channels [begin, end) of the inputs of a run of tiles -> row `first` on of `to`. Too many rows
// are read at a time for the processor to see what comes next, so the tiles below are asked for
// early: the first of them follow soon, and what lies beyond the image is not read.
inline void transform_inputs(const ConvShape& s, const float* x, const OutputRow& run, Dim begin,
                             Dim end, const Matrices& to, Dim first, float* line) {
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
      at[i] =
          inside ? x + ((run.image * s.in[1] + row) * s.in[2] + left + inner) * s.in_c + c : kZeros;
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
      input(d, t);
#pragma GCC unroll 6
      for (int i = 0; i < kIn; ++i) store<float>(line + (cell * kIn + i) * kLane, t[i]);
    }
    for (Dim tile = 0; tile < run.count; ++tile)
      for (int i = 0; i < kIn; ++i) {
        V d[kIn], t[kIn];
#pragma GCC unroll 6
        for (int j = 0; j < kIn; ++j) d[j] = load(line + ((tile * kOut + j) * kIn + i) * kLane);
        input(d, t);
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

// Row `first` on of the products `from` -> channels [begin, end) of the outputs of a run of tiles.
// With relu a sum below `least` becomes that: 0, or without relu minus infinity.
inline void transform_outputs(const ConvShape& s, const Matrices& from, Dim first,
                              const OutputRow& run, Dim begin, Dim end, const Epilogue<float>& e,
                              float* y) {
  const Dim row_step = s.out[2] * s.out_c;
  const bool relu = e.activation == Activation::relu;
  const V least = broadcast(relu ? 0.f : -std::numeric_limits<float>::infinity());
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
        output(m, half[i]);
      }
      const Cells cells(s, run, tile);
      float* const to = y + cells.first * s.out_c + c;
      const auto finish = [&](int rows, int columns) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int j = 0; j < kOut; ++j) {
          V m[kIn], t[kOut];
#pragma GCC unroll 6
          for (int i = 0; i < kIn; ++i) m[i] = half[i][j];
          output(m, t);
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
inline void transform_output_grads(const ConvShape& s, const float* dy, const OutputRow& run,
                                   Dim begin, Dim end, const Matrices& to, Dim first) {
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
          output_grad(t, m);
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
        output_grad(half[i], m);
#pragma GCC unroll 6
        for (int j = 0; j < kIn; ++j) store<float>(at + (i * kIn + j) * to.step, m[j]);
      }
    }
  });
}

}  // namespace lamina::winograd
