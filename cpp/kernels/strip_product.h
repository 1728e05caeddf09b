// Small matrix products whose right side and result are strips: one or two vectors a row. Nothing
// is packed: B's rows are vectors where they lie, A's elements are broadcast from any strides.
// Every element of C is one chain over k in order, so that bits do not depend on the tiles.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::strips {

// Rows of a tile: with two vectors each they fill the registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kMostRows = 12;
#else
constexpr int kMostRows = 6;
#endif

template <class T>
struct Product {
  Dim k;
  const T* a;  // A[i, p] = a[i * a_row + p * a_k]
  Dim a_row, a_k;
  const T* b;  // row p at b + p * b_k
  Dim b_k;
  T* c;  // row i at c + i * ldc
  Dim ldc;
  bool accumulate;  // the chains go on from C
};

template <class T, int kRows, int kVectors>
[[gnu::noinline]] void tile(const Product<T>& w) {
  constexpr int kGroups = (kRows + 2) / 3;  // a pointer for every three rows of A
  Vec<T> sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = w.accumulate ? load(w.c + r * w.ldc + v * kLanes<T>) : Vec<T>{};
  const T* a[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) a[g] = w.a + 3 * g * w.a_row;
  const T* b = w.b;
  for (Dim p = 0; p < w.k; ++p, b += w.b_k) {
    Vec<T> row[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) row[v] = load(b + v * kLanes<T>);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const Vec<T> s = broadcast<T>(a[r / 3][r % 3 * w.a_row]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[r][v] += s * row[v];
    }
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) a[g] += w.a_k;
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) store<T>(w.c + r * w.ldc + v * kLanes<T>, sum[r][v]);
}

template <class T, int kVectors, int... kRows>
constexpr auto tiles(std::integer_sequence<int, kRows...>) {
  return std::array{&tile<T, kRows + 1, kVectors>...};
}

// C[rows, kVectors vectors] = A[rows, k] B[k, kVectors vectors], or C plus that. The rows are
// shared out evenly over the tiles.
template <int kVectors, class T>
void multiply(Dim rows, Product<T> w) {
  static constexpr auto kTiles = tiles<T, kVectors>(std::make_integer_sequence<int, kMostRows>{});
  for (Dim tiles = (rows + kMostRows - 1) / kMostRows; tiles > 0; --tiles) {
    const Dim height = (rows + tiles - 1) / tiles;
    kTiles[static_cast<std::size_t>(height - 1)](w);
    rows -= height;
    w.a += height * w.a_row;
    w.c += height * w.ldc;
  }
}

// The same with any number of vectors a row.
template <class T>
void multiply(Dim rows, Dim vectors, Product<T> w) {
  for (; vectors >= 2; vectors -= 2, w.b += 2 * kLanes<T>, w.c += 2 * kLanes<T>)
    multiply<2>(rows, w);
  if (vectors == 1) multiply<1>(rows, w);
}

}  // namespace lamina::strips
