#include "kernels/gemm.h"

#include <cmath>

#include "base/parallel.h"
#include "kernels/gemm_tile.h"

namespace lamina {
namespace {

using tile::Job;
using tile::kPanel;
using tile::kTileRows;

// Blocks that keep what is reused in cache: k (a panel of B in L1 and L2), rows (a block of A in
// L2), columns (bounds the buffer that packed B needs).
template <class T>
constexpr Dim kBlockK = 2048 / Dim{sizeof(T)};
constexpr Dim kBlockRows = 12 * kTileRows;
template <class T>
constexpr Dim kBlockColumns = 64 * kPanel<T>;
// B is read where it lies while few rows of A reuse it; A while few columns of B do.
constexpr Dim kPackBRows = 28 * kTileRows;
template <class T>
constexpr Dim kPackAColumns = 16 * kPanel<T>;
// Much earlier when the rows compete for the same lines of the cache: a step of whole pages.
constexpr Dim kPackBRowsOfPages = 4 * kTileRows;
template <class T>
constexpr Dim kPackAColumnsOfPages = 3 * kPanel<T>;
template <class T>
bool steps_by_pages(Dim step) {
  return step != 0 && step * Dim{sizeof(T)} % 4096 == 0;
}

// B as the tiles read it: rows of k b_k apart, panels of columns b_panel apart.
template <class T>
struct Panels {
  const T* data;
  Dim b_k, b_panel;
};

// Rows [0, m) of one column of tiles, at job.a, job.b, job.c.
template <class T>
void multiply_rows(Job<T>& job, Dim m, int vectors) {
  const auto& table = tile::kTable<T>;
  const bool tail = job.tail != 0;
  const T* const a = job.a;
  T* const c = job.c;
  if (m <= kTileRows) return table.get(static_cast<int>(m), vectors, tail)(job);
  const Dim tiles = (m + kTileRows - 1) / kTileRows;
  const Dim rows = m / tiles, longer = m % tiles;  // the first `longer` tiles have one row more
  for (Dim t = 0, row = 0; t < tiles; ++t) {
    const Dim count = rows + (t < longer);
    job.a = a + row * job.a_row;
    job.c = c + row * job.ldc;
    table.get(static_cast<int>(count), vectors, tail)(job);
    row += count;
  }
  job.a = a;
  job.c = c;
}

// C[m,n] over one block of k: all columns for a block of rows small enough to stay in cache.
template <class T>
void multiply_columns(Job<T>& job, Dim m, Dim n, const Panels<T>& b, const T* bias) {
  constexpr Dim lanes = kLanes<T>;
  const Dim wide = tile::max_vectors(static_cast<int>(std::min<Dim>(m, kTileRows))) * lanes;
  T* const c = job.c;
  job.b_k = b.b_k;
  job.b_panel = b.b_panel;
  for (Dim j = 0; j < n; j += wide) {
    const Dim columns = std::min(wide, n - j);
    job.b = b.data + j / kPanel<T> * b.b_panel;
    job.c = c + j;
    job.bias = bias == nullptr ? nullptr : bias + j;
    job.tail = static_cast<int>(columns % lanes);
    multiply_rows(job, m, static_cast<int>((columns + lanes - 1) / lanes));
  }
  job.c = c;
}

// A[m, k] -> packed[p * m + i]: the rows of one block side by side.
template <class T>
void pack_a(Dim m, Dim k, const T* a, Dim a_row, Dim a_k, T* packed) {
  for (Dim i = 0; i < m; ++i)
    for (Dim p = 0; p < k; ++p) packed[p * m + i] = a[i * a_row + p * a_k];
}

// Four columns of B, k apart b_k, become four neighbours in a panel: squares of 4 x 4 are turned
// in registers when k is contiguous.
template <class T>
void pack_four_columns(Dim k, const T* b, Dim b_k, Dim b_col, T* panel) {
  typedef T Four __attribute__((vector_size(4 * sizeof(T))));
  typedef T Loose __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
  const T *b0 = b, *b1 = b0 + b_col, *b2 = b1 + b_col, *b3 = b2 + b_col;
  constexpr Dim row = kPanel<T>;
  Dim p = 0;
  if (b_k == 1)
    for (; p + 4 <= k; p += 4) {
      const Four x0 = *reinterpret_cast<const Loose*>(b0 + p);
      const Four x1 = *reinterpret_cast<const Loose*>(b1 + p);
      const Four x2 = *reinterpret_cast<const Loose*>(b2 + p);
      const Four x3 = *reinterpret_cast<const Loose*>(b3 + p);
      const Four t0 = __builtin_shufflevector(x0, x1, 0, 4, 1, 5);
      const Four t1 = __builtin_shufflevector(x2, x3, 0, 4, 1, 5);
      const Four t2 = __builtin_shufflevector(x0, x1, 2, 6, 3, 7);
      const Four t3 = __builtin_shufflevector(x2, x3, 2, 6, 3, 7);
      T* q = panel + p * row;
      *reinterpret_cast<Loose*>(q) = __builtin_shufflevector(t0, t1, 0, 1, 4, 5);
      *reinterpret_cast<Loose*>(q + row) = __builtin_shufflevector(t0, t1, 2, 3, 6, 7);
      *reinterpret_cast<Loose*>(q + 2 * row) = __builtin_shufflevector(t2, t3, 0, 1, 4, 5);
      *reinterpret_cast<Loose*>(q + 3 * row) = __builtin_shufflevector(t2, t3, 2, 3, 6, 7);
    }
  for (; p < k; ++p) {
    T* q = panel + p * row;
    q[0] = b0[p * b_k];
    q[1] = b1[p * b_k];
    q[2] = b2[p * b_k];
    q[3] = b3[p * b_k];
  }
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
  for (; j + 4 <= n; j += 4) pack_four_columns(k, b + j * b_col, b_k, b_col, panel + j);
  for (; j < n; ++j)
    for (Dim p = 0; p < k; ++p) panel[p * row + j] = b[p * b_k + j * b_col];
  if (n < row)
    for (Dim p = 0; p < k; ++p) std::fill(panel + p * row + n, panel + (p + 1) * row, T{0});
}

// sigmoid and tanh would make every tile large, so they run over the finished rows.
template <class T>
void activate(Dim m, Dim n, T* c, Dim ldc, Activation activation) {
  const bool whole = ldc == n;
  const Dim rows = whole ? 1 : m, columns = whole ? m * n : n;
  const auto over_rows = [&](auto f) {
    for (Dim i = 0; i < rows; ++i) apply<T>(c + i * ldc, columns, f, c + i * ldc);
  };
  if (activation == Activation::sigmoid) over_rows([](Vec<T> x) { return sigmoid(x); });
  if (activation == Activation::tanh) over_rows([](Vec<T> x) { return tanh(x); });
}

// C[m,n] over all of k; b_at(k0, kc) gives the panels of a block of k.
template <class T, class PanelsAt>
void multiply_blocks(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, T* c, Dim ldc,
                     const Epilogue<T>& e, const PanelsAt& b_at) {
  const Dim columns = steps_by_pages<T>(a_row) ? kPackAColumnsOfPages<T> : kPackAColumns<T>;
  const bool packs_a = a_row != 1 && n > columns && k > 64 && m > kTileRows;
  T* const packed = packs_a ? workspace<T>(1, kBlockRows * kBlockK<T>) : nullptr;
  Dim k0 = 0;
  do {
    const Dim kc = std::min(kBlockK<T>, k - k0);
    const bool last = k0 + kc >= k;
    const Panels<T> b = b_at(k0, kc);
    Job<T> job{};
    job.k = kc;
    job.ldc = ldc;
    job.from_c = k0 > 0 || e.accumulate;
    job.relu = last && e.activation == Activation::relu;
    for (Dim i0 = 0; i0 < m; i0 += kBlockRows) {
      const Dim mc = std::min(kBlockRows, m - i0);
      job.a = a + i0 * a_row + k0 * a_k;
      job.a_row = a_row;
      job.a_k = a_k;
      if (packs_a) {
        pack_a(mc, kc, job.a, a_row, a_k, packed);
        job.a = packed;
        job.a_row = 1;
        job.a_k = mc;
      }
      job.c = c + i0 * ldc;
      multiply_columns(job, mc, n, b, last ? e.bias : nullptr);
    }
    k0 += kc;
  } while (k0 < k);
  if (e.activation == Activation::sigmoid || e.activation == Activation::tanh)
    activate(m, n, c, ldc, e.activation);
}

}  // namespace

template <class T>
void gemm_serial(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b, Dim b_k,
                 Dim b_col, T* c, Dim ldc, const Epilogue<T>& e) {
  if (m == 0 || n == 0) return;
  if (n == 1 && m > 1 && a_row == 1 && ldc == 1 && e.bias == nullptr)
    // One column from a transposed A: the same products, vectorised over the rows.
    return gemm_serial(Dim{1}, m, k, b, Dim{0}, b_k, a, a_k, Dim{1}, c, m, e);
  if (b_col == 1 || n == 1) {
    const Dim rows = steps_by_pages<T>(b_k) ? kPackBRowsOfPages : kPackBRows;
    if (m <= rows || n <= kLanes<T>)
      return multiply_blocks(m, n, k, a, a_row, a_k, c, ldc, e, [=](Dim k0, Dim) {
        return Panels<T>{b + k0 * b_k, b_k, kPanel<T>};
      });
  }
  for (Dim j0 = 0; j0 < n; j0 += kBlockColumns<T>) {
    const Dim columns = std::min(kBlockColumns<T>, n - j0);
    Epilogue<T> part = e;
    if (part.bias != nullptr) part.bias += j0;
    T* const packed = workspace<T>(0, packed_b_size<T>(columns, std::min(k, kBlockK<T>)));
    multiply_blocks(m, columns, k, a, a_row, a_k, c + j0, ldc, part, [=](Dim k0, Dim kc) {
      pack_b(columns, kc, b + k0 * b_k + j0 * b_col, b_k, b_col, packed);
      return Panels<T>{packed, kPanel<T>, kPanel<T> * kc};
    });
  }
}

template <class T>
Dim packed_b_size(Dim n, Dim k) {
  return (n + kPanel<T> - 1) / kPanel<T> * kPanel<T> * k;
}

template <class T>
void pack_b(Dim n, Dim k, const T* b, Dim b_k, Dim b_col, T* packed) {
  for (Dim j = 0; j < n; j += kPanel<T>, packed += kPanel<T> * k)
    pack_panel(std::min(kPanel<T>, n - j), k, b + j * b_col, b_k, b_col, packed);
}

template <class T>
void gemm_packed_serial(Dim m, Dim n, Dim k, const T* a, Dim a_row, const T* packed, T* c, Dim ldc,
                        const Epilogue<T>& e) {
  if (m == 0 || n == 0) return;
  multiply_blocks(m, n, k, a, a_row, Dim{1}, c, ldc, e, [=](Dim k0, Dim) {
    return Panels<T>{packed + k0 * kPanel<T>, kPanel<T>, kPanel<T> * k};
  });
}

namespace {

struct Grid {
  Dim rows, columns;         // of one chunk
  Dim down = 1, across = 1;  // chunks
};

// Chunks of at least half a million multiply-adds, at most 64, of the shape that wastes least:
// every chunk reads its part of A and of B for itself and, when B is transposed, turns it.
template <class T>
Grid choose_grid(Dim m, Dim n, Dim k, bool turns_b) {
  Grid best{m, n};
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const Dim wanted = static_cast<Dim>(std::min(64.0, work / 5e5));
  const double enough = static_cast<double>(wanted);
  if (wanted < 2) return best;
  double least = 0;
  for (Dim t = 1; t <= wanted; t *= 2) {
    const auto split = [](Dim size, Dim parts, Dim unit) {
      return (std::max<Dim>(1, (size + parts - 1) / parts) + unit - 1) / unit * unit;
    };
    Grid g;
    g.rows = split(m, t, kTileRows);
    g.columns = split(n, (wanted + t - 1) / t, kPanel<T>);
    g.down = (m + g.rows - 1) / g.rows;
    g.across = (n + g.columns - 1) / g.columns;
    const double chunks = static_cast<double>(g.down * g.across);
    const double rows = static_cast<double>(g.rows), columns = static_cast<double>(g.columns);
    const double cost = rows * columns * std::max(chunks, std::min(enough, 32.0)) +
                        chunks * ((turns_b ? 24 : 8) * columns + 4 * rows);
    if (least == 0 || cost < least) {
      least = cost;
      best = g;
    }
  }
  return best;
}

}  // namespace

template <class T>
void gemm(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b, Dim b_k, Dim b_col, T* c,
          Dim ldc, const Epilogue<T>& e) {
  const Grid g = choose_grid<T>(m, n, k, b_col != 1 && n > 1);
  if (g.down * g.across <= 1) return gemm_serial(m, n, k, a, a_row, a_k, b, b_k, b_col, c, ldc, e);
  parallel_chunks(g.down * g.across,
                  [&, rows = g.rows, columns = g.columns, across = g.across](std::int64_t chunk) {
                    const Dim i = chunk / across * rows, j = chunk % across * columns;
                    Epilogue<T> part = e;
                    if (part.bias != nullptr) part.bias += j;
                    gemm_serial(std::min(rows, m - i), std::min(columns, n - j), k, a + i * a_row,
                                a_row, a_k, b + j * b_col, b_k, b_col, c + i * ldc + j, ldc, part);
                  });
}

#define LAMINA_INSTANTIATE(T)                                                                  \
  template void gemm_serial<T>(Dim, Dim, Dim, const T*, Dim, Dim, const T*, Dim, Dim, T*, Dim, \
                               const Epilogue<T>&);                                            \
  template void gemm<T>(Dim, Dim, Dim, const T*, Dim, Dim, const T*, Dim, Dim, T*, Dim,        \
                        const Epilogue<T>&);                                                   \
  template Dim packed_b_size<T>(Dim, Dim);                                                     \
  template void pack_b<T>(Dim, Dim, const T*, Dim, Dim, T*);                                   \
  template void gemm_packed_serial<T>(Dim, Dim, Dim, const T*, Dim, const T*, T*, Dim,         \
                                      const Epilogue<T>&);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
