#include "kernels/gemm_slices.h"

#include <algorithm>

#include "base/even_parts.h"
#include "kernels/gemm.h"
#include "kernels/shares.h"
#include "kernels/vec.h"

namespace lamina {
namespace {

constexpr int kSlot = 3;       // of the caller's workspace
constexpr int kSpareSlot = 2;  // of the thread that runs a chunk
// Of rows read in pieces the processor asks for the next ones, too, 16 or so, which are another
// thread's. Where that is much of a slice, it is packed, which reads whole rows.
constexpr Dim kShort = 64;
constexpr Dim kMostParts = 4;        // of gemm_in_slices
constexpr Dim kMostSlices = 8;       // costs of the sums grow with them
constexpr Dim kLeastRows = 1024;     // of a slice
constexpr Dim kReadsForElement = 8;  // elements of A and B that a slice reads for one of C

// Slices [first, first + 2 step), ... : the later half of each is added to the earlier one, in
// parts that the threads of the pair share.
template <class T>
void add_pairs(Dim slices, Dim step, Dim size, T* sums, T* last) {
  const Dim pairs = slices / (2 * step);
  const Dim parts = std::max<Dim>(1, std::min(size / 1024, threads_at_hand() / pairs));
  parallel_chunks(pairs * parts, [=](std::int64_t chunk) {
    const Dim pair = chunk / parts, part = chunk % parts;
    const Dim begin = size * part / parts, end = size * (part + 1) / parts;
    T* const left = sums + 2 * pair * step * size + begin;
    T* const to = pairs == 1 ? last + begin : left;
    apply<T>(
        to, end - begin, [](Vec<T> x, Vec<T> y) { return x + y; }, left, left + step * size);
  });
}

// A product whose sum is cut into slices.
template <class T>
struct SlicedProduct {
  Dim slices, m, n, k;
  const T* a;
  Dim a_row, a_k;
  const T* b;
  Dim b_k, b_col;
  bool is_shared;  // other slices are another thread's

  // C = the slices [first, first + count), 1, 2 or 4 of them: pairs of pairs.
  void sum(Dim first, Dim count, T* c, Dim ldc) const {
    if (count == 1) return multiply(first, c, ldc);
    T* const other = workspace<T>(kSpareSlot, static_cast<std::size_t>(kMostParts / 2 * m * n)) +
                     (count / 2 - 1) * m * n;
    sum(first, count / 2, c, ldc);
    sum(first + count / 2, count / 2, other, n);
    for (Dim i = 0; i < m; ++i)
      apply<T>(
          c + i * ldc, n, [](Vec<T> x, Vec<T> y) { return x + y; }, c + i * ldc, other + i * n);
  }

