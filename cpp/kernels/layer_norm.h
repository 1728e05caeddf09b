// Layer normalization of rows, as many at a time as a vector has lanes: each is read a few times
// while it lies in cache, and their sums become one vector, a lane a row, so that divisions and
// roots are taken of all at once. A row's bits do not depend on the other rows.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/softmax.h"
#include "kernels/transpose.h"
#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::kernels {

// Lane i: the sum of the lanes of rows[i], upper half onto lower half.
template <class T, int kDistance = kLanes<T> / 2>
LAMINA_INLINE Vec<T> sums_of_rows(Vec<T>* rows) {
#pragma GCC unroll 8
  for (int i = 0; i < kDistance; ++i) {
    exchange<kDistance>(rows[i], rows[i + kDistance], std::make_integer_sequence<int, kLanes<T>>{});
    rows[i] += rows[i + kDistance];
  }
  if constexpr (kDistance > 1) return sums_of_rows<T, kDistance / 2>(rows);
  return rows[0];
}

template <class T>
class LayerNorm {
 public:
  LayerNorm(Dim size, T epsilon)
      : size_(size), whole_(size / kLanes<T> * kLanes<T>), epsilon_(epsilon) {}

  // Rows that one call takes at most: as many as stay in the first-level cache. Of long rows the
  // sums are little of the work.
  Dim rows_at_once() const {
    if (size_ <= 160) return kRows;
    return size_ < 512 ? std::min<Dim>(kRows, 4) : 1;
  }

  // y may be x. gamma and beta are both there or both null.
  void forward(const T* x, Dim rows, const T* gamma, const T* beta, T* y) const {
    const Statistics s = statistics(x, rows);
    for (Dim r = 0; r < rows; ++r, x += size_, y += size_) {
      const Scale scale = s.of(r);
      each([&](Dim i, auto some) {
        Vec<T> v = scale(some.load(x + i));
        if (gamma != nullptr) v = v * some.load(gamma + i) + some.load(beta + i);
        some.store(y + i, v);
      });
    }
  }

  // dx, which may be null, dy or x; what the rows add to the gradients of gamma and beta goes into
  // `sums` [2, size], if that is not null.
  void backward(const T* dy, const T* x, Dim rows, const T* gamma, T* dx, T* sums) const {
    const Statistics s = statistics(x, rows);
    const Shares shares = dx == nullptr ? Shares{} : shares_of(dy, x, rows, gamma, s);
    const auto row = [&](Dim r) -> Row {
      return {s.of(r), broadcast(shares.mean[r]), broadcast(shares.along[r])};
    };
    if (rows > 1) return gradients(dy, x, rows, gamma, row, dx, sums);
    const Row only = row(0);  // stays in registers
    gradients(
        dy, x, 1, gamma, [&](Dim) { return only; }, dx, sums);
  }

 private:
  static constexpr Dim kRows = kLanes<T>;

  struct Scale {
    Vec<T> mean, factor;
    LAMINA_INLINE Vec<T> operator()(Vec<T> x) const { return (x - mean) * factor; }
  };
  struct Statistics {  // by row
    T mean[kRows], scale[kRows];
    LAMINA_INLINE Scale of(Dim row) const { return {broadcast(mean[row]), broadcast(scale[row])}; }
  };
  // Means over a row of what arrives, and of that times the normalized x.
  struct Shares {
    T mean[kRows], along[kRows];
  };
  struct Row {
    Scale scale;
    Vec<T> mean, along;
  };

  // A vector of neighbours, or the last few: kept() has zeros beside them.
  struct Whole {
    LAMINA_INLINE Vec<T> load(const T* p) const { return lamina::load(p); }
    LAMINA_INLINE void store(T* p, Vec<T> v) const { lamina::store<T>(p, v); }
    LAMINA_INLINE Vec<T> kept(Vec<T> v) const { return v; }
  };
  struct Few {
    int n;
    LAMINA_INLINE Vec<T> load(const T* p) const { return load_n(p, n); }
    LAMINA_INLINE void store(T* p, Vec<T> v) const { store_n<T>(p, v, n); }
    LAMINA_INLINE Vec<T> kept(Vec<T> v) const { return softmax::keep_lanes<T>(v, n, T{0}); }
  };

