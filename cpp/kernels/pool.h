// Pooling over windows of channels-last data with up to three spatial axes, vectorised over
// channels. The windows of each axis come as a table, so sliding windows and equal parts run the
// same code; cells outside do not count. Work is split over output rows (forward) and examples
// (gradient, where windows may overlap).
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/even_parts.h"
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
  bool covers() const {  // windows side by side over all cells
    Dim seen = 0;
    for (std::size_t i = 0; i < begin.size(); seen = end[i++])
      if (begin[i] != seen) return false;
    return seen == size;
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
  bool covers() const { return axes[0].covers() && axes[1].covers() && axes[2].covers(); }
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

// Neighbouring channels that go through a window together: whole vectors, or the last few channels.
template <class T, int kVectors>
struct WholeVectors {
  static constexpr int kCount = kVectors;

  LAMINA_INLINE Vec<T> load(const T* p, int i) const { return lamina::load(p + i * kLanes<T>); }
  LAMINA_INLINE void store(T* p, int i, Vec<T> v) const { lamina::store<T>(p + i * kLanes<T>, v); }
  LAMINA_INLINE Dim left(int) const { return kLanes<T>; }
};
template <class T>
struct LastChannels {
  static constexpr int kCount = 1;
  int channels;

  LAMINA_INLINE Vec<T> load(const T* p, int) const { return load_n(p, channels); }
  LAMINA_INLINE void store(T* p, int, Vec<T> v) const { store_n<T>(p, v, channels); }
  LAMINA_INLINE Dim left(int) const { return channels; }
};

// Reads a whole vector wherever the array goes on that far: one move instead of several.
template <class T>
struct LastChannelsReadAhead : LastChannels<T> {
  const T* last_whole;  // the last place from which a whole vector can be read; it may be null

  LAMINA_INLINE Vec<T> load(const T* p, int i) const {
    return p <= last_whole ? lamina::load(p) : LastChannels<T>::load(p, i);
  }
};

// Calls body(strip, first channel): as many vectors at a time as there are, up to four, and
// last(channels) for the rest.
template <class T, class Last, class Body>
LAMINA_INLINE void over_channels(Dim channels, const Last& last, const Body& body) {
  Dim c = 0;
  for (; c + 4 * kLanes<T> <= channels; c += 4 * kLanes<T>) body(WholeVectors<T, 4>{}, c);
  if (c + 2 * kLanes<T> <= channels) body(WholeVectors<T, 2>{}, c), c += 2 * kLanes<T>;
  if (c + kLanes<T> <= channels) body(WholeVectors<T, 1>{}, c), c += kLanes<T>;
  if (c < channels) body(last(static_cast<int>(channels - c)), c);
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
    if (back - front == 1 && bottom - top == 2 && right - left == 2) {  // the usual: no loops
      const Dim upper = first(), lower = upper + width;
      body(upper), body(upper + 1), body(lower), body(lower + 1);
      return;
    }
    for (Dim d = front; d < back; ++d)
      for (Dim h = top; h < bottom; ++h) {
        const Dim row = (d * height + h) * width;
        for (Dim w = left; w < right; ++w) body(row + w);
      }
  }
};

