// Mean and population variance of columns in one pass. A slice of some rows sums the distances from
// the mean of its first ones, and their squares. The slices are joined in double (Chan, Golub,
// LeVeque 1979), so that a mean far from zero costs no digits. In a slice of n rows the mean of m
// is at most sqrt(n / m) standard deviations off, which bounds what the subtraction of squares
// loses.
#pragma once

#include <algorithm>

#include "kernels/column_slices.h"

namespace lamina::kernels {

class MomentSlices {
 public:
  explicit MomentSlices(const ColumnSlices& slices) : slices_(slices) {}

  // Elements that the statistics of all slices take: a mean and a sum of squares each.
  Dim kept() const { return 2 * slices_.count() * slices_.width(); }

  // Statistics of slice i go into `kept`.
  template <class T>
  void run(const T* x, Dim i, T* kept) const {
    const Dim width = slices_.width(), lines = slices_.lines(i);
    const T* const from = x + slices_.first_line(i) * width;
    T* const mean = kept + 2 * i * width;
    slices_.each_strip<T>(
        [&](Dim c, auto vectors) { strip<T, vectors()>(from + c, lines, width, mean + c); });
  }

  // Joins the slices and the rows that no slice holds. `sums` has room for 2 * columns numbers; a
  // result may be null.
  template <class T>
  void join(const T* x, const T* kept, double* sums, T* mean, T* variance) const {
    const Dim columns = slices_.columns();
    double *const total = sums, *const squares = sums + columns;
    const auto rows = static_cast<double>(slices_.rows());
    std::fill_n(sums, 2 * columns, 0.0);
    each_part(x, kept, [=](double n, const T* m, const T*) {
      for (Dim c = 0; c < columns; ++c) total[c] += n * static_cast<double>(m[c]);
    });
    for (Dim c = 0; c < columns; ++c) total[c] /= rows;
    each_part(x, kept, [=](double n, const T* m, const T* s) {
      for (Dim c = 0; c < columns; ++c) {
        const double apart = static_cast<double>(m[c]) - total[c];
        squares[c] += n * apart * apart + (s == nullptr ? 0.0 : static_cast<double>(s[c]));
      }
    });
    for (Dim c = 0; c < columns && mean != nullptr; ++c) mean[c] = static_cast<T>(total[c]);
    for (Dim c = 0; c < columns && variance != nullptr; ++c)
      variance[c] = static_cast<T>(squares[c] / rows);
  }

 private:
  static constexpr Dim kFirst = 8;

  template <class T, int kVectors>
  static LAMINA_INLINE void strip(const T* x, Dim lines, Dim width, T* mean) {
    const Dim few = std::min(lines, kFirst);
    Vec<T> first[kVectors] = {}, sum[kVectors] = {}, squares[kVectors] = {};
    for (Dim i = 0; i < few; ++i)
      for (int v = 0; v < kVectors; ++v) first[v] += load(x + i * width + v * kLanes<T>);
    for (auto& f : first) f /= static_cast<T>(few);
    for (Dim i = 0; i < lines; ++i)
      for (int v = 0; v < kVectors; ++v) {
        const Vec<T> apart = load(x + i * width + v * kLanes<T>) - first[v];
        sum[v] += apart;
        squares[v] += apart * apart;
      }
    for (int v = 0; v < kVectors; ++v) {
      const Vec<T> average = sum[v] / static_cast<T>(lines);
      store<T>(mean + v * kLanes<T>, first[v] + average);
      store<T>(mean + width + v * kLanes<T>, squares[v] - sum[v] * average);
    }
  }

  // Calls body(rows, mean, squares) for every part of the rows, in order; a lone row is its mean.
  template <class T, class Body>
  void each_part(const T* x, const T* kept, const Body& body) const {
    const Dim width = slices_.width(), columns = slices_.columns();
    for (Dim i = 0; i < slices_.count(); ++i) {
      const auto n = static_cast<double>(slices_.lines(i));
      const T* const mean = kept + 2 * i * width;
      for (Dim c = 0; c < width; c += columns) body(n, mean + c, mean + width + c);
    }
    for (Dim r = slices_.whole_lines(); r < slices_.rows(); ++r)
      body(1.0, x + r * columns, static_cast<const T*>(nullptr));
  }

  ColumnSlices slices_;
};

}  // namespace lamina::kernels
