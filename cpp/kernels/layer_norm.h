// Layer normalization of rows, in blocks that stay in the first-level cache: a block's sums become
// one vector, so that divisions and roots are taken of all its rows at once. A row's bits do not
// depend on the other rows.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/softmax.h"
#include "kernels/transpose.h"
#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::kernels {

// The sums over the lanes of each of kRows vectors, upper half onto lower half. That of rows[i] is
// in the lanes from i * kLanes / kRows on.
template <class T, int kRows, int kDistance = kLanes<T> / 2>
LAMINA_INLINE Vec<T> sums_of_rows(Vec<T>* rows) {
  using Lanes = std::make_integer_sequence<int, kLanes<T>>;
  constexpr int kLeft = kRows > 1 ? kRows / 2 : 1;
  if constexpr (kDistance == 0) {
    return rows[0];
  } else {
    if constexpr (kRows == 1) {
      rows[0] += softmax::swap_lanes<kDistance>(rows[0], Lanes{});
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < kLeft; ++i) {
        exchange<kDistance>(rows[i], rows[i + kLeft], Lanes{});
        rows[i] += rows[i + kLeft];
      }
    }
    return sums_of_rows<T, kLeft, kDistance / 2>(rows);
  }
}

// kSize: the size of a row if it is known beforehand, or 0.
template <class T, Dim kSize = 0>
class LayerNorm {
 public:
  using Item = T;
  // is_near: all rows stay in a cache.
  LayerNorm(Dim size, T epsilon, bool is_near)
      : any_size_(size),
        epsilon_(epsilon),
        is_near_(is_near),
        is_short_(size * static_cast<Dim>(sizeof(T)) <= kShortBytes) {}

  // y may be x. gamma and beta are both there or both null.
  void forward(const T* x, Dim rows, const T* gamma, const T* beta, T* y) const {
    with_block(rows, [&](auto most) {
      constexpr int kRows = most();
      staggered<kRows>(
          rows, [&](Dim r, Dim n, Block<kRows>& b) { take_means(x + r * size(), n, b); },
          [&](Dim r, Dim n, Block<kRows>& b) { take_scales(x + r * size(), n, b); },
          [&](Dim r, Dim n, const Block<kRows>& b) {
            in_groups(n, gamma != nullptr, [&](Dim i, auto group) {
              results<group()>(b, i, x + (r + i) * size(), gamma, beta, y + (r + i) * size());
            });
          });
    });
  }

  // dx, which may be null, dy or x; what the rows add to the gradients of gamma and beta goes into
  // `sums` [2, size], if that is not null.
  void backward(const T* dy, const T* x, Dim rows, const T* gamma, T* dx, T* sums) const {
    with_block(rows, [&](auto most) {
      constexpr int kRows = most();
      staggered<kRows>(
          rows, [&](Dim r, Dim n, Block<kRows>& b) { take_means(x + r * size(), n, b); },
          [&](Dim r, Dim n, Block<kRows>& b) {
            if (dx == nullptr)
              take_scales(x + r * size(), n, b);
            else
              take_shares(dy + r * size(), x + r * size(), n, gamma, b);
          },
          [&](Dim r, Dim n, const Block<kRows>& b) {
            in_groups(n, sums != nullptr, [&](Dim i, auto group) {
              const Dim at = (r + i) * size();
              gradients<group()>(b, i, dy + at, x + at, gamma, dx == nullptr ? nullptr : dx + at,
                                 sums);
            });
          });
    });
  }

 private:
  // Of a block of x. In a cache four rows of usual sizes, or eight short ones; memory is to be read
  // and written in turns, not in bursts.
  static constexpr Dim kNearBytes = 6144, kFarBytes = 3072;
  // Rows that are written together, column by column: they share the loads of gamma and beta, or of
  // the sums for these. Memory takes them better one by one, unless they are short.
  static constexpr int kGroup = kVecBytes == 64 ? 4 : 2;
  static constexpr Dim kShortBytes = 256;

  // What the rows of a block have of their own: mean and one over the standard deviation of x; and
  // what is taken from their gradients, `shift` and, times x's distance from the mean, `bend`.
  template <int kRows>
  struct Block {
    T mean[kLanes<T>], scale[kLanes<T>], shift[kLanes<T>], bend[kLanes<T>];
    static LAMINA_INLINE Vec<T> of(const T* values, Dim row) {
      return broadcast(values[row * (kLanes<T> / kRows)]);
    }
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

  // Calls run with the rows of a block, a constant.
  template <class Run>
  void with_block(Dim rows, const Run& run) const {
    const Dim bytes = is_near_ && !is_short_ ? kNearBytes : kFarBytes;
    const Dim most = rows == 1 ? 1 : bytes / static_cast<Dim>(sizeof(T)) / std::max<Dim>(size(), 1);
    choose_block<kLanes<T>>(most, run);
  }
  template <int kRows, class Run>
  static void choose_block(Dim most, const Run& run) {
    if constexpr (kRows > 1)
      if (most < kRows) return choose_block<kRows / 2>(most, run);
    run(std::integral_constant<int, kRows>{});
  }

