// Products of a row or two with weights laid out in stripes of columns: who computes a stripe reads
// one stretch of memory from end to end.
#pragma once

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/gemm_tile.h"

namespace lamina::stripes {

constexpr Dim kMostRows = 3;  // of the register tile with kVectors vectors
constexpr int kVectors = 4;
constexpr Dim kWorthAThread = 65536;  // weights
static_assert(kVectors <= tile::max_vectors(kMostRows));

template <class T>
constexpr Dim kColumns = kVectors* kLanes<T>;  // of a stripe

inline Dim count(Dim n, Dim columns) { return (n + columns - 1) / columns; }

template <class T>
Dim size(Dim n, Dim k) {
  return count(n, kColumns<T>) * kColumns<T> * k;
}

// Columns beyond the last become zeros.
template <class T>
void lay_out(Dim n, Dim k, const T* w, T* to) {
  parallel_for(count(n, kColumns<T>), 1, [&](Dim begin, Dim end) {
    for (Dim stripe = begin; stripe < end; ++stripe) {
      const Dim first = stripe * kColumns<T>, columns = std::min(kColumns<T>, n - first);
      T* row = to + stripe * kColumns<T> * k;
      for (Dim p = 0; p < k; ++p, row += kColumns<T>) {
        std::copy(w + p * n + first, w + p * n + first + columns, row);
        std::fill(row + columns, row + kColumns<T>, T{0});
      }
    }
  });
}

// y[m,n] = x[m,k] w, m at most kMostRows: every element one chain over k in order, as in gemm.
template <class T>
void multiply(Dim m, Dim n, Dim k, const T* x, const T* stripes, T* y, const Epilogue<T>& e) {
  if (m == 0 || n == 0) return;
  const Dim all = count(n, kColumns<T>);
  const Dim parts =
      std::clamp<Dim>(n * k / kWorthAThread, 1, std::min<Dim>(threads_at_hand(), all));
  parallel_chunks(parts, [&](std::int64_t part) {
    for (Dim i = all * part / parts; i < all * (part + 1) / parts; ++i) {
      const Dim first = i * kColumns<T>, columns = std::min(kColumns<T>, n - first);
      tile::Job<T> job{};
      job.k = k;
      job.a = job.ahead = x;
      job.a_row = k;
      job.a_k = 1;
      job.b = stripes + first * k;
      job.b_k = kColumns<T>;
      job.b_panel = tile::kPanel<T>;
      job.c = y + first;
      job.ldc = n;
      job.bias = e.bias == nullptr ? nullptr : e.bias + first;
      job.relu = e.activation == Activation::relu;
      job.tail = static_cast<int>(columns % kLanes<T>);
      const auto vectors = static_cast<int>(count(columns, kLanes<T>));
      tile::kTable<T>.get(static_cast<int>(m), vectors, job.tail != 0)(job);
    }
  });
  if (e.activation == Activation::sigmoid)
    apply<T>(
        y, m * n, [](Vec<T> v) { return sigmoid(v); }, y);
  if (e.activation == Activation::tanh)
    apply<T>(
        y, m * n, [](Vec<T> v) { return tanh(v); }, y);
}

}  // namespace lamina::stripes
