#include "kernels/gemm.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "base/parallel.h"
#include "base/shared_lines.h"
#include "kernels/gemm_pack.h"
#include "kernels/gemm_tile.h"
#include "kernels/transpose.h"

namespace lamina {
namespace {

using tile::Job;
using tile::kPanel;
using tile::kTileRows;

// Blocks that keep what is reused in cache: k (a panel of B in L1 and L2), rows (a block of A in
// L2), columns (bounds the buffer that packed B needs).
template <class T>
constexpr Dim kBlockK = (kVecBytes == 64 ? 2048 : 1024) / Dim{sizeof(T)};
constexpr Dim kBlockRows = 12 * kTileRows;
template <class T>
constexpr Dim kBlockColumns = 64 * kPanel<T>;
// B is read where it lies while few rows of A reuse it; A while few columns of B do.
constexpr Dim kPackBRows = (kVecBytes == 64 ? 28 : 8) * kTileRows;
template <class T>
constexpr Dim kPackAColumns = 16 * kPanel<T>;
// Much earlier when the rows compete for the same lines of the cache: a step of whole pages.
constexpr Dim kPackBRowsOfPages = 4 * kTileRows;
template <class T>
constexpr Dim kPackAColumnsOfPages = 3 * kPanel<T>;
template <class T>
bool steps_by(Dim bytes, Dim step) {
  return step != 0 && step * Dim{sizeof(T)} % bytes == 0;
}

template <class T>
bool wants_packed_b(Dim m, Dim n, Dim b_k, Dim b_col) {
  if (n == 1) return false;
  if (b_col != 1) return true;
  return n > kLanes<T> && m > (steps_by<T>(4096, b_k) ? kPackBRowsOfPages : kPackBRows);
}
template <class T>
bool wants_packed_a(Dim m, Dim n, Dim k, Dim a_row, Dim a_k) {
  if (k <= 64 || m <= kTileRows) return false;
  if (a_row == 1) return steps_by<T>(2048, a_k) && n > kPackAColumnsOfPages<T>;
  return n > (steps_by<T>(4096, a_row) ? kPackAColumnsOfPages<T> : kPackAColumns<T>);
}

// B as the tiles read it: rows of k b_k apart, panels of columns b_panel apart.
template <class T>
struct Panels {
  const T* data;
  Dim b_k, b_panel;
  bool far = false;          // not in this core's cache yet, and in lines that lie far apart
  const T* after = nullptr;  // the first panel of the next block of k, if that is far
};

// Rows [0, m) of one column of tiles, at job.a, job.b, job.c. Meanwhile what comes next is on its
// way: the panel at `next`, if any, whose rows' first lines the first tile asks for, the second
// lines the second tile; else, if they are `new_rows` to this core, the rows of the next tile.
template <class T>
void multiply_rows(Job<T>& job, Dim m, int vectors, const T* next, bool new_rows) {
  constexpr Dim kLine = 64 / Dim{sizeof(T)};
  const auto& table = tile::kTable<T>;
  const bool tail = job.tail != 0;
  const bool in_one_piece = new_rows && job.a_k == 1 && job.a_row == job.k;
  const T* const a = job.a;
  T* const c = job.c;
  const T* const gate = job.gate;
  if (m <= kTileRows) {
    job.ahead = next != nullptr ? next : a;
    job.ahead_step = next != nullptr ? job.b_k : 0;
    return table.get(static_cast<int>(m), vectors, tail)(job);
  }
  const Dim tiles = (m + kTileRows - 1) / kTileRows;
  const Dim rows = m / tiles, longer = m % tiles;  // the first `longer` tiles have one row more
  for (Dim t = 0, row = 0; t < tiles; ++t) {
    const Dim count = rows + (t < longer);
    job.a = a + row * job.a_row;
    job.c = c + row * job.ldc;
    if (gate != nullptr) job.gate = gate + row * job.ldc;
    row += count;
    if (next != nullptr && t * kLine < kPanel<T>) {
      job.ahead = next + t * kLine;
      job.ahead_step = job.b_k;
    } else {
      const bool asks = in_one_piece && row < m;
      job.ahead = a + (asks ? row * job.a_row : 0);
      job.ahead_step = asks ? kLine : 0;
    }
    table.get(static_cast<int>(count), vectors, tail)(job);
  }
  job.a = a;
  job.c = c;
  job.gate = gate;
}

// C[m,n] over one block of k: all columns for a block of rows small enough to stay in cache.
template <class T>
void multiply_columns(Job<T>& job, Dim m, Dim n, const Panels<T>& b, const T* bias) {
  constexpr Dim lanes = kLanes<T>;
  const Dim wide = tile::max_vectors(static_cast<int>(std::min<Dim>(m, kTileRows))) * lanes;
  T* const c = job.c;
  const T* const gate = job.gate;
  job.b_k = b.b_k;
  job.b_panel = b.b_panel;
  for (Dim j = 0; j < n; j += wide) {
    const Dim columns = std::min(wide, n - j);
    job.b = b.data + j / kPanel<T> * b.b_panel;
    job.c = c + j;
    job.bias = bias == nullptr ? nullptr : bias + j;
    job.gate = gate == nullptr ? nullptr : gate + j;
    job.tail = static_cast<int>(columns % lanes);
    const T* const next = !b.far         ? nullptr
                          : j + wide < n ? job.b + wide / kPanel<T> * b.b_panel
                                         : b.after;
    multiply_rows(job, m, static_cast<int>((columns + lanes - 1) / lanes), next, j == 0);
  }
  job.c = c;
}

// A block of A copied to where its rows, or with A transposed its columns, lie close together.
template <class T>
struct PackedA {
  Dim a_row, a_k;
  T* data;
  PackedA(Dim m, Dim k, const T* a, Dim from_row, Dim from_k, T* to) : data(to) {
    const bool transposed = from_row == 1;
    const Dim lines = transposed ? k : m, length = transposed ? m : k;
    const Dim from_line = transposed ? from_k : from_row, from_item = transposed ? 1 : from_k;
    const Dim line = length + kLanes<T>;  // an odd number of cache lines, mostly
    a_row = transposed ? 1 : line;
    a_k = transposed ? line : 1;
    for (Dim i = 0; i < lines; ++i)
      kernels::gather_strided(a + i * from_line, from_item, to + i * line, length);
  }
  static constexpr Dim kLargest = (kBlockRows + kLanes<T>)*(kBlockK<T> + kLanes<T>);
};

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

// What the gate does to rows that no tile finishes.
template <class T>
void pass_gate(Dim m, Dim n, T* c, Dim ldc, const T* gate, T scale) {
  for (Dim i = 0; i < m; ++i, c += ldc, gate += ldc)
    apply<T>(
        c, n, [scale](Vec<T> x, Vec<T> y) { return tile::pass_gate(x, y, scale); }, c, gate);
}

// Chains over k for kGroups vectors of rows that are contiguous over k: squares of them are
// transposed in registers, so that a lane holds the chain of a row.
template <class T, int kGroups>
void dot_groups(Dim k, const T* rows, Dim step, int count, const T* x, Dim x_k, Vec<T>* sums) {
  constexpr int lanes = kLanes<T>;
  const auto advance = [&](Dim p, Dim columns, auto load_row) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      Vec<T> square[lanes];
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i)
        square[i] = load_row(rows + std::min(g * lanes + i, count - 1) * step + p);
      kernels::transpose_square<T>(square);
#pragma GCC unroll 16
      for (int q = 0; q < lanes; ++q)
        if (q < columns) sums[g] += square[q] * broadcast<T>(x[(p + q) * x_k]);
    }
  };
  Dim p = 0;
  for (; p + lanes <= k; p += lanes) advance(p, lanes, [](const T* q) { return load(q); });
  const tile::Lanes rest(static_cast<int>(k - p));
  if (p < k) advance(p, k - p, [&rest](const T* q) { return rest.load(q); });
}