  // Takes all blocks of rows through three stages, each called with its first row, its rows and
  // its state. The first two end in a chain of steps that wait for each other, from the sums to the
  // root; what runs next is a stage of another block, which waits for nothing.
  template <int kRows, class First, class Second, class Last>
  LAMINA_INLINE void staggered(Dim rows, const First& first, const Second& second,
                               const Last& last) const {
    Block<kRows> blocks[2];
    const auto count = [=](Dim row) { return std::min<Dim>(kRows, rows - row); };
    first(0, count(0), blocks[0]);
    second(0, count(0), blocks[0]);
    int now = 0;
    for (Dim row = 0; row < rows; row += kRows, now ^= 1) {
      const Dim next = row + kRows;
      if (next < rows) first(next, count(next), blocks[now ^ 1]);
      last(row, count(row), blocks[now]);
      if (next < rows) second(next, count(next), blocks[now ^ 1]);
    }
  }

  template <class Body>
  LAMINA_INLINE void in_groups(Dim rows, bool they_share, const Body& body) const {
    Dim i = 0;
    if (is_short_ || (is_near_ && they_share)) {
      for (; i + kGroup <= rows; i += kGroup) body(i, std::integral_constant<int, kGroup>{});
      if constexpr (kGroup > 2)
        for (; i + 2 <= rows; i += 2) body(i, std::integral_constant<int, 2>{});
    }
    for (; i < rows; ++i) body(i, std::integral_constant<int, 1>{});
  }

  template <class Body>
  LAMINA_INLINE void each(const Body& body) const {
    for (Dim i = 0; i < whole(); i += kLanes<T>) body(i, Whole{});
    if (whole() < size()) body(whole(), Few{static_cast<int>(size() - whole())});
  }

  // A row's sums as vectors, in four chains: add(i, access, sums) adds the terms of one vector.
  template <int kSums, class Add>
  LAMINA_INLINE void folded(const Add& add, Vec<T> (&sums)[kSums]) const {
    Vec<T> chain[4][kSums] = {};
    Dim i = 0;
    for (; i + 4 * kLanes<T> <= whole(); i += 4 * kLanes<T>)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) add(i + k * kLanes<T>, Whole{}, chain[k]);
    for (; i < whole(); i += kLanes<T>) add(i, Whole{}, chain[0]);
    if (whole() < size()) add(whole(), Few{static_cast<int>(size() - whole())}, chain[1]);
    for (int s = 0; s < kSums; ++s)
      sums[s] = (chain[0][s] + chain[1][s]) + (chain[2][s] + chain[3][s]);
  }

