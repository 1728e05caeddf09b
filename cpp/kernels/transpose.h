// Copies that change the order of elements. Typed by the size of an item only.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/copy.h"
#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::kernels {

// Of a and b, the lanes whose number has the bit kDistance change places: those of a go to b.
template <int kDistance, class V, int... kLane>
LAMINA_INLINE void exchange(V& a, V& b, std::integer_sequence<int, kLane...>) {
  constexpr int n = sizeof...(kLane);
  const V low =
      __builtin_shufflevector(a, b, ((kLane & kDistance) != 0 ? n + kLane - kDistance : kLane)...);
  b = __builtin_shufflevector(a, b, ((kLane & kDistance) != 0 ? n + kLane : kLane + kDistance)...);
  a = low;
}

// Transposes a square of as many vectors as a vector has lanes, in registers: blocks off the
// diagonal change places, then the blocks inside of each block.
template <class T, int kDistance = kLanes<T> / 2>
LAMINA_INLINE void transpose_square(Vec<T>* rows) {
  constexpr int n = kLanes<T>;
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i)
    if ((i & kDistance) == 0)
      exchange<kDistance>(rows[i], rows[i + kDistance], std::make_integer_sequence<int, n>());
  if constexpr (kDistance > 1) transpose_square<T, kDistance / 2>(rows);
}

// As many rows as a vector has lanes, and as many columns.
template <class T>
LAMINA_INLINE void transpose_square(const T* from, Dim from_stride, T* to, Dim to_stride) {
  Vec<T> rows[kLanes<T>];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) rows[i] = load(from + i * from_stride);
  transpose_square<T>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) store<T>(to + i * to_stride, rows[i]);
}

// to[i * to_stride + j] = from[j * from_stride + i] for i < rows, j < columns: tile by tile, so
// that both sides stay in cache lines that are in use.
template <class T>
void transpose_plane(const T* from, Dim from_stride, T* to, Dim to_stride, Dim rows, Dim columns) {
  constexpr bool kInRegisters = sizeof(T) >= 4;
  constexpr Dim kTile = kInRegisters ? kLanes<T> : 16;
  for (Dim i0 = 0; i0 < rows; i0 += kTile)
    for (Dim j0 = 0; j0 < columns; j0 += kTile) {
      const Dim i1 = std::min(rows, i0 + kTile), j1 = std::min(columns, j0 + kTile);
      if constexpr (kInRegisters)
        if (i1 - i0 == kTile && j1 - j0 == kTile) {
          transpose_square(from + j0 * from_stride + i0, from_stride, to + i0 * to_stride + j0,
                           to_stride);
          continue;
        }
      for (Dim i = i0; i < i1; ++i)
        for (Dim j = j0; j < j1; ++j) to[i * to_stride + j] = from[j * from_stride + i];
    }
}

// to[i] = from[i * stride]
template <class T>
void gather_strided(const T* from, Dim stride, T* to, Dim n) {
  if (stride == 1) return copy_run(to, from, static_cast<std::size_t>(n) * sizeof(T));
  for (Dim i = 0; i < n; ++i) to[i] = from[i * stride];
}

}  // namespace lamina::kernels
