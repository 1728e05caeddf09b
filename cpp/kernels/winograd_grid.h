// What the schemes of Winograd's convolution share: the grid of tiles over the outputs, and the
// matrices (tile, channel), one for each product of a tile, whose products make up the convolution.
// A tile's numbers are the same whichever tiles are transformed with it.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/conv.h"
#include "kernels/gemm_tile.h"
#include "kernels/winograd_transforms.h"

namespace lamina::winograd {

constexpr Dim kLane = kLanes<float>;
constexpr Dim kRunTiles = 8;  // neighbours in a row, transformed together

constexpr int kIntoL2 = 2;  // of __builtin_prefetch

constexpr Dim round_up(Dim n, Dim unit) { return (n + unit - 1) / unit * unit; }

// kProducts matrices of `tiles` rows. They lie an odd number of cache lines apart, so that the
// places of a tile do not compete for one set of the cache.
template <int kProducts>
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

// The grid of tiles over the outputs of images, or of the rows of images.
struct Grid {
  Dim images, down, across;
  Dim outputs;  // of an image
  Dim tiles() const { return images * down * across; }
  Dim tiles_of_image() const { return down * across; }

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

// What an output is raised to at least: 0 with relu, otherwise minus infinity.
inline V least_output(const Epilogue<float>& e) {
  return broadcast(e.activation == Activation::relu ? 0.f
                                                    : -std::numeric_limits<float>::infinity());
}

}  // namespace lamina::winograd