  // The sum of a row as a vector, likewise.
  LAMINA_INLINE Vec<T> sum_of(const T* x) const {
    constexpr Dim kStep = 4 * kLanes<T>;
    Vec<T> chain[4] = {};
    Dim i = 0;
    for (; i + kStep <= whole(); i += kStep)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const Vec<T> v = load(x + i + k * kLanes<T>);
        chain[k] = i == 0 ? v : chain[k] + v;
      }
    for (; i < whole(); i += kLanes<T>) chain[0] += load(x + i);
    if (whole() < size()) chain[1] += load_n(x + whole(), static_cast<int>(size() - whole()));
    return (chain[0] + chain[1]) + (chain[2] + chain[3]);
  }

  // Means over the rows of a block, as the lanes of vectors; sums_of(row, sums) gives those of one.
  template <int kRows, int kSums, class SumsOf>
  LAMINA_INLINE void means(Dim rows, const SumsOf& sums_of, Vec<T> (&result)[kSums]) const {
    Vec<T> parts[kSums][kRows];
    for (Dim r = 0; r < rows; ++r) {
      Vec<T> sums[kSums];
      sums_of(r, sums);
      for (int s = 0; s < kSums; ++s) parts[s][r] = sums[s];
    }
    for (Dim r = rows; r < kRows; ++r)
      for (int s = 0; s < kSums; ++s) parts[s][r] = Vec<T>{};
    for (int s = 0; s < kSums; ++s)
      result[s] = over<kRows>(sums_of_rows<T, kRows>(parts[s]), broadcast(static_cast<T>(size())));
  }

  // a / b; that of one row is not worth a vector's.
  template <int kRows>
  static LAMINA_INLINE Vec<T> over(Vec<T> a, Vec<T> b) {
    if constexpr (kRows == 1)
      return broadcast<T>(a[0] / b[0]);
    else
      return a / b;
  }
  template <int kRows>
  LAMINA_INLINE void keep_scales(Vec<T> variance, Block<kRows>& b) const {
    if constexpr (kRows == 1)
      b.scale[0] = 1 / std::sqrt(variance[0] + epsilon_);
    else
      store<T>(b.scale, 1 / sqrt(variance + epsilon_));
  }

  template <int kRows>
  LAMINA_INLINE void take_means(const T* x, Dim rows, Block<kRows>& b) const {
    Vec<T> mean[1];
    means<kRows>(
        rows, [&](Dim r, Vec<T>(&sums)[1]) { sums[0] = sum_of(x + r * size()); }, mean);
    store<T>(b.mean, mean[0]);
  }

  template <int kRows>
  LAMINA_INLINE void take_scales(const T* x, Dim rows, Block<kRows>& b) const {
    Vec<T> variance[1];
    means<kRows>(
        rows,
        [&](Dim r, Vec<T>(&sums)[1]) {
          const T* const row = x + r * size();
          const Vec<T> mean = b.of(b.mean, r);
          folded(
              [&](Dim i, auto some, Vec<T>* to) {
                const Vec<T> apart = some.kept(some.load(row + i) - mean);
                to[0] += apart * apart;
              },
              sums);
        },
        variance);
    keep_scales(variance[0], b);
  }

  template <int kRows>
  LAMINA_INLINE void take_shares(const T* dy, const T* x, Dim rows, const T* gamma,
                                 Block<kRows>& b) const {
    Vec<T> mean[3];  // of the squared distance from the mean, of d, of d times the distance
    means<kRows>(
        rows,
        [&](Dim r, Vec<T>(&sums)[3]) {
          const T *const row = x + r * size(), *const arrived = dy + r * size();
          const Vec<T> of_row = b.of(b.mean, r);
          folded(
              [&](Dim i, auto some, Vec<T>* to) {
                const Vec<T> apart = some.kept(some.load(row + i) - of_row);
                Vec<T> d = some.load(arrived + i);
                if (gamma != nullptr) d *= some.load(gamma + i);
                to[0] += apart * apart;
                to[1] += d;
                to[2] += d * apart;
              },
              sums);
        },
        mean);
    keep_scales(mean[0], b);
    const Vec<T> scale = load(b.scale);
    store<T>(b.shift, mean[1] * scale);
    store<T>(b.bend, mean[2] * scale * (scale * scale));
  }

  template <int kGroupRows, int kRows>
  LAMINA_INLINE void results(const Block<kRows>& b, Dim row, const T* x, const T* gamma,
                             const T* beta, T* y) const {
    Vec<T> mean[kGroupRows], scale[kGroupRows];
    for (int g = 0; g < kGroupRows; ++g) {
      mean[g] = b.of(b.mean, row + g);
      scale[g] = b.of(b.scale, row + g);
    }
    const auto normalized = [&](Dim i, int g, auto some) {
      return (some.load(x + g * size() + i) - mean[g]) * scale[g];
    };
    if (gamma == nullptr)
      each([&](Dim i, auto some) {
        for (int g = 0; g < kGroupRows; ++g) some.store(y + g * size() + i, normalized(i, g, some));
      });
    else
      each([&](Dim i, auto some) {
        const Vec<T> factor = some.load(gamma + i), term = some.load(beta + i);
        for (int g = 0; g < kGroupRows; ++g)
          some.store(y + g * size() + i, normalized(i, g, some) * factor + term);
      });
  }

  template <int kGroupRows, int kRows>
  LAMINA_INLINE void gradients(const Block<kRows>& b, Dim row, const T* dy, const T* x,
                               const T* gamma, T* dx, T* sums) const {
    Vec<T> mean[kGroupRows], scale[kGroupRows], shift[kGroupRows], bend[kGroupRows];
    for (int g = 0; g < kGroupRows; ++g) {
      mean[g] = b.of(b.mean, row + g);
      scale[g] = b.of(b.scale, row + g);
      shift[g] = b.of(b.shift, row + g);
      bend[g] = b.of(b.bend, row + g);
    }
    each([&](Dim i, auto some) {
      const Vec<T> factor = gamma == nullptr ? broadcast<T>(1) : some.load(gamma + i);
      Vec<T> along{}, total{};
      if (sums != nullptr) along = some.load(sums + i), total = some.load(sums + size() + i);
      for (int g = 0; g < kGroupRows; ++g) {
        const Dim at = g * size() + i;
        const Vec<T> apart = some.load(x + at) - mean[g], d = some.load(dy + at);
        const Vec<T> scaled = d * scale[g];
        along += scaled * apart;
        total += d;
        if (dx != nullptr) some.store(dx + at, scaled * factor - (apart * bend[g] + shift[g]));
      }
      if (sums != nullptr) some.store(sums + i, along), some.store(sums + size() + i, total);
    });
  }

  LAMINA_INLINE Dim size() const { return kSize > 0 ? kSize : any_size_; }
  LAMINA_INLINE Dim whole() const { return size() / kLanes<T> * kLanes<T>; }  // in whole vectors

  Dim any_size_;
  T epsilon_;
  bool is_near_, is_short_;
};

}  // namespace lamina::kernels
