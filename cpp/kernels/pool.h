// Pooling over windows of channels-last images, vectorised over channels. Cells outside the image
// do not count. Work is split over output rows (forward) and images (gradient, where windows may
// overlap).
#pragma once

#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina {

struct PoolShape {
  Dim batch, in_h, in_w, channels, out_h, out_w;
  Dim size_h, size_w, stride_h, stride_w, pad_top, pad_left;

  bool overlaps() const { return stride_h < size_h || stride_w < size_w; }
  double work() const {  // cells visited
    return static_cast<double>(batch * out_h * out_w) * static_cast<double>(channels) *
           static_cast<double>(std::min(size_h, in_h)) *
           static_cast<double>(std::min(size_w, in_w));
  }
};

// The part of one window that lies inside the image: rows [top, bottom), columns [left, right).
struct PoolCells {
  Dim top, bottom, left, right;
  Dim count() const { return (bottom - top) * (right - left); }
};
inline PoolCells pool_cells(const PoolShape& s, Dim oh, Dim ow) {
  const Dim top = oh * s.stride_h - s.pad_top, left = ow * s.stride_w - s.pad_left;
  return {std::max<Dim>(top, 0), std::min(top + s.size_h, s.in_h), std::max<Dim>(left, 0),
          std::min(left + s.size_w, s.in_w)};
}

// Units (rows, images) that are worth a chunk of their own.
inline Dim pool_grain(const PoolShape& s, Dim units) {
  constexpr double kChunk = 65536;  // cells
  const double total = static_cast<double>(units);
  return std::max<Dim>(1, static_cast<Dim>(std::min(total, kChunk * total / (s.work() + 1))));
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

// One vector of channels of one window: the largest cell, the first of equals, NaN above all.
template <class T, bool kPositions>
LAMINA_INLINE void max_window(const PoolShape& s, const PoolCells& cells, const T* plane, Dim left,
                              T* y, std::int32_t* argmax) {
  const auto at = [&](Dim position) { return load_up_to(plane + position * s.channels, left); };
  Vec<T> best = at(cells.top * s.in_w + cells.left);
  Mask<T> where = Positions<T>::all(cells.top * s.in_w + cells.left);
  for (Dim h = cells.top; h < cells.bottom; ++h)
    for (Dim w = cells.left; w < cells.right; ++w) {
      const Vec<T> v = at(h * s.in_w + w);
      const Mask<T> better = (v > best) | ((v != v) & (best == best));
      best = better ? v : best;
      if constexpr (kPositions) where = better ? Positions<T>::all(h * s.in_w + w) : where;
    }
  store_up_to(y, best, left);
  if constexpr (kPositions) Positions<T>::store(argmax, where, left);
}

// Calls body(cells, image, output pixel) for every window of output rows [begin, end).
template <class Body>
LAMINA_INLINE void over_windows(const PoolShape& s, Dim begin, Dim end, const Body& body) {
  for (Dim row = begin; row < end; ++row)
    for (Dim ow = 0; ow < s.out_w; ++ow)
      body(pool_cells(s, row % s.out_h, ow), row / s.out_h, row * s.out_w + ow);
}

// dx of each image: zero, then share(cells, output pixel, channel, left, image plane) per window
// and vector of channels.
template <class T, class Share>
void pool_grad(const PoolShape& s, T* dx, const Share& share) {
  const Dim plane = s.in_h * s.in_w * s.channels;
  parallel_for(s.batch, pool_grain(s, s.batch), [&](Dim begin, Dim end) {
    std::fill(dx + begin * plane, dx + end * plane, T{0});
    over_windows(s, begin * s.out_h, end * s.out_h,
                 [&](const PoolCells& cells, Dim image, Dim pixel) {
                   for (Dim c = 0; c < s.channels; c += kLanes<T>)
                     share(cells, pixel * s.channels + c, s.channels - c, dx + image * plane + c);
                 });
  });
}

}  // namespace pool_detail

// argmax (position of the cell in its image plane) may be null.
template <class T>
void max_pool2d(const PoolShape& s, const T* x, T* y, std::int32_t* argmax) {
  using namespace pool_detail;
  const Dim plane = s.in_h * s.in_w * s.channels, rows = s.batch * s.out_h;
  parallel_for(rows, pool_grain(s, rows), [&](Dim begin, Dim end) {
    over_windows(s, begin, end, [&](const PoolCells& cells, Dim image, Dim pixel) {
      for (Dim c = 0; c < s.channels; c += kLanes<T>) {
        const Dim at = pixel * s.channels + c, left = s.channels - c;
        const T* const from = x + image * plane + c;
        if (argmax != nullptr)
          max_window<T, true>(s, cells, from, left, y + at, argmax + at);
        else
          max_window<T, false>(s, cells, from, left, y + at, nullptr);
      }
    });
  });
}

template <class T>
void max_pool2d_grad(const PoolShape& s, const T* dy, const std::int32_t* argmax, T* dx) {
  using namespace pool_detail;
  const bool overlaps = s.overlaps();
  pool_grad<T>(s, dx, [&](const PoolCells& cells, Dim at, Dim left, T* plane) {
    const Vec<T> d = load_up_to(dy + at, left);
    const Mask<T> where = Positions<T>::load(argmax + at, left);
    for (Dim h = cells.top; h < cells.bottom; ++h)
      for (Dim w = cells.left; w < cells.right; ++w) {
        const Dim position = h * s.in_w + w;
        T* const q = plane + position * s.channels;
        Vec<T> v = where == Positions<T>::all(position) ? d : Vec<T>{};
        if (overlaps) v += load_up_to(q, left);
        store_up_to(q, v, left);
      }
  });
}

template <class T>
void avg_pool2d(const PoolShape& s, const T* x, T* y) {
  using namespace pool_detail;
  const Dim plane = s.in_h * s.in_w * s.channels, rows = s.batch * s.out_h;
  parallel_for(rows, pool_grain(s, rows), [&](Dim begin, Dim end) {
    over_windows(s, begin, end, [&](const PoolCells& cells, Dim image, Dim pixel) {
      const T count = static_cast<T>(cells.count());
      for (Dim c = 0; c < s.channels; c += kLanes<T>) {
        const T* const from = x + image * plane + c;
        Vec<T> sum{};
        for (Dim h = cells.top; h < cells.bottom; ++h)
          for (Dim w = cells.left; w < cells.right; ++w)
            sum += load_up_to(from + (h * s.in_w + w) * s.channels, s.channels - c);
        store_up_to(y + pixel * s.channels + c, sum / count, s.channels - c);
      }
    });
  });
}

template <class T>
void avg_pool2d_grad(const PoolShape& s, const T* dy, T* dx) {
  using namespace pool_detail;
  pool_grad<T>(s, dx, [&](const PoolCells& cells, Dim at, Dim left, T* plane) {
    const Vec<T> share = load_up_to(dy + at, left) / static_cast<T>(cells.count());
    for (Dim h = cells.top; h < cells.bottom; ++h)
      for (Dim w = cells.left; w < cells.right; ++w) {
        T* const q = plane + (h * s.in_w + w) * s.channels;
        store_up_to(q, load_up_to(q, left) + share, left);
      }
  });
}

}  // namespace lamina
