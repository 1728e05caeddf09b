// Batch normalization of columns, with a ReLU on the way if there is one. Two passes over memory
// each way: the statistics (kernels/moments.h), the results; the sums for the gradients, the
// gradient. The way back finds out from x where the ReLU let something through.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/column_slices.h"

namespace lamina::kernels {

// What a column's elements meet, repeated over a line: y = (x - mean) * factor + offset.
template <class T>
struct NormalizedColumns {
  const T *mean, *factor, *offset;
};
// dx = factor * (d - mean_d - (x - mean) * slope), d being what passes the activation.
template <class T>
struct NormalizedGradient {
  const T *mean_d, *slope;
};

template <class T>
class BatchNorm {
 public:
  // The activation is x bounded by [0, high], if it `is_bounded`.
  BatchNorm(const ColumnSlices& slices, bool is_bounded, T high)
      : slices_(slices), is_bounded_(is_bounded), high_(high) {}

  void forward(Dim slice, const T* x, const NormalizedColumns<T>& n, T* y) const {
    if (is_bounded_)
      forward<true>(slice, x, n, y);
    else
      forward<false>(slice, x, n, y);
  }

  // Adds up d and d * (x - mean): sums[0 .. width) and sums[width .. 2 width).
  void sums(Dim slice, const T* dy, const T* x, const NormalizedColumns<T>& n, T* sums) const {
    if (is_bounded_)
      this->sums<true>(slice, dy, x, n, sums);
    else
      this->sums<false>(slice, dy, x, n, sums);
  }

  // dx may be dy or x.
  void backward(Dim slice, const T* dy, const T* x, const NormalizedColumns<T>& n,
                const NormalizedGradient<T>& g, T* dx) const {
    if (is_bounded_)
      backward<true>(slice, dy, x, n, g, dx);
    else
      backward<false>(slice, dy, x, n, g, dx);
  }

  // ---- The rows that fill no line: one call for all of them, element by element.
  void forward_rest(const T* x, const NormalizedColumns<T>& n, T* y) const {
    each_of_rest([&](Dim i, Dim c) {
      const T v = (x[i] - n.mean[c]) * n.factor[c] + n.offset[c];
      y[i] = is_bounded_ ? bounded(v) : v;
    });
  }
  void sums_rest(const T* dy, const T* x, const NormalizedColumns<T>& n, T* sums) const {
    each_of_rest([&](Dim i, Dim c) {
      const T apart = x[i] - n.mean[c], d = passed(dy[i], apart * n.factor[c] + n.offset[c]);
      sums[c] += d;
      sums[slices_.width() + c] += d * apart;
    });
  }
  void backward_rest(const T* dy, const T* x, const NormalizedColumns<T>& n,
                     const NormalizedGradient<T>& g, T* dx) const {
    each_of_rest([&](Dim i, Dim c) {
      const T apart = x[i] - n.mean[c], d = passed(dy[i], apart * n.factor[c] + n.offset[c]);
      dx[i] = n.factor[c] * (d - g.mean_d[c] - apart * g.slope[c]);
    });
  }

 private:
  static constexpr int kLane = kLanes<T>;

  // Bounds that keep NaN, and what they let through of a gradient.
  LAMINA_INLINE Vec<T> bounded(Vec<T> v) const {
    return at_most(at_least(v, Vec<T>{}), broadcast<T>(high_));
  }
  LAMINA_INLINE Vec<T> passed(Vec<T> d, Vec<T> v) const {
    return select((v > T(0)) & (v < high_), d, Vec<T>{});
  }
  T bounded(T v) const { return v < 0 ? T(0) : v > high_ ? high_ : v; }
  T passed(T d, T v) const { return !is_bounded_ || (v > 0 && v < high_) ? d : T(0); }

