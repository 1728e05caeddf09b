// Mean and population variance of columns in one pass over memory. Slices of some rows are read
// twice while they lie in cache: once for their mean, once for the squared distances from it. The
// slices are joined in double (Chan, Golub, LeVeque 1979), so that a mean far from zero costs no
// digits. The slices depend on the sizes only.
#pragma once

#include <algorithm>

#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::kernels {

// Few columns waste lanes: so many rows are taken as one long row, and its parts joined as slices.
class MomentSlices {
 public:
  MomentSlices(Dim rows, Dim columns)
      : columns_(columns), fold_(columns < 32 ? 16 : 1), lines_(rows / fold_), rows_(rows) {}

  Dim count() const { return (lines_ + kLines - 1) / kLines; }
  // Elements that the statistics of all slices take: a mean and a sum of squares each.
  Dim kept() const { return 2 * count() * width(); }

  // Statistics of slice i go into `kept`.
  template <class T>
  void run(const T* x, Dim i, T* kept) const {
    const Dim first = i * kLines, lines = std::min(kLines, lines_ - first);
    T* const mean = kept + 2 * i * width();
    Dim c = 0;
    for (; c + 4 * kLanes<T> <= width(); c += 4 * kLanes<T>)
      strip<T, 4>(x + first * width() + c, lines, mean + c);
    for (; c + kLanes<T> <= width(); c += kLanes<T>)
      strip<T, 1>(x + first * width() + c, lines, mean + c);
    if (c < width()) last_columns(x + first * width() + c, lines, width() - c, mean + c);
  }

  // Joins the slices and the rows that no slice holds. `sums` has room for 2 * columns numbers; a
  // result may be null.
  template <class T>
  void join(const T* x, const T* kept, double* sums, T* mean, T* variance) const {
    double *const total = sums, *const squares = sums + columns_;
    const auto rows = static_cast<double>(rows_);
    std::fill_n(sums, 2 * columns_, 0.0);
    each_part(x, kept, [=, columns = columns_](double n, const T* m, const T*) {
      for (Dim c = 0; c < columns; ++c) total[c] += n * static_cast<double>(m[c]);
    });
    for (Dim c = 0; c < columns_; ++c) total[c] /= rows;
    each_part(x, kept, [=, columns = columns_](double n, const T* m, const T* s) {
      for (Dim c = 0; c < columns; ++c) {
        const double apart = static_cast<double>(m[c]) - total[c];
        squares[c] += n * apart * apart + (s == nullptr ? 0.0 : static_cast<double>(s[c]));
      }
    });
    for (Dim c = 0; c < columns_ && mean != nullptr; ++c) mean[c] = static_cast<T>(total[c]);
    for (Dim c = 0; c < columns_ && variance != nullptr; ++c)
      variance[c] = static_cast<T>(squares[c] / rows);
  }

 private:
  static constexpr Dim kLines = 64;  // of a slice

  Dim width() const { return columns_ * fold_; }

  template <class T, int kVectors>
  LAMINA_INLINE void strip(const T* x, Dim lines, T* mean) const {
    Vec<T> sum[kVectors] = {}, squares[kVectors] = {};
    for (Dim i = 0; i < lines; ++i)
      for (int v = 0; v < kVectors; ++v) sum[v] += load(x + i * width() + v * kLanes<T>);
    for (auto& s : sum) s /= static_cast<T>(lines);
    for (Dim i = 0; i < lines; ++i)
      for (int v = 0; v < kVectors; ++v) {
        const Vec<T> apart = load(x + i * width() + v * kLanes<T>) - sum[v];
        squares[v] += apart * apart;
      }
    for (int v = 0; v < kVectors; ++v) {
      store<T>(mean + v * kLanes<T>, sum[v]);
      store<T>(mean + width() + v * kLanes<T>, squares[v]);
    }
  }

  // Less than a vector of columns.
  template <class T>
  void last_columns(const T* x, Dim lines, Dim columns, T* mean) const {
    const int n = static_cast<int>(columns);
    Vec<T> sum{}, squares{};
    for (Dim i = 0; i < lines; ++i) sum += load_n(x + i * width(), n);
    sum /= static_cast<T>(lines);
    for (Dim i = 0; i < lines; ++i) {
      const Vec<T> apart = load_n(x + i * width(), n) - sum;
      squares += apart * apart;
    }
    store_n<T>(mean, sum, n);
    store_n<T>(mean + width(), squares, n);
  }

  // Calls body(rows, mean, squares) for every part of the rows, in order; a lone row is its mean.
  template <class T, class Body>
  void each_part(const T* x, const T* kept, const Body& body) const {
    for (Dim i = 0; i < count(); ++i) {
      const auto n = static_cast<double>(std::min(kLines, lines_ - i * kLines));
      const T* const mean = kept + 2 * i * width();
      for (Dim c = 0; c < width(); c += columns_) body(n, mean + c, mean + width() + c);
    }
    for (Dim r = lines_ * fold_; r < rows_; ++r)
      body(1.0, x + r * columns_, static_cast<const T*>(nullptr));
  }

  Dim columns_, fold_, lines_, rows_;
};

}  // namespace lamina::kernels