  template <class Body>
  LAMINA_INLINE void each(const Body& body) const {
    for (Dim i = 0; i < whole_; i += kLanes<T>) body(i, Whole{});
    if (whole_ < size_) body(whole_, Few{static_cast<int>(size_ - whole_)});
  }

  // Column by column, so that what the rows add to the sums stays in registers.
  template <class Rows>
  LAMINA_INLINE void gradients(const T* dy, const T* x, Dim rows, const T* gamma, const Rows& row,
                               T* dx, T* sums) const {
    each([&](Dim i, auto some) {
      const Vec<T> factor = gamma == nullptr ? broadcast<T>(1) : some.load(gamma + i);
      Vec<T> along{}, total{};
      for (Dim r = 0, at = i; r < rows; ++r, at += size_) {
        const Row k = row(r);
        const Vec<T> normalized = k.scale(some.load(x + at)), d = some.load(dy + at);
        along += d * normalized;
        total += d;
        if (dx != nullptr)
          some.store(dx + at, k.scale.factor * (d * factor - k.mean - normalized * k.along));
      }
      if (sums == nullptr) return;
      some.store(sums + i, some.load(sums + i) + along);
      some.store(sums + size_ + i, some.load(sums + size_ + i) + total);
    });
  }

  // The terms of a row as one vector, in four chains.
  template <class Term>
  LAMINA_INLINE Vec<T> folded(const Term& term) const {
    Vec<T> chain[4] = {};
    Dim i = 0;
    for (; i + 4 * kLanes<T> <= whole_; i += 4 * kLanes<T>)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) chain[k] += term(i + k * kLanes<T>, Whole{});
    for (; i < whole_; i += kLanes<T>) chain[0] += term(i, Whole{});
    if (whole_ < size_) {
      const Few few{static_cast<int>(size_ - whole_)};
      chain[1] += few.kept(term(whole_, few));
    }
    return (chain[0] + chain[1]) + (chain[2] + chain[3]);
  }

  // The means of term(row, element, access) over the rows, a lane each.
  template <class Term>
  LAMINA_INLINE Vec<T> means(Dim rows, const Term& term) const {
    Vec<T> parts[kRows];
    if (rows == 1) {
      parts[0] = folded([&](Dim i, auto some) { return term(Dim{0}, i, some); });
      const auto plus = [](Vec<T> a, Vec<T> b) { return a + b; };
      return broadcast<T>(softmax::join_lanes<T>(parts[0], plus)[0] / static_cast<T>(size_));
    }
    for (Dim r = 0; r < rows; ++r)
      parts[r] = folded([&](Dim i, auto some) { return term(r, i, some); });
    for (Dim r = rows; r < kRows; ++r) parts[r] = Vec<T>{};
    return sums_of_rows<T>(parts) / static_cast<T>(size_);
  }

  LAMINA_INLINE Statistics statistics(const T* x, Dim rows) const {
    Statistics s;
    store<T>(s.mean,
             means(rows, [&](Dim r, Dim i, auto some) { return some.load(x + r * size_ + i); }));
    const Vec<T> variance = means(rows, [&](Dim r, Dim i, auto some) {
      const Vec<T> apart = some.load(x + r * size_ + i) - s.mean[r];
      return apart * apart;
    });
    if (rows == 1)
      s.scale[0] = 1 / std::sqrt(variance[0] + epsilon_);
    else
      store<T>(s.scale, 1 / sqrt(variance + epsilon_));
    return s;
  }

  LAMINA_INLINE Shares shares_of(const T* dy, const T* x, Dim rows, const T* gamma,
                                 const Statistics& s) const {
    const auto arrived = [=](Dim at, Dim i, auto some) {
      const Vec<T> d = some.load(dy + at);
      return gamma == nullptr ? d : d * some.load(gamma + i);
    };
    Shares shares;
    store<T>(shares.mean,
             means(rows, [&](Dim r, Dim i, auto some) { return arrived(r * size_ + i, i, some); }));
    store<T>(shares.along, means(rows, [&](Dim r, Dim i, auto some) {
               const Dim at = r * size_ + i;
               return arrived(at, i, some) * s.of(r)(some.load(x + at));
             }));
    return shares;
  }

  Dim size_, whole_;  // whole_: elements in whole vectors
  T epsilon_;
};

}  // namespace lamina::kernels