  template <bool kBounded>
  LAMINA_INLINE void forward(Dim slice, const T* x, const NormalizedColumns<T>& n, T* y) const {
    const Dim width = slices_.width(), first = slices_.first_line(slice) * width;
    const Dim end = first + slices_.lines(slice) * width;
    slices_.each_strip<T>([&](Dim c, auto vectors) {
      constexpr int kVectors = vectors();
      Vec<T> mean[kVectors], factor[kVectors], offset[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        mean[v] = load(n.mean + c + v * kLane);
        factor[v] = load(n.factor + c + v * kLane);
        offset[v] = load(n.offset + c + v * kLane);
      }
      for (Dim i = first + c; i < end; i += width)
        for (int v = 0; v < kVectors; ++v) {
          const Vec<T> r = (load(x + i + v * kLane) - mean[v]) * factor[v] + offset[v];
          store<T>(y + i + v * kLane, kBounded ? bounded(r) : r);
        }
    });
  }

  template <bool kBounded>
  LAMINA_INLINE void sums(Dim slice, const T* dy, const T* x, const NormalizedColumns<T>& n,
                          T* sums) const {
    const Dim width = slices_.width(), first = slices_.first_line(slice) * width;
    const Dim end = first + slices_.lines(slice) * width;
    slices_.each_strip<T>([&](Dim c, auto vectors) {
      constexpr int kVectors = vectors();
      Vec<T> mean[kVectors], factor[kVectors], offset[kVectors], sum[kVectors] = {},
                                                                 along[kVectors] = {};
      for (int v = 0; v < kVectors; ++v) {
        mean[v] = load(n.mean + c + v * kLane);
        factor[v] = load(n.factor + c + v * kLane);
        offset[v] = load(n.offset + c + v * kLane);
      }
      for (Dim i = first + c; i < end; i += width)
        for (int v = 0; v < kVectors; ++v) {
          const Vec<T> apart = load(x + i + v * kLane) - mean[v];
          Vec<T> d = load(dy + i + v * kLane);
          if (kBounded) d = passed(d, apart * factor[v] + offset[v]);
          sum[v] += d;
          along[v] += d * apart;
        }
      for (int v = 0; v < kVectors; ++v) {
        store<T>(sums + c + v * kLane, sum[v]);
        store<T>(sums + width + c + v * kLane, along[v]);
      }
    });
  }

  template <bool kBounded>
  LAMINA_INLINE void backward(Dim slice, const T* dy, const T* x, const NormalizedColumns<T>& n,
                              const NormalizedGradient<T>& g, T* dx) const {
    const Dim width = slices_.width(), first = slices_.first_line(slice) * width;
    const Dim end = first + slices_.lines(slice) * width;
    slices_.each_strip<T>([&](Dim c, auto vectors) {
      constexpr int kVectors = vectors();
      Vec<T> mean[kVectors], factor[kVectors], offset[kVectors], mean_d[kVectors], slope[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        mean[v] = load(n.mean + c + v * kLane);
        factor[v] = load(n.factor + c + v * kLane);
        offset[v] = load(n.offset + c + v * kLane);
        mean_d[v] = load(g.mean_d + c + v * kLane);
        slope[v] = load(g.slope + c + v * kLane);
      }
      for (Dim i = first + c; i < end; i += width)
        for (int v = 0; v < kVectors; ++v) {
          const Vec<T> apart = load(x + i + v * kLane) - mean[v];
          Vec<T> d = load(dy + i + v * kLane);
          if (kBounded) d = passed(d, apart * factor[v] + offset[v]);
          store<T>(dx + i + v * kLane, factor[v] * (d - mean_d[v] - apart * slope[v]));
        }
    });
  }

  // Calls body(element, column).
  template <class Body>
  void each_of_rest(const Body& body) const {
    const Dim columns = slices_.columns(), first = slices_.whole_lines() * columns;
    for (Dim i = first; i < slices_.rows() * columns; ++i) body(i, (i - first) % columns);
  }

  ColumnSlices slices_;
  bool is_bounded_;
  T high_;
};

}  // namespace lamina::kernels