// One window: the largest cell of each channel, the first of equals, NaN above all.
template <class T, bool kPositions, class Strip>
LAMINA_INLINE void max_window(const Strip strip, Dim channels, const PoolCells& cells,
                              const T* example, T* y, std::int32_t* argmax) {
  Vec<T> best[Strip::kCount];
  Mask<T> where[Strip::kCount];
  for (int i = 0; i < Strip::kCount; ++i) {
    best[i] = strip.load(example + cells.first() * channels, i);
    where[i] = Positions<T>::all(cells.first());
  }
  cells.each([&](Dim position) {
    const Mask<T> here = Positions<T>::all(position);
    for (int i = 0; i < Strip::kCount; ++i) {
      const Vec<T> v = strip.load(example + position * channels, i);
      const Mask<T> better = ~(v <= best[i]) & (best[i] == best[i]);  // true of the first NaN
      best[i] = better ? v : best[i];
      if constexpr (kPositions) where[i] = better ? here : where[i];
    }
  });
  for (int i = 0; i < Strip::kCount; ++i) {
    strip.store(y, i, best[i]);
    if constexpr (kPositions) Positions<T>::store(argmax + i * kLanes<T>, where[i], strip.left(i));
  }
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

// dx of each example: zero unless every cell is `written`, then share(strip, cells, index into dy,
// example from its channel on) per window and strip of channels.
template <class T, class Share>
void pool_grad(const PoolShape& s, bool written, T* dx, const Share& share) {
  const Dim size = s.cells() * s.channels, rows = s.output_rows();
  const auto last = [](int channels) { return LastChannels<T>{channels}; };
  parallel_for(s.batch, pool_grain(s.work(), s.batch), [&](Dim begin, Dim end) {
    if (!written) std::fill(dx + begin * size, dx + end * size, T{0});
    over_windows(s, begin * rows, end * rows,
                 [&, channels = s.channels](const PoolCells& cells, Dim example, Dim out) {
                   over_channels<T>(channels, last, [&](auto strip, Dim c) {
                     share(strip, cells, out * channels + c, dx + example * size + c);
                   });
                 });
  });
}

// Calls window(strip, cells, x from the window's example and channel on, index into y).
template <class T, class Window>
void pool_forward(const PoolShape& s, const T* x, const Window& window) {
  const Dim size = s.cells() * s.channels, rows = s.batch * s.output_rows();
  const T* const last_whole = s.batch * size < kLanes<T> ? nullptr : x + s.batch * size - kLanes<T>;
  const auto last = [=](int channels) { return LastChannelsReadAhead<T>{{channels}, last_whole}; };
  const Dim grain = pool_grain(s.work(), rows);
  parallel_evenly(rows, std::max<Dim>(1, grain / 8), 1, grain, [&](Dim begin, Dim end) {
    over_windows(s, begin, end,
                 [&, channels = s.channels](const PoolCells& cells, Dim example, Dim out) {
                   over_channels<T>(channels, last, [&](auto strip, Dim c) {
                     window(strip, cells, x + example * size + c, out * channels + c);
                   });
                 });
  });
}

}  // namespace pool_detail

// argmax (position of the cell in its example) may be null.
template <class T>
void max_pool(const PoolShape& s, const T* x, T* y, std::int32_t* argmax) {
  using namespace pool_detail;
  if (argmax == nullptr) {
    pool_forward(s, x,
                 [=, n = s.channels](auto strip, const PoolCells& cells, const T* from, Dim at) {
                   max_window<T, false>(strip, n, cells, from, y + at, nullptr);
                 });
  } else {
    pool_forward(s, x,
                 [=, n = s.channels](auto strip, const PoolCells& cells, const T* from, Dim at) {
                   max_window<T, true>(strip, n, cells, from, y + at, argmax + at);
                 });
  }
}

template <class T>
void max_pool_grad(const PoolShape& s, const T* dy, const std::int32_t* argmax, T* dx) {
  using namespace pool_detail;
  const bool overlaps = s.overlaps();
  const auto share = [=, n = s.channels](auto strip, const PoolCells& cells, Dim at, T* example) {
    constexpr int kCount = decltype(strip)::kCount;
    Vec<T> d[kCount];
    Mask<T> where[kCount];
    for (int i = 0; i < kCount; ++i) {
      d[i] = strip.load(dy + at, i);
      where[i] = Positions<T>::load(argmax + at + i * kLanes<T>, strip.left(i));
    }
    cells.each([&](Dim position) {
      T* const q = example + position * n;
      for (int i = 0; i < kCount; ++i) {
        Vec<T> v = where[i] == Positions<T>::all(position) ? d[i] : Vec<T>{};
        if (overlaps) v += strip.load(q, i);
        strip.store(q, i, v);
      }
    });
  };
  pool_grad<T>(s, s.covers(), dx, share);
}

template <class T>
void avg_pool(const PoolShape& s, const T* x, T* y) {
  using namespace pool_detail;
  pool_forward(s, x,
               [=, n = s.channels](auto strip, const PoolCells& cells, const T* from, Dim at) {
                 constexpr int kCount = decltype(strip)::kCount;
                 Vec<T> sum[kCount] = {};
                 cells.each([&](Dim position) {
                   for (int i = 0; i < kCount; ++i) sum[i] += strip.load(from + position * n, i);
                 });
                 const T count = static_cast<T>(cells.count());
                 for (int i = 0; i < kCount; ++i) strip.store(y + at, i, sum[i] / count);
               });
}

template <class T>
void avg_pool_grad(const PoolShape& s, const T* dy, T* dx) {
  using namespace pool_detail;
  pool_grad<T>(s, false, dx,
               [=, n = s.channels](auto strip, const PoolCells& cells, Dim at, T* example) {
                 constexpr int kCount = decltype(strip)::kCount;
                 const T count = static_cast<T>(cells.count());
                 Vec<T> share[kCount];
                 for (int i = 0; i < kCount; ++i) share[i] = strip.load(dy + at, i) / count;
                 cells.each([&](Dim position) {
                   T* const q = example + position * n;
                   for (int i = 0; i < kCount; ++i) strip.store(q, i, strip.load(q, i) + share[i]);
                 });
               });
}

}  // namespace lamina
