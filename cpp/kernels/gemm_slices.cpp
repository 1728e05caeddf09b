#include "kernels/gemm_slices.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/vec.h"

namespace lamina {
namespace {

constexpr int kSlot = 3;             // of the caller's workspace
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

template void gemm_slices<float>(Dim, Dim, Dim, const float*, const float*, float*);
template void gemm_slices<double>(Dim, Dim, Dim, const double*, const double*, double*);

}  // namespace lamina
