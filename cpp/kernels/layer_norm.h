// Layer normalization of rows: each is read a few times while it lies in cache. A row's bits do
// not depend on the other rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::kernels {

// hsum() without a way through memory, which would be most of the time of a short row: the upper
// half onto the lower one, until one lane holds the sum.
template <class T, int kHalf, int... kLane>
LAMINA_INLINE Vec<T> folded(Vec<T> v, std::integer_sequence<int, kLane...>) {
  return v + __builtin_shufflevector(v, v, ((kLane + kHalf) % kLanes<T>)...);
}
template <class T, int kHalf = kLanes<T> / 2>
LAMINA_INLINE T sum_of_lanes(Vec<T> v) {
  if constexpr (kHalf == 0)
    return v[0];
  else
    return sum_of_lanes<T, kHalf / 2>(
        folded<T, kHalf>(v, std::make_integer_sequence<int, kLanes<T>>{}));
}

template <class T>
class LayerNorm {
 public:
  LayerNorm(Dim size, T epsilon) : size_(size), epsilon_(epsilon) {}

  // gamma and beta are both there or both null.
  void forward(const T* x, const T* gamma, const T* beta, T* y) const {
    const Statistics s = statistics(x);
    each([&](Dim i, auto some) {
      Vec<T> v = s.normalized(some.load(x + i));
      if (gamma != nullptr) v = v * some.load(gamma + i) + some.load(beta + i);
      some.store(y + i, v);
    });
  }

  // dx of one row, which may be null; what it adds to the gradients of gamma and beta goes into
  // `sums` [2, size], if that is not null.
  void backward(const T* dy, const T* x, const T* gamma, T* dx, T* sums) const {
    const Statistics s = statistics(x);
    const auto arrived = [=](Dim i, auto some) {
      const Vec<T> d = some.load(dy + i);
      return gamma == nullptr ? d : d * some.load(gamma + i);
    };
    T mean{}, along{};
    if (dx != nullptr) {
      const auto n = static_cast<T>(size_);
      mean = sum(arrived) / n;
      along =
          sum([&](Dim i, auto some) { return arrived(i, some) * s.normalized(some.load(x + i)); }) /
          n;
    }
    each([&](Dim i, auto some) {
      const Vec<T> normalized = s.normalized(some.load(x + i)), d = some.load(dy + i);
      if (sums != nullptr) {
        some.store(sums + i, some.load(sums + i) + d * normalized);
        some.store(sums + size_ + i, some.load(sums + size_ + i) + d);
      }
      if (dx != nullptr)
        some.store(dx + i, s.scale * (arrived(i, some) - mean - normalized * along));
    });
  }

 private:
  struct Statistics {
    T mean, scale;
    LAMINA_INLINE Vec<T> normalized(Vec<T> x) const { return (x - mean) * scale; }
  };

  // A vector of neighbours, or the last few.
  struct Whole {
    LAMINA_INLINE Vec<T> load(const T* p) const { return lamina::load(p); }
    LAMINA_INLINE void store(T* p, Vec<T> v) const { lamina::store<T>(p, v); }
    LAMINA_INLINE Vec<T> kept(Vec<T> v) const { return v; }
  };
  struct Few {
    int n;
    LAMINA_INLINE Vec<T> load(const T* p) const { return load_n(p, n); }
    LAMINA_INLINE void store(T* p, Vec<T> v) const { store_n<T>(p, v, n); }
    LAMINA_INLINE Vec<T> kept(Vec<T> v) const {  // zeros beside the n
      T lanes[kLanes<T>];
      lamina::store<T>(lanes, v);
      return load_n(lanes, n);
    }
  };

  template <class Body>
  LAMINA_INLINE void each(const Body& body) const {
    Dim i = 0;
    for (; i + kLanes<T> <= size_; i += kLanes<T>) body(i, Whole{});
    if (i < size_) body(i, Few{static_cast<int>(size_ - i)});
  }

  // In four chains of vectors.
  template <class Term>
  LAMINA_INLINE T sum(const Term& term) const {
    Vec<T> chain[4] = {};
    Dim i = 0;
    for (; i + 4 * kLanes<T> <= size_; i += 4 * kLanes<T>)
      for (int k = 0; k < 4; ++k) chain[k] += term(i + k * kLanes<T>, Whole{});
    for (; i + kLanes<T> <= size_; i += kLanes<T>) chain[0] += term(i, Whole{});
    if (i < size_) {
      const Few few{static_cast<int>(size_ - i)};
      chain[1] += few.kept(term(i, few));
    }
    return sum_of_lanes<T>((chain[0] + chain[1]) + (chain[2] + chain[3]));
  }

  LAMINA_INLINE Statistics statistics(const T* x) const {
    const auto n = static_cast<T>(size_);
    const T mean = sum([=](Dim i, auto some) { return some.load(x + i); }) / n;
    const T squares = sum([=](Dim i, auto some) {
      const Vec<T> apart = some.load(x + i) - mean;
      return apart * apart;
    });
    return {mean, T{1} / std::sqrt(squares / n + epsilon_)};
  }

  Dim size_;
  T epsilon_;
};

}  // namespace lamina::kernels
