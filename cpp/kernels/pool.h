// Pooling over windows of channels-last data with up to three spatial axes, vectorised over
// channels. The windows of each axis come as a table, so sliding windows and equal parts run the
// same code; cells outside do not count. Work is split over output rows (forward) and examples
// (gradient, where windows may overlap).
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/parallel.h"
#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina {

// One spatial axis: output position i sees the cells [begin[i], end[i]) of `size`, at least one.
struct PoolAxis {
  Dim size = 1;
  std::vector<Dim> begin{0}, end{1};

  Dim outputs() const { return static_cast<Dim>(begin.size()); }
  bool overlaps() const {
    for (std::size_t i = 1; i < begin.size(); ++i)
      if (begin[i] < end[i - 1]) return true;
    return false;
  }
  double visits() const {  // cells seen by all windows together
    double total = 0;
    for (std::size_t i = 0; i < begin.size(); ++i) total += static_cast<double>(end[i] - begin[i]);
    return total;
  }
};

struct PoolShape {
  Dim batch = 0, channels = 0;
  std::array<PoolAxis, 3> axes;  // depth, height, width; axes that are not there have one cell

  Dim cells() const { return axes[0].size * axes[1].size * axes[2].size; }
  Dim output_rows() const { return axes[0].outputs() * axes[1].outputs(); }
  bool overlaps() const { return axes[0].overlaps() || axes[1].overlaps() || axes[2].overlaps(); }
  double work() const {  // numbers visited
    return static_cast<double>(batch) * static_cast<double>(channels) * axes[0].visits() *
           axes[1].visits() * axes[2].visits();
  }
};

// Units (rows, examples) that are worth a chunk of their own.
inline Dim pool_grain(double work, Dim units) {
  constexpr double kChunk = 65536;  // numbers visited
  const double total = static_cast<double>(units);
  return std::max<Dim>(1, static_cast<Dim>(std::min(total, kChunk * total / (work + 1))));
}

namespace pool_detail {

template <class T>
LAMINA_INLINE Vec<T> load_up_to(const T* p, Dim left) {
  return left >= kLanes<T> ? load(p) : load_n(p, static_cast<int>(left));
}
template <class T>
LAMINA_INLINE void store_up_to(T* p, Vec<T> v, Dim left) {
  if (left >= kLanes<T>)
    store<T>(p, v);
  else
    store_n<T>(p, v, static_cast<int>(left));
}

// Positions are int32 in memory and as wide as T in registers, where masks are.
template <class T>
struct Positions {
  typedef std::int32_t Narrow __attribute__((vector_size(kLanes<T> * sizeof(std::int32_t))));

  static LAMINA_INLINE Mask<T> all(Dim position) {
    return Mask<T>{} + static_cast<std::int32_t>(position);
  }
  static LAMINA_INLINE Mask<T> load(const std::int32_t* p, Dim left) {
    Narrow v{};
    copy(&v, p, left);
    return __builtin_convertvector(v, Mask<T>);
  }
  static LAMINA_INLINE void store(std::int32_t* p, Mask<T> positions, Dim left) {
    const Narrow v = __builtin_convertvector(positions, Narrow);
    copy(p, &v, left);
  }

 private:
  static LAMINA_INLINE void copy(void* to, const void* from, Dim left) {
    if (left >= kLanes<T>)
      std::memcpy(to, from, sizeof(Narrow));
    else
      copy_few<std::int32_t>(to, from, static_cast<int>(left));
  }
};

// The cells of one window, by their ranges along depth, height and width.
struct PoolCells {
  Dim front, back, top, bottom, left, right, height, width;

  // The windows of one output row, `left` and `right` to be set.
  PoolCells(const PoolShape& s, Dim row) : left(0), right(0) {
    height = s.axes[1].size, width = s.axes[2].size;
    const auto d = static_cast<std::size_t>(row / s.axes[1].outputs());
    const auto h = static_cast<std::size_t>(row % s.axes[1].outputs());
    front = s.axes[0].begin[d], back = s.axes[0].end[d];
    top = s.axes[1].begin[h], bottom = s.axes[1].end[h];
  }

  Dim count() const { return (back - front) * (bottom - top) * (right - left); }
  Dim first() const { return (front * height + top) * width + left; }

  // Calls body(position of the cell in its example), rows first.
  template <class Body>
  LAMINA_INLINE void each(const Body& body) const {
    each_of_plane(front, body);
    for (Dim d = front + 1; d < back; ++d) each_of_plane(d, body);  // volumes only
  }