// c[i * c_step] = rows[i * step] . x: one row of A with B transposed, or one column of B.
template <class T>
void dot_rows(Dim count, Dim k, const T* rows, Dim step, const T* x, Dim x_k, T* c, Dim c_step,
              Dim bias_step, const Epilogue<T>& e) {
  constexpr int lanes = kLanes<T>, kMost = 2 * lanes;
  for (Dim i = 0; i < count; i += kMost) {
    const int few = static_cast<int>(std::min<Dim>(kMost, count - i));
    T values[kMost] = {};
    if (e.accumulate)
      for (int j = 0; j < few; ++j) values[j] = c[(i + j) * c_step];
    Vec<T> sums[2] = {load(values), load(values + lanes)};
    if (few > lanes)
      dot_groups<T, 2>(k, rows + i * step, step, few, x, x_k, sums);
    else
      dot_groups<T, 1>(k, rows + i * step, step, few, x, x_k, sums);
    store<T>(values, sums[0]);
    store<T>(values + lanes, sums[1]);
    for (int j = 0; j < few; ++j) {
      T value = values[j];
      if (e.bias != nullptr) value += e.bias[(i + j) * bias_step];
      if (e.activation == Activation::relu) value = value < 0 ? T{0} : value;
      c[(i + j) * c_step] = value;
    }
  }
  if (c_step == 1)
    activate(Dim{1}, count, c, count, e.activation);
  else
    activate(count, Dim{1}, c, c_step, e.activation);
}

