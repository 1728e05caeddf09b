// The register tile of the matrix product: up to kTileRows x 2 vectors of C stay in registers while
// k runs. Rows and vectors are template arguments, so a size that does not divide is split evenly
// over smaller tiles, and few rows get more vectors, which keeps enough independent chains in
// flight to hide the latency of the FMA.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/stream.h"
#include "kernels/vec.h"
#include "lamina/types.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace lamina::tile {

#if defined(__AVX512F__)
constexpr int kTileRows = 14;  // 28 accumulators, 2 vectors of B, 1 broadcast: 31 of 32 registers
#elif defined(__aarch64__)
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;  // 12 + 2 + 1 of 16 registers
#endif
constexpr int kMaxVectors = 8;

constexpr int max_vectors(int rows) { return rows == 1 ? 8 : rows <= 3 ? 4 : 2; }

// Columns of a packed panel of B.
template <class T>
constexpr Dim kPanel = 2 * kLanes<T>;

// The first n lanes of a vector, prepared once for the whole loop over k: load_n would branch at
// every step. Lanes beyond n are neither read nor written.
#if defined(__AVX512F__)
class Lanes {
 public:
  explicit Lanes(int n) : mask_(static_cast<__mmask16>((1u << n) - 1)) {}
  LAMINA_INLINE Vec<float> load(const float* p) const {
    return (Vec<float>)_mm512_maskz_loadu_ps(mask_, p);
  }
  LAMINA_INLINE Vec<double> load(const double* p) const {
    return (Vec<double>)_mm512_maskz_loadu_pd(static_cast<__mmask8>(mask_), p);
  }
  LAMINA_INLINE void store(float* p, Vec<float> v) const {
    _mm512_mask_storeu_ps(p, mask_, (__m512)v);
  }
  LAMINA_INLINE void store(double* p, Vec<double> v) const {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask_), (__m512d)v);
  }

 private:
  __mmask16 mask_;
};
#elif defined(__AVX2__)
class Lanes {
 public:
  explicit Lanes(int n) : n_(n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    singles_ = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
    doubles_ = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(singles_));
  }
  LAMINA_INLINE Vec<float> load(const float* p) const {
    return (Vec<float>)_mm256_maskload_ps(p, singles_);
  }
  LAMINA_INLINE Vec<double> load(const double* p) const {
    return (Vec<double>)_mm256_maskload_pd(p, doubles_);
  }
  template <class T>
  LAMINA_INLINE void store(T* p, Vec<T> v) const {
    store_n<T>(p, v, n_);
  }

 private:
  int n_;
  __m256i singles_, doubles_;
};
#else
class Lanes {
 public:
  explicit Lanes(int n) : n_(n) {}
  template <class T>
  LAMINA_INLINE Vec<T> load(const T* p) const {
    return load_n(p, n_);
  }
  template <class T>
  LAMINA_INLINE void store(T* p, Vec<T> v) const {
    store_n<T>(p, v, n_);
  }

 private:
  int n_;
};
#endif

// An element of a gradient behind a ReLU of the result y.
template <class T>
LAMINA_INLINE Vec<T> pass_gate(Vec<T> x, Vec<T> y, T scale) {
  return select(y > Vec<T>{}, x * scale, Vec<T>{});
}

// One tile's work: C[rows, n] (continued) += A B over k.
template <class T>
struct Job {
  Dim k;
  const T* a;
  Dim a_row, a_k;
  const T* b;  // vectors 0 and 1 of row p at b + p * b_k, the next two b_panel further, ...
  Dim b_k, b_panel;
  T* c;
  Dim ldc;
  const T* bias;  // null: none, or the chain goes on in a later block of k
  bool from_c;    // the chain continues from C
  bool relu;
  const T* gate;  // null: none, or elements ldc apart as in Epilogue
  T scale;
  bool streams;    // C goes past the caches; its rows consist of whole lines
  int tail;        // columns of the last vector when it is not full
  const T* ahead;  // asked for meanwhile: a line at every step of k
  Dim ahead_step;
};

