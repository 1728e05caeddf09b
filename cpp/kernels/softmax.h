// Softmax, its logarithm, their gradients and the losses made of them. A line is what is
// normalised: a row of contiguous elements, or as many columns at once as a vector has lanes. Lines
// are independent, and the order of summation depends on the length of the line only.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::softmax {

template <class T>
constexpr T kMinusInf = -std::numeric_limits<T>::infinity();

// ---- Reductions over the lanes of a vector; the result is in every lane.
template <int kDistance, class V, int... kLane>
LAMINA_INLINE V swap_lanes(V v, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(v, v, (kLane ^ kDistance)...);
}
template <class T, int kDistance = kLanes<T> / 2, class Join>
LAMINA_INLINE Vec<T> join_lanes(Vec<T> v, const Join& join) {
  if constexpr (kDistance == 0) {
    return v;
  } else {
    const Vec<T> other = swap_lanes<kDistance>(v, std::make_integer_sequence<int, kLanes<T>>{});
    return join_lanes<T, kDistance / 2>(join(v, other), join);
  }
}
// A NaN may be lost here; it comes back when its element meets the maximum.
template <class V>
LAMINA_INLINE V larger(V a, V b) {
  return a > b ? a : b;
}

// e^x for x <= 0, where a softmax needs it: results below 1e-37 may be 0, and NaN comes of NaN.
#if defined(__AVX512F__)
LAMINA_INLINE Vec<float> exp_of_negative(Vec<float> x) {
  return vec_detail::exp_within(at_least(x, broadcast(-104.f)));
}
#else
// No exponent leaves the range, so that less work is enough than for exp(). The polynomial is
// within 4e-9 of e^r.
LAMINA_INLINE Vec<float> exp_of_negative(Vec<float> x) {
  using namespace vec_detail;
  const Reduced a = reduce_exp(x);
  const F p =
      polynomial(a.r, 0.001381422f, 0.008368899f, 0.041668404f, 0.1666652f, 0.49999994f, 1.f, 1.f);
  return select(x < -86.5f, F{}, p * pow2(a.n));
}
#endif
LAMINA_INLINE Vec<double> exp_of_negative(Vec<double> x) { return exp(x); }

// The first n lanes of v, `fill` in the others.
template <class T>
LAMINA_INLINE Vec<T> keep_lanes(Vec<T> v, int n, T fill) {
  Mask<T> lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return select(lane < n, v, broadcast<T>(fill));
}

// ---- Lines.
template <class T>
class Row {
 public:
  // `room`: elements that may be read from the start of the row on; at least n.
  Row(Dim n, Dim room) : n_(n), room_(room) {}
  Dim vectors() const { return (n_ + kLanes<T> - 1) / kLanes<T>; }
  LAMINA_INLINE Vec<T> get(const T* row, Dim k, T fill) const {
    const Dim at = k * kLanes<T>, left = n_ - at;
    if (left >= kLanes<T>) return load<T>(row + at);
    const int few = static_cast<int>(left);
    return keep_lanes<T>(room_ - at >= kLanes<T> ? load<T>(row + at) : load_n<T>(row + at, few),
                         few, fill);
  }
  LAMINA_INLINE void put(T* row, Dim k, Vec<T> v) const {
    const Dim at = k * kLanes<T>, left = n_ - at;
    if (left >= kLanes<T>) {
      store<T>(row + at, v);
    } else {
      store_n<T>(row + at, v, static_cast<int>(left));
    }
  }
  LAMINA_INLINE Vec<T> sum(Vec<T> v) const {
    return join_lanes<T>(v, [](Vec<T> a, Vec<T> b) { return a + b; });
  }
  LAMINA_INLINE Vec<T> max(Vec<T> v) const {
    return join_lanes<T>(v, [](Vec<T> a, Vec<T> b) { return larger(a, b); });
  }

 private:
  Dim n_, room_;
};

template <class T>
class Columns {
 public:
  // n elements a column, `stride` apart; `lanes` columns.
  Columns(Dim n, Dim stride, int lanes) : n_(n), stride_(stride), lanes_(lanes) {}
  Dim vectors() const { return n_; }
  LAMINA_INLINE Vec<T> get(const T* p, Dim k, T) const {
    p += k * stride_;
    return lanes_ == kLanes<T> ? load<T>(p) : load_n<T>(p, lanes_);
  }
  LAMINA_INLINE void put(T* p, Dim k, Vec<T> v) const {
    p += k * stride_;
    if (lanes_ == kLanes<T>) {
      store<T>(p, v);
    } else {
      store_n<T>(p, v, lanes_);
    }
  }
  LAMINA_INLINE Vec<T> sum(Vec<T> v) const { return v; }
  LAMINA_INLINE Vec<T> max(Vec<T> v) const { return v; }

 private:
  Dim n_, stride_;
  int lanes_;
};

template <class T, class Line>
LAMINA_INLINE Vec<T> line_max(const Line& line, const T* z) {
  Vec<T> m = broadcast<T>(kMinusInf<T>);
  for (Dim k = 0; k < line.vectors(); ++k) m = larger(m, line.get(z, k, kMinusInf<T>));
  return line.max(m);
}