 private:
  template <class Body>
  LAMINA_INLINE void each_of_plane(Dim depth, const Body& body) const {
    const Dim last = (depth * height + bottom) * width, across = right - left;
    for (Dim row = (depth * height + top) * width + left; row < last; row += width)
      for (Dim cell = row; cell < row + across; ++cell) body(cell);
  }
};

// One vector of channels of one window: the largest cell, the first of equals, NaN above all.
template <class T, bool kPositions>
LAMINA_INLINE void max_window(Dim channels, const PoolCells& cells, const T* example, Dim left,
                              T* y, std::int32_t* argmax) {
  const auto value = [=](Dim p) { return load_up_to(example + p * channels, left); };
  Vec<T> best = value(cells.first());
  Mask<T> where = Positions<T>::all(cells.first());
  cells.each([&](Dim position) {
    const Vec<T> v = value(position);
    const Mask<T> better = (v > best) | ((v != v) & (best == best));
    best = better ? v : best;
    if constexpr (kPositions) where = better ? Positions<T>::all(position) : where;
  });
  store_up_to(y, best, left);
  if constexpr (kPositions) Positions<T>::store(argmax, where, left);
}

// Calls body(cells, example, output position) for every window of output rows [begin, end), which
// are counted through all examples.
template <class Body>
LAMINA_INLINE void over_windows(const PoolShape& s, Dim begin, Dim end, const Body& body) {
  const Dim width = s.axes[2].outputs(), rows = s.output_rows();
  const Dim *const left = s.axes[2].begin.data(), *const right = s.axes[2].end.data();
  for (Dim row = begin; row < end; ++row) {
    PoolCells cells(s, row % rows);
    const Dim example = row / rows;
    for (Dim column = 0; column < width; ++column) {
      cells.left = left[column], cells.right = right[column];
      body(cells, example, row * width + column);
    }
  }
}

// dx of each example: zero, then share(cells, index into dy, channels left, example) per window
// and vector of channels.
template <class T, class Share>
void pool_grad(const PoolShape& s, T* dx, const Share& share) {
  const Dim size = s.cells() * s.channels, rows = s.output_rows();
  parallel_for(s.batch, pool_grain(s.work(), s.batch), [&](Dim begin, Dim end) {
    std::fill(dx + begin * size, dx + end * size, T{0});
    over_windows(s, begin * rows, end * rows,
                 [&, channels = s.channels](const PoolCells& cells, Dim example, Dim out) {
                   for (Dim c = 0; c < channels; c += kLanes<T>)
                     share(cells, out * channels + c, channels - c, dx + example * size + c);
                 });
  });
}

}  // namespace pool_detail

// argmax (position of the cell in its example) may be null.
template <class T>
void max_pool(const PoolShape& s, const T* x, T* y, std::int32_t* argmax) {
  using namespace pool_detail;
  const Dim size = s.cells() * s.channels, rows = s.batch * s.output_rows();
  parallel_for(rows, pool_grain(s.work(), rows), [&](Dim begin, Dim end) {
    over_windows(s, begin, end,
                 [&, channels = s.channels](const PoolCells& cells, Dim example, Dim out) {
                   for (Dim c = 0; c < channels; c += kLanes<T>) {
                     const Dim at = out * channels + c, left = channels - c;
                     const T* const from = x + example * size + c;
                     if (argmax != nullptr)
                       max_window<T, true>(channels, cells, from, left, y + at, argmax + at);
                     else
                       max_window<T, false>(channels, cells, from, left, y + at, nullptr);
                   }
                 });
  });
}

template <class T>
void max_pool_grad(const PoolShape& s, const T* dy, const std::int32_t* argmax, T* dx) {
  using namespace pool_detail;
  const bool overlaps = s.overlaps();
  pool_grad<T>(s, dx,
               [=, channels = s.channels](const PoolCells& cells, Dim at, Dim left, T* example) {
                 const Vec<T> d = load_up_to(dy + at, left);
                 const Mask<T> where = Positions<T>::load(argmax + at, left);
                 cells.each([&](Dim position) {
                   T* const q = example + position * channels;
                   Vec<T> v = where == Positions<T>::all(position) ? d : Vec<T>{};
                   if (overlaps) v += load_up_to(q, left);
                   store_up_to(q, v, left);
                 });
               });
}

template <class T>
void avg_pool(const PoolShape& s, const T* x, T* y) {
  using namespace pool_detail;
  const Dim size = s.cells() * s.channels, rows = s.batch * s.output_rows();
  parallel_for(rows, pool_grain(s.work(), rows), [&](Dim begin, Dim end) {
    over_windows(
        s, begin, end, [&, channels = s.channels](const PoolCells& cells, Dim example, Dim out) {
          const T count = static_cast<T>(cells.count());
          for (Dim c = 0; c < channels; c += kLanes<T>) {
            const T* const from = x + example * size + c;
            Vec<T> sum{};
            cells.each([&](Dim p) { sum += load_up_to(from + p * channels, channels - c); });
            store_up_to(y + out * channels + c, sum / count, channels - c);
          }
        });
  });
}

template <class T>
void avg_pool_grad(const PoolShape& s, const T* dy, T* dx) {
  using namespace pool_detail;
  pool_grad<T>(s, dx,
               [=, channels = s.channels](const PoolCells& cells, Dim at, Dim left, T* example) {
                 const Vec<T> share = load_up_to(dy + at, left) / static_cast<T>(cells.count());
                 cells.each([&](Dim position) {
                   T* const q = example + position * channels;
                   store_up_to(q, load_up_to(q, left) + share, left);
                 });
               });
}

}  // namespace lamina