 private:
  void multiply(Dim slice, T* c, Dim ldc) const {
    const Dim begin = share_begin(k, slice, slices), end = share_begin(k, slice + 1, slices);
    const Dim rows = end - begin;
    if (!is_shared || rows > kShort || b_col != 1 || a_k != 1)
      return gemm_serial<T>(m, n, rows, a + begin * a_k, a_row, a_k, b + begin * b_k, b_k, b_col, c,
                            ldc, {});
    T* const packed = workspace<T>(0, static_cast<std::size_t>(packed_b_size<T>(n, rows)));
    pack_b(n, rows, b + begin * b_k, b_k, b_col, packed);
    gemm_packed_serial<T>(m, n, rows, a + begin, a_row, packed, c, ldc, {});
  }
};

// c[i] = f(the sum of `count` arrays [size] at i), 1, 2 or 4 of them: pairs of pairs.
template <class T, class F, class... Bias>
void combine(Dim count, Dim n, const T* from, Dim size, T* c, const F& f, const Bias*... bias) {
  if (count == 1)
    apply<T>(
        c, n, [&f](Vec<T> x, auto... b) { return f((x + ... + b)); }, from, bias...);
  else if (count == 2)
    apply<T>(
        c, n, [&f](Vec<T> x, Vec<T> y, auto... b) { return f(((x + y) + ... + b)); }, from,
        from + size, bias...);
  else
    apply<T>(
        c, n,
        [&f](Vec<T> x, Vec<T> y, Vec<T> z, Vec<T> w, auto... b) {
          return f((((x + y) + (z + w)) + ... + b));
        },
        from, from + size, from + 2 * size, from + 3 * size, bias...);
}

// C[m,n] = the sum of `count` arrays like it, with what the epilogue does.
template <class T>
void finish_sum(Dim count, Dim m, Dim n, const T* sums, T* c, const Epilogue<T>& e) {
  const auto rows_with = [&](const auto& f) {
    const Dim grain = std::max<Dim>(1, 8192 / std::max<Dim>(1, n));
    parallel_evenly(m, std::max<Dim>(1, grain / 2), 1, grain, [&](Dim begin, Dim end) {
      if (e.bias == nullptr)
        return combine(count, (end - begin) * n, sums + begin * n, m * n, c + begin * n, f);
      for (Dim i = begin; i < end; ++i)
        combine(count, n, sums + i * n, m * n, c + i * n, f, e.bias);
    });
  };
  if (e.activation == Activation::linear) rows_with([](Vec<T> v) { return v; });
  if (e.activation == Activation::relu) rows_with([](Vec<T> v) { return at_least(v, Vec<T>{}); });
  if (e.activation == Activation::sigmoid) rows_with([](Vec<T> v) { return sigmoid(v); });
  if (e.activation == Activation::tanh) rows_with([](Vec<T> v) { return tanh(v); });
}

}  // namespace

Dim slices_of(Dim m, Dim n, Dim k) {
  Dim slices = 1;
  while (slices < kMostSlices && k / (2 * slices) >= kLeastRows &&
         k / (2 * slices) * (m + n) >= kReadsForElement * m * n)
    slices *= 2;
  return slices;
}

template <class T>
void gemm_slices(Dim m, Dim n, Dim k, const T* a, const T* b, T* c) {
  const Dim slices = slices_of(m, n, k), size = m * n;
  if (slices == 1) return gemm(m, n, k, a, Dim{1}, m, b, n, Dim{1}, c, n, Epilogue<T>{});
  T* const sums = workspace<T>(kSlot, static_cast<std::size_t>(slices * size));
  const Dim across = std::min((n + 31) / 32, (threads_at_hand() + slices - 1) / slices);
  parallel_chunks(slices * across, [=](std::int64_t chunk) {
    const Dim slice = chunk / across, part = chunk % across;
    const Dim row = k * slice / slices, rows = k * (slice + 1) / slices - row;
    const Dim j = n * part / across, columns = n * (part + 1) / across - j;
    gemm_serial(m, columns, rows, a + row * m, Dim{1}, m, b + row * n + j, n, Dim{1},
                sums + slice * size + j, n, Epilogue<T>{});
  });
  for (Dim step = 1; step < slices; step *= 2) add_pairs(slices, step, size, sums, c);
}

template <class T>
void gemm_in_slices(Dim slices, Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b,
                    Dim b_k, Dim b_col, T* c, const Epilogue<T>& e) {
  if (slices == 1) return gemm(m, n, k, a, a_row, a_k, b, b_k, b_col, c, n, e);
  constexpr double kLeastWork = 4e5;  // multiply-adds that are worth a second thread
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const Dim size = m * n, threads = work < kLeastWork ? 1 : threads_at_hand();
  const Dim groups = threads == 1 ? 1 : threads == 2 ? 2 : slices;  // of slices, as a tree
  T* const sums = workspace<T>(kSlot, static_cast<std::size_t>(groups * size));
  const Dim across = std::min((n + 31) / 32, (threads + groups - 1) / groups);
  parallel_chunks(groups * across, [=](std::int64_t chunk) {
    const Dim group = chunk / across, part = chunk % across;
    const Dim j = n * part / across, columns = n * (part + 1) / across - j;
    const SlicedProduct<T> product{slices,        m,   columns, k,          a, a_row, a_k,
                                   b + j * b_col, b_k, b_col,   threads > 1};
    product.sum(slices / groups * group, slices / groups, sums + group * size + j, n);
  });
  finish_sum(groups, m, n, sums, c, e);
}

#define LAMINA_INSTANTIATE(T)                                                                     \
  template void gemm_slices<T>(Dim, Dim, Dim, const T*, const T*, T*);                            \
  template void gemm_in_slices<T>(Dim, Dim, Dim, Dim, const T*, Dim, Dim, const T*, Dim, Dim, T*, \
                                  const Epilogue<T>&);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