// C[m,n] over all of k; b_at(k0, kc) gives the panels of a block of k.
template <class T, class PanelsAt>
void multiply_blocks(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, T* c, Dim ldc,
                     const Epilogue<T>& e, const PanelsAt& b_at) {
  const bool packs_a = wants_packed_a<T>(m, n, k, a_row, a_k);
  T* const packed = packs_a ? workspace<T>(1, PackedA<T>::kLargest) : nullptr;
  Dim k0 = 0;
  do {
    const Dim kc = std::min(kBlockK<T>, k - k0);
    const bool last = k0 + kc >= k;
    const Panels<T> b = b_at(k0, kc);
    Job<T> job{};
    job.k = kc;
    job.ldc = ldc;
    job.from_c = k0 > 0 || e.accumulate;
    job.streams = last && e.streams;
    job.relu = last && e.activation == Activation::relu;
    job.scale = e.scale;
    for (Dim i0 = 0; i0 < m; i0 += kBlockRows) {
      const Dim mc = std::min(kBlockRows, m - i0);
      job.a = a + i0 * a_row + k0 * a_k;
      job.a_row = a_row;
      job.a_k = a_k;
      if (packs_a) {
        const PackedA<T> block(mc, kc, job.a, a_row, a_k, packed);
        job.a = block.data;
        job.a_row = block.a_row;
        job.a_k = block.a_k;
      }
      job.c = c + i0 * ldc;
      job.gate = last && e.gate != nullptr ? e.gate + i0 * ldc : nullptr;
      multiply_columns(job, mc, n, b, last ? e.bias : nullptr);
    }
    k0 += kc;
  } while (k0 < k);
  if (e.activation == Activation::sigmoid || e.activation == Activation::tanh)
    activate(m, n, c, ldc, e.activation);
}

// Few rows of A and a transposed B: turning B for the tiles would cost as much as a number of rows,
// turning A and the result costs less. The lanes of a vector then are rows of C; some stay idle.
template <class T>
bool turns_result(Dim m, Dim n, Dim k, Dim b_k, const Epilogue<T>& e) {
  constexpr Dim lanes = kLanes<T>, kTurning = 5;  // multiply-adds an element
  const Dim idle = (m + lanes - 1) / lanes * lanes - m;
  return b_k == 1 && m > 1 && m <= 64 && e.bias == nullptr && e.activation == Activation::linear &&
         !e.accumulate && idle * n * k + kTurning * m * (n + k) < kTurning * n * k;
}

