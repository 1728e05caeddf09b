#include "kernels/pooled_tiles.h"

#include <algorithm>

#include "kernels/gemm_tile.h"
#include "kernels/winners.h"

namespace lamina::pooled_tiles {
namespace {

constexpr int kCells = 4;
constexpr int kMostWindows = std::max(1, tile::kTileRows / kCells);
constexpr int kMostVectors = 2;

template <class T>
struct Windows {
  const T* x;                // what the first window's first cell reads first
  Dim pixel_step, row_step;  // from cell to cell
  const std::int32_t* taps;
  Dim count;  // of taps
  const T *w, *bias;
  Dim filters;  // elements from row to row of w, from window to window of y
  bool relu;
  T* y;
  std::uint8_t* where;
  int tail;  // lanes of the last vector that are there, 0: all
};

// The largest of four cells, the first of equals, NaN above all: as max_pool has it.
template <class T>
LAMINA_INLINE Vec<T> largest(const Vec<T> (&cells)[kCells], Mask<T>& winner) {
  Vec<T> best = cells[0];
  winner = Mask<T>{};
#pragma GCC unroll 4
  for (int i = 1; i < kCells; ++i) {
    const Mask<T> better = ~(cells[i] <= best) & (best == best);
    best = better ? cells[i] : best;
    winner = better ? Mask<T>{} + i : winner;
  }
  return best;
}

template <class T, int kWindows, int kVectors, bool kTail>
void multiply(const Windows<T>& job) {
  const tile::Lanes tail(job.tail);
  const auto load_columns = [&tail](const T* p, int v) __attribute__((always_inline)) {
    if constexpr (kTail)
      if (v == kVectors - 1) return tail.load(p + v * kLanes<T>);
    return load(p + v * kLanes<T>);
  };
  Vec<T> sum[kWindows][kVectors][kCells];
#pragma GCC unroll 8
  for (int i = 0; i < kWindows; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 4
      for (int cell = 0; cell < kCells; ++cell) sum[i][v][cell] = Vec<T>{};

  const Dim step = job.pixel_step;
  const T* w = job.w;
  for (Dim t = 0; t < job.count; ++t, w += job.filters) {
    Vec<T> column[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) column[v] = load_columns(w, v);
    const T* x = job.x + job.taps[t];
#pragma GCC unroll 8
    for (int i = 0; i < kWindows; ++i, x += 2 * step)
#pragma GCC unroll 4
      for (int cell = 0; cell < kCells; ++cell) {
        const Vec<T> value = broadcast<T>(x[cell / 2 * job.row_step + cell % 2 * step]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) sum[i][v][cell] += value * column[v];
      }
  }

#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const Vec<T> bias = job.bias == nullptr ? Vec<T>{} : load_columns(job.bias, v);
#pragma GCC unroll 8
    for (int i = 0; i < kWindows; ++i) {
#pragma GCC unroll 4
      for (int cell = 0; cell < kCells; ++cell) {
        if (job.bias != nullptr) sum[i][v][cell] += bias;
        if (job.relu) sum[i][v][cell] = at_least(sum[i][v][cell], Vec<T>{});
      }
      Mask<T> winner;
      const Vec<T> best = largest<T>(sum[i][v], winner);
      const Dim at = i * job.filters + v * kLanes<T>;
      const bool last = kTail && v == kVectors - 1;
      if (last)
        tail.store(job.y + at, best);
      else
        store<T>(job.y + at, best);
      if (job.where != nullptr)
        ByteLanes<T>::store(job.where + at, winner, last ? job.tail : kLanes<T>);
    }
  }
}

template <class T, int kWindows>
void multiply_windows(const Windows<T>& job, Dim columns) {
  const bool two = columns > kLanes<T>;
  if (job.tail != 0)
    two ? multiply<T, kWindows, 2, true>(job) : multiply<T, kWindows, 1, true>(job);
  else
    two ? multiply<T, kWindows, 2, false>(job) : multiply<T, kWindows, 1, false>(job);
}

// Tiles over `n` neighbouring windows, as many at a time as fit the registers.
template <class T>
void over_windows(Windows<T> job, Dim n, Dim columns) {
  const auto move_on = [&job](Dim windows) {
    job.x += windows * 2 * job.pixel_step;
    job.y += windows * job.filters;
    if (job.where != nullptr) job.where += windows * job.filters;
  };
  for (; n >= kMostWindows; n -= kMostWindows, move_on(kMostWindows))
    multiply_windows<T, kMostWindows>(job, columns);
  for (; n > 0; --n, move_on(1)) multiply_windows<T, 1>(job, columns);
}

bool side_by_side(const PoolAxis& axis) {
  for (std::size_t i = 0; i < axis.begin.size(); ++i) {
    const Dim begin = axis.begin[0] + 2 * static_cast<Dim>(i);
    if (axis.begin[i] != begin || axis.end[i] != begin + 2) return false;
  }
  return !axis.begin.empty();
}

}  // namespace

bool suit(const PoolShape& pool, Activation activation) {
  return side_by_side(pool.axes[1]) && side_by_side(pool.axes[2]) &&
         (activation == Activation::linear || activation == Activation::relu);
}

template <class T>
void rows(const ConvShape& s, const PoolShape& pool, const direct::Reader<T>& reader,
          const T* image, const T* w, Dim begin, Dim end, const Epilogue<T>& e, T* y,
          std::uint8_t* where) {
  const Dim top = pool.axes[1].begin[static_cast<std::size_t>(begin)], left = pool.axes[2].begin[0];
  const Dim windows = pool.axes[2].outputs();
  const T* const x = reader.rows(image, top, top + 2 * (end - begin));
  Windows<T> job{};
  job.pixel_step = reader.pixel_step();
  job.row_step = reader.row_step();
  job.taps = reader.taps();
  job.count = s.depth();
  job.filters = s.out_c;
  job.relu = e.activation == Activation::relu;
  for (Dim row = 0; row < end - begin; ++row)
    for (Dim f = 0; f < s.out_c; f += kMostVectors * kLanes<T>) {
      const Dim columns = std::min<Dim>(kMostVectors * kLanes<T>, s.out_c - f);
      const Dim at = row * windows * s.out_c + f;
      job.x = x + 2 * row * job.row_step + left * job.pixel_step;
      job.w = w + f;
      job.bias = e.bias == nullptr ? nullptr : e.bias + f;
      job.y = y + at;
      job.where = where == nullptr ? nullptr : where + at;
      job.tail = static_cast<int>(columns % kLanes<T>);
      over_windows(job, windows, columns);
    }
}

#define LAMINA_INSTANTIATE(T)                                                                   \
  template void rows<T>(const ConvShape&, const PoolShape&, const direct::Reader<T>&, const T*, \
                        const T*, Dim, Dim, const Epilogue<T>&, T*, std::uint8_t*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina::pooled_tiles
