// Reductions in fixed slices. Rows: 256 bytes of lanes side by side, then a tree; slices of 4096
// elements are added up in double. Columns: slices of 128 rows, added up with compensation. The
// order depends on the reduced extent only: not on threads, other rows, or the vector's width.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::kernels {

// ---- What to do: an identity, a map of an element, a combination. V is a Vec<T> or a T.
struct SumOf {
  static constexpr bool kSum = true;
  template <class T>
  static constexpr T identity = T(0);
  template <class V>
  static V map(V x) {
    return x;
  }
  template <class V>
  static V combine(V a, V b) {
    return a + b;
  }
};
struct SumOfSquares : SumOf {
  template <class V>
  static V map(V x) {
    return x * x;
  }
};
struct ProductOf {
  static constexpr bool kSum = false;
  template <class T>
  static constexpr T identity = T(1);
  template <class V>
  static V map(V x) {
    return x;
  }
  template <class V>
  static V combine(V a, V b) {
    return a * b;
  }
};
struct MaximumOf : ProductOf {
  template <class T>
  static constexpr T identity = std::numeric_limits<T>::has_infinity
                                    ? -std::numeric_limits<T>::infinity()
                                    : std::numeric_limits<T>::lowest();
  template <class V>
  static V combine(V a, V b) {
    return vmax(a, b);
  }
};
struct MinimumOf : ProductOf {
  template <class T>
  static constexpr T identity = std::numeric_limits<T>::has_infinity
                                    ? std::numeric_limits<T>::infinity()
                                    : std::numeric_limits<T>::max();
  template <class V>
  static V combine(V a, V b) {
    return vmin(a, b);
  }
};
struct AllOf : MinimumOf {  // of bytes that are 0 or 1
  template <class T>
  static constexpr T identity = T(1);
};

// What sums of slices are added up in.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, T>;

// ---- Rows.
constexpr Dim kSlice = 4096;
constexpr Dim kFewElements = 32;  // summed in four chains

template <class R, class T>
LAMINA_INLINE Vec<T> load_or_identity(const T* p, int n) {
  T lanes[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) lanes[i] = R::template identity<T>;
  copy_few<T>(lanes, p, n);
  Vec<T> v = load<T>(lanes);
  return R::map(v);
}

// One slice, n <= kSlice.
template <class R, class T>
__attribute__((noinline)) T reduce_slice(const T* x, Dim n) {
  if (n <= kFewElements) {
    const T none = R::template identity<T>;
    T acc[4] = {none, none, none, none};
    Dim i = 0;
    for (; i + 4 <= n; i += 4)
      for (int k = 0; k < 4; ++k) acc[k] = R::combine(acc[k], R::map(x[i + k]));
    for (int k = 0; i < n; ++i, ++k) acc[k] = R::combine(acc[k], R::map(x[i]));
    return R::combine(R::combine(acc[0], acc[1]), R::combine(acc[2], acc[3]));
  }
  constexpr int kVectors = 256 / kVecBytes;
  constexpr Dim kStep = kVectors * kLanes<T>;
  const Vec<T> start = broadcast<T>(R::template identity<T>);
  Vec<T> acc[kVectors];
  for (auto& a : acc) a = start;
  Dim i = 0;
  for (; i + kStep <= n; i += kStep)
    for (int v = 0; v < kVectors; ++v)
      acc[v] = R::combine(acc[v], R::map(load<T>(x + i + v * kLanes<T>)));
  for (int v = 0; v < kVectors && i < n; ++v) {
    const Dim left = n - i;
    if (left >= kLanes<T>) {
      acc[v] = R::combine(acc[v], R::map(load<T>(x + i)));
    } else if constexpr (std::is_same_v<R, SumOfSquares>) {
      acc[v] = R::combine(acc[v], R::map(load_n<T>(x + i, static_cast<int>(left))));
    } else {
      acc[v] = R::combine(acc[v], load_or_identity<R, T>(x + i, static_cast<int>(left)));
    }
    i += kLanes<T>;
  }
  for (int h = kVectors / 2; h > 0; h /= 2)
    for (int v = 0; v < h; ++v) acc[v] = R::combine(acc[v], acc[v + h]);
  T lanes[kLanes<T>];
  store<T>(lanes, acc[0]);
  for (int h = kLanes<T> / 2; h > 0; h /= 2)
    for (int k = 0; k < h; ++k) lanes[k] = R::combine(lanes[k], lanes[k + h]);
  return lanes[0];
}