// C[m,n] = A B by blocks of C^T = B^T A^T.
template <class T>
void multiply_turned(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b, Dim b_col,
                     T* c, Dim ldc) {
  constexpr Dim kRows = 16 * kTileRows;  // of C^T: whole lines of C, and they stay in the cache
  const Dim panels = packed_b_size<T>(m, k);
  T* const packed = workspace<T>(0, static_cast<std::size_t>(panels + kRows * m));
  T* const turned = packed + panels;
  pack_b(m, k, a, a_k, a_row, packed);
  for (Dim j = 0; j < n; j += kRows) {
    const Dim columns = std::min(kRows, n - j);
    gemm_packed_serial<T>(columns, m, k, b + j * b_col, b_col, packed, turned, m, {});
    kernels::transpose_plane(turned, m, c + j, ldc, m, columns);
  }
}

}  // namespace

template <class T>
void gemm_serial(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b, Dim b_k,
                 Dim b_col, T* c, Dim ldc, const Epilogue<T>& e) {
  if (m == 0 || n == 0) return;
  if (e.gate != nullptr && (m == 1 || n == 1 || turns_result(m, n, k, b_k, e))) {
    Epilogue<T> plain = e;
    plain.gate = nullptr;
    gemm_serial(m, n, k, a, a_row, a_k, b, b_k, b_col, c, ldc, plain);
    return pass_gate(m, n, c, ldc, e.gate, e.scale);
  }
  if (n == 1 && m > 1 && a_row == 1 && ldc == 1 && e.bias == nullptr)
    // One column from a transposed A: the same products, vectorised over the rows.
    return gemm_serial(Dim{1}, m, k, b, Dim{0}, b_k, a, a_k, Dim{1}, c, m, e);
  if (n == 1 && a_k == 1) return dot_rows(m, k, a, a_row, b, b_k, c, ldc, Dim{0}, e);
  if (m == 1 && b_k == 1 && n > 1) return dot_rows(n, k, b, b_col, a, a_k, c, Dim{1}, Dim{1}, e);
  if (turns_result(m, n, k, b_k, e))
    return multiply_turned(m, n, k, a, a_row, a_k, b, b_col, c, ldc);
  if (!wants_packed_b<T>(m, n, b_k, b_col))
    return multiply_blocks(m, n, k, a, a_row, a_k, c, ldc, e, [=](Dim k0, Dim kc) {
      // As many rows as this block has are asked for; not beyond the last one. Of short pieces of
      // rows the processor would fetch what lies beside, too, which is other threads'.
      const bool is_far = k >= 64 && n >= 4 * kPanel<T>;
      const Dim step = std::min(kc, k - k0 - kc);
      const T* const block = b + k0 * b_k;
      return Panels<T>{block, b_k, kPanel<T>, is_far, step > 0 ? block + step * b_k : nullptr};
    });
  for (Dim j0 = 0; j0 < n; j0 += kBlockColumns<T>) {
    const Dim columns = std::min(kBlockColumns<T>, n - j0);
    Epilogue<T> part = e;
    if (part.bias != nullptr) part.bias += j0;
    if (part.gate != nullptr) part.gate += j0;
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
  tile::pack_block(n, k, b, b_k, b_col, packed, kPanel<T> * k);
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

// C cut into chunks: down x across, of as equal sizes as whole panels allow.
struct Grid {
  Dim down = 1, across = 1;
  Dim chunks() const { return down * across; }
};

// What a product needs of every chunk besides the multiply-adds: its rows of A, which it may copy,
// and its columns of B.
struct Costs {
  double row, column;
};
// Two threads that read the same columns of B both pack them, and make its next change dearer.
Costs costs_of(bool packs_a, bool packs_b) { return {packs_a ? 16.0 : 4.0, packs_b ? 9.0 : 8.0}; }

// The grid that the threads at hand finish first. The unit is the time of a multiply-add.
template <class T>
Grid choose_grid(Dim m, Dim n, Dim k, const Costs& costs) {
  constexpr double kLeastWork = 4e5, kStart = 2e4;  // to be worth a second thread; of every chunk
  const Dim threads = threads_at_hand();
  // Reading A, reading B and writing C take as long as some multiply-adds for each element.
  const double work = std::max(static_cast<double>(m), 2.5) *
                      std::max(static_cast<double>(n), 8.0) * std::max(static_cast<double>(k), 8.0);
  Grid best;
  if (threads == 1 || work < kLeastWork) return best;
  const Dim panels = (n + kPanel<T> - 1) / kPanel<T>;
  double least = std::numeric_limits<double>::infinity();
  // Of few rows most of the time goes into reading B: whole stretches of its rows.
  const Dim least_panels = m < kTileRows / 2 ? 8 : 1;
  // The ops around go by rows: so do products of about the same speed, but for weights that
  // outweigh the rows. A thread then finds what it wrote.
  const double favour = 2 * m >= std::max(n, k) ? 0.85 : 1;
  const auto consider = [&](Dim down, Dim across) {
    if (across > 1 && panels < across * least_panels) return;
    const auto rows = static_cast<double>((m + down - 1) / down);
    const auto columns =
        static_cast<double>(std::min(n, (panels + across - 1) / across * kPanel<T>));
    const double chunk =
        static_cast<double>(k) * (rows * columns + costs.column * columns + costs.row * rows) +
        kStart;
    // A thread that is late costs the others part of a chunk.
    const auto rounds = static_cast<double>((down * across + threads - 1) / threads) + 0.1;
    const double time = chunk * rounds * (across == 1 ? favour : 1);
    if (time >= least) return;
    least = time;
    best = {down, across};
  };
  for (Dim chunks = threads; chunks <= 4 * threads; chunks *= 2)
    for (Dim down = 1; down <= chunks; down *= 2)
      if (down == 1 || down * kTileRows / 2 <= m)
        consider(down, std::min(panels, (chunks + down - 1) / down));
  return best;
}

// body(i, j, rows, columns) for every chunk.
template <class T, class Body>
void each_chunk(Dim m, Dim n, const Grid& g, const Body& body) {
  const Dim panels = (n + kPanel<T> - 1) / kPanel<T>;
  parallel_chunks(g.chunks(), [&](std::int64_t chunk) {
    const Dim down = chunk / g.across, across = chunk % g.across;
    const Dim i = m * down / g.down, j = panels * across / g.across * kPanel<T>;
    const Dim i_end = m * (down + 1) / g.down, j_end = panels * (across + 1) / g.across * kPanel<T>;
    body(i, j, i_end - i, std::min(n, j_end) - j);
  });
}

// Results that other threads will read, in whole lines, and nobody reads before they are complete.
template <class T>
bool may_stream(Dim m, Dim n, const T* c, Dim ldc, const Epilogue<T>& e) {
  constexpr Dim kLine = 64 / Dim{sizeof(T)}, kLeastLines = 512;
  const bool is_final = e.activation == Activation::linear || e.activation == Activation::relu;
  return kCanStream && kPanel<T> % kLine == 0 && is_final && m * n >= kLeastLines * kLine &&
         n % kLine == 0 && ldc % kLine == 0 && reinterpret_cast<std::uintptr_t>(c) % 64 == 0;
}

}  // namespace

template <class T>
void gemm(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b, Dim b_k, Dim b_col, T* c,
          Dim ldc, const Epilogue<T>& e) {
  const bool packs_a = wants_packed_a<T>(m, n, k, a_row, a_k);
  const bool packs_b = m > 1 && wants_packed_b<T>(m, n, b_k, b_col);
  const Costs costs = costs_of(packs_a, packs_b);
  const Grid whole = choose_grid<T>(m, n, k, costs);
  if (whole.chunks() <= 1) return gemm_serial(m, n, k, a, a_row, a_k, b, b_k, b_col, c, ldc, e);
  const bool streams = may_stream(m, n, c, ldc, e) && taking_lines_is_dear();
  each_chunk<T>(m, n, whole, [&](Dim i, Dim j, Dim rows, Dim columns) {
    Epilogue<T> part = e;
    part.streams = streams;
    if (part.bias != nullptr) part.bias += j;
    if (part.gate != nullptr) part.gate += i * ldc + j;
    gemm_serial(rows, columns, k, a + i * a_row, a_row, a_k, b + j * b_col, b_k, b_col,
                c + i * ldc + j, ldc, part);
    if (streams) finish_streams();
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