// Sums over a line, in slices: rounding errors grow with a slice, not with the line.
// add(k, parts) adds the terms of vector k.
template <class T, std::size_t kSums, class Line, class Add>
LAMINA_INLINE std::array<Vec<T>, kSums> line_sums(const Line& line, const Add& add) {
  constexpr Dim kSlice = 64;
  std::array<Vec<T>, kSums> totals{};
  for (Dim first = 0; first < line.vectors(); first += kSlice) {
    std::array<Vec<T>, kSums> parts{};
    const Dim last = std::min(first + kSlice, line.vectors());
    for (Dim k = first; k < last; ++k) add(k, parts);
    for (std::size_t i = 0; i < kSums; ++i) totals[i] += parts[i];
  }
  for (Vec<T>& total : totals) total = line.sum(total);
  return totals;
}
template <class T, class Line, class Term>
LAMINA_INLINE Vec<T> line_sum(const Line& line, const Term& term) {
  return line_sums<T, 1>(line, [&](Dim k, auto& parts) { parts[0] += term(k); })[0];
}

// ---- Softmax and log-softmax; y may be z, and dx may be dy or y.
template <class T, class Line>
void forward(const Line& line, const T* z, T* y) {
  const Vec<T> m = line_max(line, z);
  if (line.vectors() == 1) {  // stays in a register
    const Vec<T> e = exp(line.get(z, 0, kMinusInf<T>) - m);
    line.put(y, 0, e * (1 / line.sum(e)));
    return;
  }
  const Vec<T> sum = line_sum<T>(line, [&](Dim k) {
    const Vec<T> e = exp(line.get(z, k, kMinusInf<T>) - m);
    line.put(y, k, e);
    return e;
  });
  const Vec<T> scale = 1 / sum;
  for (Dim k = 0; k < line.vectors(); ++k) line.put(y, k, line.get(y, k, T(0)) * scale);
}

template <class T, class Line>
void log_forward(const Line& line, const T* z, T* y) {
  const Vec<T> m = line_max(line, z);
  const Vec<T> log_sum =
      log(line_sum<T>(line, [&](Dim k) { return exp(line.get(z, k, kMinusInf<T>) - m); }));
  for (Dim k = 0; k < line.vectors(); ++k)
    line.put(y, k, (line.get(z, k, kMinusInf<T>) - m) - log_sum);
}

template <class T, class Line>
void backward(const Line& line, const T* y, const T* dy, T* dx) {
  const Vec<T> sum =
      line_sum<T>(line, [&](Dim k) { return line.get(y, k, T(0)) * line.get(dy, k, T(0)); });
  for (Dim k = 0; k < line.vectors(); ++k)
    line.put(dx, k, line.get(y, k, T(0)) * (line.get(dy, k, T(0)) - sum));
}

template <class T, class Line>
void log_backward(const Line& line, const T* y, const T* dy, T* dx) {
  const Vec<T> sum = line_sum<T>(line, [&](Dim k) { return line.get(dy, k, T(0)); });
  for (Dim k = 0; k < line.vectors(); ++k)
    line.put(dx, k, line.get(dy, k, T(0)) - exp(line.get(y, k, T(0))) * sum);
}

// ---- Cross entropy of logits. One line's loss is log(sum) * weight - dot, with the sum of the
// exponentials relative to the largest logit; the caller takes the logarithms of many lines at
// once.
template <class T>
struct CrossEntropy {
  T sum, weight, dot;
};

// `t` is a distribution over the classes, but need not sum to one.
template <class T>
CrossEntropy<T> cross_entropy(const Row<T>& row, const T* z, const T* t) {
  const Vec<T> m = line_max(row, z);
  const auto sums = line_sums<T, 3>(row, [&](Dim k, auto& parts) {
    const Vec<T> target = row.get(t, k, T(0));
    const Vec<T> shifted = row.get(z, k, kMinusInf<T>) - m;
    parts[0] += exp(shifted);
    parts[1] += target;
    // No 0 * inf for classes that are excluded.
    parts[2] += select(target == T(0), Vec<T>{}, target * shifted);
  });
  return {sums[0][0], sums[1][0], sums[2][0]};
}

template <class T>
CrossEntropy<T> sparse_cross_entropy(const Row<T>& row, const T* z, Dim label) {
  const Vec<T> m = line_max(row, z);
  const Vec<T> sum = line_sum<T>(row, [&](Dim k) { return exp(row.get(z, k, kMinusInf<T>) - m); });
  return {sum[0], T(1), z[label] - m[0]};
}

// d is the gradient of the loss, p the softmax of the logits; dz may be p or t.
template <class T>
void cross_entropy_backward(const Row<T>& row, const T* p, const T* t, T d, T* dz) {
  const Vec<T> weight = line_sum<T>(row, [&](Dim k) { return row.get(t, k, T(0)); });
  for (Dim k = 0; k < row.vectors(); ++k)
    row.put(dz, k, (row.get(p, k, T(0)) * weight - row.get(t, k, T(0))) * d);
}

template <class T>
void sparse_cross_entropy_backward(const Row<T>& row, const T* p, Dim label, T d, T* dz) {
  const T of_label = (p[label] - T(1)) * d;
  for (Dim k = 0; k < row.vectors(); ++k) row.put(dz, k, row.get(p, k, T(0)) * d);
  dz[label] = of_label;
}

}  // namespace lamina::softmax