template <class T, int kRows, int kVectors, bool kTail>
[[gnu::noinline]] void multiply(const Job<T>& job) {
  using V = Vec<T>;
  constexpr int kGroups = (kRows + 2) / 3;  // a pointer for every three rows of A
  constexpr int kPanels = (kVectors + 1) / 2;
  // Rows of B asked for in advance, when a step is too short to hide the way from the third-level
  // cache: the processor does not guess rows that lie far apart.
  constexpr int kAhead = kVecBytes < 64 ? 12 : 0;
  const Lanes tail(job.tail);
  const auto load_b = [&tail](const T* p, int v) __attribute__((always_inline)) {
    if constexpr (kTail)
      if (v == kVectors - 1) return tail.load(p);
    return load(p);
  };
  V c[kRows][kVectors];
  if (job.from_c) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) c[i][v] = load_b(job.c + i * job.ldc + v * kLanes<T>, v);
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) c[i][v] = V{};
  }

  const T* a[kGroups];
  for (int g = 0; g < kGroups; ++g) a[g] = job.a + 3 * g * job.a_row;
  const T* b[kPanels];
  for (int q = 0; q < kPanels; ++q) b[q] = job.b + q * job.b_panel;
  const Dim a_row = job.a_row, a_k = job.a_k, b_k = job.b_k;
  const T* ahead = job.ahead;
  for (Dim p = 0; p < job.k; ++p) {
    if constexpr (kAhead > 0)
#pragma GCC unroll 4
      for (int q = 0; q < kPanels; ++q) __builtin_prefetch(b[q] + kAhead * b_k);
    if constexpr (kRows > 3) {
      __builtin_prefetch(ahead);
      ahead += job.ahead_step;
    }
    V bv[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) bv[v] = load_b(b[v / 2] + v % 2 * kLanes<T>, v);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const V av = broadcast<T>(a[i / 3][i % 3 * a_row]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) c[i][v] += av * bv[v];
    }
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) a[g] += a_k;
#pragma GCC unroll 4
    for (int q = 0; q < kPanels; ++q) b[q] += b_k;
  }

#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    if (job.bias != nullptr) {
      const V bias = load_b(job.bias + v * kLanes<T>, v);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) c[i][v] += bias;
    }
    if (job.relu) {
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) c[i][v] = at_least(c[i][v], V{});
    }
    if (job.gate != nullptr) {
      const T* const gate = job.gate + v * kLanes<T>;
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i)
        c[i][v] = pass_gate(c[i][v], load_b(gate + i * job.ldc, v), job.scale);
    }
  }
  if constexpr (!kTail)
    if (job.streams) {
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) stream<T>(job.c + i * job.ldc + v * kLanes<T>, c[i][v]);
      return;
    }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      T* q = job.c + i * job.ldc + v * kLanes<T>;
      if (kTail && v == kVectors - 1)
        tail.store(q, c[i][v]);
      else
        store<T>(q, c[i][v]);
    }
}

template <class T>
using Multiply = void (*)(const Job<T>&);

// multiply<T, rows, vectors, tail> at [tail][rows - 1][vectors - 1].
template <class T>
class Table {
 public:
  constexpr Table() { fill_rows(std::make_integer_sequence<int, kTileRows>()); }
  Multiply<T> get(int rows, int vectors, bool tail) const {
    return entries_[tail][rows - 1][vectors - 1];
  }

 private:
  template <int... kRow>
  constexpr void fill_rows(std::integer_sequence<int, kRow...>) {
    (fill<kRow + 1>(std::make_integer_sequence<int, max_vectors(kRow + 1)>()), ...);
  }
  template <int kRows, int... kVector>
  constexpr void fill(std::integer_sequence<int, kVector...>) {
    ((entries_[0][kRows - 1][kVector] = multiply<T, kRows, kVector + 1, false>,
      entries_[1][kRows - 1][kVector] = multiply<T, kRows, kVector + 1, true>),
     ...);
  }
  Multiply<T> entries_[2][kTileRows][kMaxVectors] = {};
};
template <class T>
inline constexpr Table<T> kTable{};

}  // namespace lamina::tile
