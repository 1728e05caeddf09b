// Where columns have their maximum or minimum, and the gradient of that: all places that equal it
// share the gradient evenly.
#pragma once

#include <algorithm>

#include "base/parallel.h"
#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::extremes {

// Up to a vector of neighbouring columns of a matrix.
template <class T>
struct Columns {
  const T* data;
  Dim rows, step;
  int count;

  LAMINA_INLINE Vec<T> read(const T* p) const {
    return count == kLanes<T> ? load(p) : load_n(p, count);
  }
  LAMINA_INLINE Vec<T> row(Dim i) const { return read(data + i * step); }
};

// Calls f(column, row, share) for the places that equal `best`, column by column from the first row
// on; `d` is what they share. Columns without a gradient have none. A T must hold the rows'
// numbers.
template <class T, class F>
void over_places(const Columns<T>& columns, const T* best, const T* d, const F& f) {
  const Vec<T> extreme = columns.read(best);
  Vec<T> count{}, first{};
  for (Dim i = columns.rows; i-- > 0;) {
    const auto is_equal = columns.row(i) == extreme;
    count = select(is_equal, count + T{1}, count);
    first = select(is_equal, broadcast<T>(static_cast<T>(i)), first);
  }
  for (int c = 0; c < columns.count; ++c) {
    if (d[c] == T{0}) continue;
    const T share = d[c] / count[c];
    auto left = static_cast<Dim>(count[c]);
    for (auto i = static_cast<Dim>(first[c]); left > 0; ++i)
      if (columns.data[i * columns.step + c] == best[c]) {
        f(c, i, share);
        --left;
      }
  }
}

template <class T>
void spread(const Columns<T>& columns, const T* best, const T* d, T* dx) {
  const Vec<T> extreme = columns.read(best);
  Vec<T> count{};
  for (Dim i = 0; i < columns.rows; ++i)
    count = select(columns.row(i) == extreme, count + T{1}, count);
  const Vec<T> share = columns.read(d) / count;
  for (Dim i = 0; i < columns.rows; ++i, dx += columns.step) {
    const Vec<T> of_row = select(columns.row(i) == extreme, share, Vec<T>{});
    columns.count == kLanes<T> ? store<T>(dx, of_row) : store_n<T>(dx, of_row, columns.count);
  }
}

// The same for one column whose elements are neighbours.
template <class T>
void spread(const T* x, Dim n, T best, T d, T* dx) {
  const Vec<T> extreme = broadcast<T>(best);
  Vec<T> counts{};
  Dim i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>)
    counts = select(load(x + i) == extreme, counts + T{1}, counts);
  T count = hsum(counts);
  for (; i < n; ++i) count += x[i] == best ? T{1} : T{0};
  const Vec<T> share = broadcast<T>(d / count);
  apply<T>(
      dx, n, [&](Vec<T> v) { return select(v == extreme, share, Vec<T>{}); }, x);
}

// x, dx [planes, rows, columns]; best, d [planes, columns].
template <class T>
void gradient(Dim planes, Dim rows, Dim columns, const T* x, const T* best, const T* d, T* dx) {
  constexpr Dim kElements = 16384;  // worth handing to another thread
  const Dim blocks = (columns + kLanes<T> - 1) / kLanes<T>;
  if (planes * rows * columns == 0) return;
  const Dim grain = kElements / (rows * std::min<Dim>(columns, kLanes<T>));
  parallel_for(planes * blocks, grain, [&](Dim begin, Dim end) {
    for (Dim block = begin; block < end; ++block) {
      const Dim p = block / blocks, c = block % blocks * kLanes<T>;
      const Dim at = p * columns + c, cell = p * rows * columns + c;
      const int count = static_cast<int>(std::min<Dim>(kLanes<T>, columns - c));
      if (columns == 1)
        spread(x + cell, rows, best[at], d[at], dx + cell);
      else
        spread(Columns<T>{x + cell, rows, columns, count}, best + at, d + at, dx + cell);
    }
  });
}

}  // namespace lamina::extremes
