// B in the order the register tiles read it: panels of columns, each from row to row.
#pragma once

#include <algorithm>

#include "kernels/gemm_tile.h"
#include "kernels/transpose.h"

namespace lamina::tile {

// As many columns of B as a vector has lanes, contiguous over k and b_col apart, become rows of a
// panel.
template <class T>
void turn_columns(Dim k, const T* b, Dim b_col, T* panel) {
  constexpr int lanes = kLanes<T>;
  const auto turn = [&](Dim p, Dim count, auto load_row) __attribute__((always_inline)) {
    Vec<T> square[lanes];
#pragma GCC unroll 16
    for (int j = 0; j < lanes; ++j) square[j] = load_row(b + j * b_col + p);
    kernels::transpose_square<T>(square);
#pragma GCC unroll 16
    for (int q = 0; q < lanes; ++q)
      if (q < count) store<T>(panel + (p + q) * kPanel<T>, square[q]);
  };
  Dim p = 0;
  for (; p + lanes <= k; p += lanes) turn(p, lanes, [](const T* q) { return load(q); });
  const Lanes rest(static_cast<int>(k - p));
  if (p < k) turn(p, k - p, [&rest](const T* q) { return rest.load(q); });
}

// Columns [0, n) of B, n at most a panel -> panel[p * kPanel + j]; missing columns are zero.
template <class T>
void pack_panel(Dim n, Dim k, const T* b, Dim b_k, Dim b_col, T* panel) {
  constexpr Dim row = kPanel<T>, lanes = kLanes<T>;
  if (b_col == 1 && n == row) {
    for (Dim p = 0; p < k; ++p, b += b_k, panel += row) {
      store<T>(panel, load(b));
      store<T>(panel + lanes, load(b + lanes));
    }
    return;
  }
  Dim j = 0;
  if (b_k == 1)
    for (; j + lanes <= n; j += lanes) turn_columns(k, b + j * b_col, b_col, panel + j);
  for (; j < n; ++j)
    for (Dim p = 0; p < k; ++p) panel[p * row + j] = b[p * b_k + j * b_col];
  if (n < row)
    for (Dim p = 0; p < k; ++p) std::fill(panel + p * row + n, panel + (p + 1) * row, T{0});
}

// Panels b_panel apart. Rows of B that lie one after the other are read so.
template <class T>
void pack_block(Dim n, Dim k, const T* b, Dim b_k, Dim b_col, T* packed, Dim b_panel) {
  constexpr Dim kFew = 64;  // rows, of which whole ones are read (gemm_slices.cpp)
  const Dim step = b_col != 1 ? k : k <= kFew ? 1 : 8;
  for (Dim p = 0; p < k; p += step)
    for (Dim j = 0; j < n; j += kPanel<T>)
      pack_panel(std::min(kPanel<T>, n - j), std::min(step, k - p), b + p * b_k + j * b_col, b_k,
                 b_col, packed + j / kPanel<T> * b_panel + p * kPanel<T>);
}

}  // namespace lamina::tile