template <class R, class T>
Wide<T> reduce_row(const T* x, Dim n) {
  Wide<T> total = R::template identity<T>;
  for (Dim i = 0; i < n; i += kSlice)
    total =
        R::combine(total, static_cast<Wide<T>>(reduce_slice<R, T>(x + i, std::min(kSlice, n - i))));
  return total;
}

// ---- Columns.
constexpr Dim kSliceRows = 128;

// total + x exactly: the rounding error goes to `lost`.
template <class V>
LAMINA_INLINE void add_compensated(V& total, V& lost, V x) {
  const V sum = total + x;
  const V part = sum - total;
  lost += (total - (sum - part)) + (x - part);
  total = sum;
}

// kVectors vectors of columns of the rows x, x + stride ...; with kFew only n < kLanes columns.
template <class R, class T, int kVectors, bool kFew>
LAMINA_INLINE void reduce_strip(const T* x, Dim rows, Dim stride, T* out, int n) {
  constexpr bool kCompensate = R::kSum && std::is_floating_point_v<T>;
  const Vec<T> start = broadcast<T>(R::template identity<T>);
  Vec<T> total[kVectors], lost[kVectors];
  for (int v = 0; v < kVectors; ++v) total[v] = start, lost[v] = Vec<T>{};
  for (Dim first = 0; first < rows; first += kSliceRows) {
    const Dim last = std::min(rows, first + kSliceRows);
    Vec<T> acc[kVectors];
    for (auto& a : acc) a = start;
    for (Dim r = first; r < last; ++r) {
      const T* row = x + r * stride;
      for (int v = 0; v < kVectors; ++v)
        acc[v] =
            R::combine(acc[v], R::map(kFew ? load_n<T>(row, n) : load<T>(row + v * kLanes<T>)));
    }
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kCompensate)
        add_compensated(total[v], lost[v], acc[v]);
      else
        total[v] = R::combine(total[v], acc[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    Vec<T> result = total[v];
    if constexpr (kCompensate) {
      result = total[v] + lost[v];
      result = select(result == result, result, total[v]);  // an infinite sum lost NaN
    }
    if constexpr (kFew)
      store_n<T>(out, result, n);
    else
      store<T>(out + v * kLanes<T>, result);
  }
}

// out[c] = combination of x[r * stride + c] over the rows. The maps of SumOfSquares and of the
// others keep 0 in missing lanes harmless: they are not stored.
template <class R, class T>
__attribute__((noinline)) void reduce_columns(const T* x, Dim rows, Dim columns, Dim stride,
                                              T* out) {
  constexpr int kWide = 4;
  constexpr Dim kLane = kLanes<T>;
  Dim c = 0;
  for (; c + kWide * kLane <= columns; c += kWide * kLane)
    reduce_strip<R, T, kWide, false>(x + c, rows, stride, out + c, 0);
  for (; c + kLane <= columns; c += kLane)
    reduce_strip<R, T, 1, false>(x + c, rows, stride, out + c, 0);
  if (c < columns)
    reduce_strip<R, T, 1, true>(x + c, rows, stride, out + c, static_cast<int>(columns - c));
}

// Few columns side by side waste lanes: 16 rows are taken as one long row, and the 16 results of a
// column joined by a tree.
constexpr Dim kFewColumns = 32, kFold = 16;

template <class R, class T>
__attribute__((noinline)) void reduce_few_columns(const T* x, Dim rows, Dim columns, T* out) {
  T folded[kFewColumns * kFold];
  const Dim groups = rows / kFold, rest = rows % kFold;
  Dim held = kFold;  // rows that `folded` stands for
  if (groups > 0) {
    reduce_columns<R, T>(x, groups, kFold * columns, kFold * columns, folded);
  } else {
    held = static_cast<Dim>(std::bit_ceil(static_cast<std::uint64_t>(std::max<Dim>(rest, 1))));
    std::fill_n(folded, held * columns, R::template identity<T>);
  }
  const T* tail = x + groups * kFold * columns;
  for (Dim i = 0; i < rest * columns; ++i) folded[i] = R::combine(folded[i], R::map(tail[i]));
  for (Dim h = held / 2; h > 0; h /= 2)
    for (Dim i = 0; i < h * columns; ++i)
      folded[i] = R::combine(folded[i], folded[i + h * columns]);
  std::copy_n(folded, columns, out);
}

}  // namespace lamina::kernels
