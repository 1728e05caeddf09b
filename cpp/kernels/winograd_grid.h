// What the schemes of Winograd's convolution share: the grid of tiles over the outputs, and the
// matrices (tile, channel), one for each product of a tile, whose products make up the convolution.
// A tile's numbers are the same whichever tiles are transformed with it.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/gemm_tile.h"
#include "kernels/winograd.h"
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
  Matrices from_column(Dim column) const {
    Matrices part = *this;
    part.data += column;
    return part;
  }
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

// Calls f(part's number, first and last of its channels that lie among [begin, end), place of its
// channel 0 among all) for the parts that have some.
template <class F>
void over_parts(const Parts& parts, Dim begin, Dim end, const F& f) {
  Dim at = 0;
  for (std::size_t i = 0; i < parts.channels.size(); ++i) {
    const Dim first = std::max(begin, at), last = std::min(end, at + parts.channels[i]);
    if (first < last) f(i, first - at, last - at, at);
    at += parts.channels[i];
  }
}

// Channels [begin, end) of the inputs of a block of tiles.
template <class Scheme>
void transform_inputs(const ConvShape& s, const Grid& grid, const Parts& x, Dim tile, Dim last_tile,
                      Dim begin, Dim end, const typename Scheme::Products& to, float* line) {
  over_parts(x, begin, end, [&](std::size_t i, Dim first, Dim last, Dim at) {
    ConvShape part = s;
    part.in_c = x.channels[i];
    const auto columns = to.from_column(at + first - begin);
    grid.over_runs(tile, last_tile, [&](const OutputRow& run, Dim row) {
      Scheme::transform_inputs(part, x.at(i), run, first, last, columns, row, line);
    });
  });
}

// What an output is raised to at least: 0 with relu, otherwise minus infinity.
inline V least_output(const Epilogue<float>& e) {
  return broadcast(e.activation == Activation::relu ? 0.f
                                                    : -std::numeric_limits<float>::infinity());
}

}  // namespace lamina::winograd
