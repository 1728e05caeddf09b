// Copies that change the order of elements. Typed by the size of an item only.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::kernels {

constexpr Dim kTransposeTile = 16;

// to[i * to_stride + j] = from[j * from_stride + i] for i < rows, j < columns: tile by tile, so
// that both sides stay in cache lines that are in use.
template <class T>
void transpose_plane(const T* from, Dim from_stride, T* to, Dim to_stride, Dim rows, Dim columns) {
  for (Dim i0 = 0; i0 < rows; i0 += kTransposeTile)
    for (Dim j0 = 0; j0 < columns; j0 += kTransposeTile) {
      const Dim i1 = std::min(rows, i0 + kTransposeTile),
                j1 = std::min(columns, j0 + kTransposeTile);
      for (Dim i = i0; i < i1; ++i)
        for (Dim j = j0; j < j1; ++j) to[i * to_stride + j] = from[j * from_stride + i];
    }
}

// to[i] = from[i * stride]
template <class T>
void gather_strided(const T* from, Dim stride, T* to, Dim n) {
  if (stride == 1) {
    if (n < kLanes<T>)
      copy_few<T>(to, from, static_cast<int>(n));
    else
      std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    return;
  }
  for (Dim i = 0; i < n; ++i) to[i] = from[i * stride];
}

}  // namespace lamina::kernels
