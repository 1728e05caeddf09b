#include "kernels/pooled_tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/gemm_tile.h"
#include "kernels/patches.h"
#include "kernels/winners.h"

namespace lamina {
namespace {

constexpr int kCells = 4;
// Where a multiplication can broadcast from memory itself, one vector of filters is best: it makes
// for shorter runs of comparisons, beside which no multiplications go on.
#if defined(__AVX512F__)
constexpr int kMostWindows = 6, kMostVectors = 1;
#else
constexpr int kMostWindows = std::max(1, tile::kTileRows / kCells), kMostVectors = 2;
#endif

template <class T>
struct Windows {
  const T* x;                // what the first window's first cell reads first
  Dim pixel_step, row_step;  // from cell to cell
  const std::int32_t* taps;
  Dim count;  // of taps
  const T *w, *bias;
  Dim filters;        // elements from row to row of w, from window to window of y
  T floor;            // of y
  std::int32_t none;  // the number where no cell is above it
  T* y;
  std::uint8_t* where;
  int tail;  // lanes of the last vector that are there, 0: all
};

// The largest of four cells, none of them NaN, if it is above `floor`, and the number of the first
// of equals.
template <class T>
LAMINA_INLINE Vec<T> largest(const Vec<T> (&cells)[kCells], T floor, std::int32_t none,
                             Mask<T>& winner) {
  Vec<T> best = broadcast<T>(floor);
  winner = Mask<T>{} + none;
#pragma GCC unroll 4
  for (int i = 0; i < kCells; ++i) {
    winner = cells[i] > best ? Mask<T>{} + i : winner;
    best = at_least(cells[i], best);
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
      for (int cell = 0; cell < kCells; ++cell)
        if (job.bias != nullptr) sum[i][v][cell] += bias;
      Mask<T> winner;
      const Vec<T> best = largest<T>(sum[i][v], job.floor, job.none, winner);
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

// A tile of `n` windows and `columns` filters.
template <class T, int kWindows, int kVectors>
void multiply_windows(const Windows<T>& job, Dim n, Dim columns) {
  if constexpr (kWindows > 1)
    if (n < kWindows) return multiply_windows<T, kWindows - 1, kVectors>(job, n, columns);
  if constexpr (kVectors > 1)
    if (columns <= (kVectors - 1) * kLanes<T>)
      return multiply_windows<T, kWindows, kVectors - 1>(job, n, columns);
  if (job.tail != 0)
    multiply<T, kWindows, kVectors, true>(job);
  else
    multiply<T, kWindows, kVectors, false>(job);
}

bool side_by_side(const PoolAxis& axis) {
  for (std::size_t i = 0; i < axis.begin.size(); ++i) {
    const Dim begin = axis.begin[0] + 2 * static_cast<Dim>(i);
    if (axis.begin[i] != begin || axis.end[i] != begin + 2) return false;
  }
  return !axis.begin.empty();
}

// NaN if there is one.
template <class T>
T sum_of_magnitudes(const T* p, Dim n) {
  Vec<T> sum{}, other{};
  Dim i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    sum += abs(load(p + i));
    other += abs(load(p + i + kLanes<T>));
  }
  for (; i < n; i += kLanes<T>)
    sum += abs(n - i < kLanes<T> ? load_n(p + i, static_cast<int>(n - i)) : load(p + i));
  return hsum(sum + other);
}

}  // namespace

template <class T>
PooledTiles<T>::PooledTiles(const ConvShape& conv, const PoolShape& pool,
                            const direct::Reader<T>& reader, const T* w, const Epilogue<T>& e)
    : conv_(conv), pool_(pool), reader_(reader), w_(w), epilogue_(e) {
  suits_ = side_by_side(pool.axes[1]) && side_by_side(pool.axes[2]) &&
           (e.activation == Activation::linear || e.activation == Activation::relu);
  if (!suits_) return;
  weights_ = sum_of_magnitudes(w, conv.weights());
  if (e.bias != nullptr) biases_ = sum_of_magnitudes(e.bias, conv.out_c);
}

template <class T>
bool PooledTiles<T>::rows(const T* image, Dim begin, Dim end, T* y, std::uint8_t* where) const {
  if (!suits_) return false;
  const Dim top = pool_.axes[1].begin[static_cast<std::size_t>(begin)];
  const Dim bottom = top + 2 * (end - begin), left = pool_.axes[2].begin[0];
  const T* const x = reader_.rows(image, top, bottom);
  if (!std::isfinite(sum_of_magnitudes(x, reader_.extent(top, bottom)) * weights_ + biases_))
    return false;
  const bool relu = epilogue_.activation == Activation::relu;
  const Dim windows = pool_.axes[2].outputs(), filters = conv_.out_c;
  Windows<T> job{};
  job.pixel_step = reader_.pixel_step();
  job.row_step = reader_.row_step();
  job.taps = reader_.taps();
  job.count = conv_.depth();
  job.filters = filters;
  job.floor = relu ? T{0} : -std::numeric_limits<T>::infinity();
  job.none = relu ? kNoWinner : 0;
  for (Dim row = 0; row < end - begin; ++row)
    for (Dim f = 0; f < filters; f += kMostVectors * kLanes<T>) {
      const Dim columns = std::min<Dim>(kMostVectors * kLanes<T>, filters - f);
      job.w = w_ + f;
      job.bias = epilogue_.bias == nullptr ? nullptr : epilogue_.bias + f;
      job.tail = static_cast<int>(columns % kLanes<T>);
      patches::evenly(windows, kMostWindows, [&](Dim first, Dim n) {
        const Dim at = (row * windows + first) * filters + f;
        job.x = x + 2 * row * job.row_step + (left + 2 * first) * job.pixel_step;
        job.y = y + at;
        job.where = where == nullptr ? nullptr : where + at;
        multiply_windows<T, kMostWindows, kMostVectors>(job, n, columns);
      });
    }
  return true;
}

template class PooledTiles<float>;
template class PooledTiles<double>;

}  // namespace lamina
