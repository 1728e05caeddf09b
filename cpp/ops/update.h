// What all optimizer updates have in common: one sweep over the parameter and its slots, in chunks.
// Inputs are the states (the parameter first), then the gradient, the learning rate (0-d) and, for
// Adam, the step number from zero (0-d int64); output i is the new value of state i.
//
// Parts of the gradient may be given in another form; the flat gradient is not read there. The
// graph pass `fuse` arranges that.
//
// `sparse` lists (begin, rows, width) of embedding tables in the flat parameter. Their gradients
// come as pairs of further inputs, ids and rows. Every row is still updated, as Keras does, but a
// row that no id names costs no gradient.
//
// `products` lists (begin, transpose_a, transpose_b) of matrices in the flat parameter. Their
// gradients come as pairs of further inputs behind those of the tables, the factors of a matrix
// product. It is computed block by block, and the block is used while it lies in the cache: a
// weight's gradient is never written to memory, and no other core has to fetch it.
#pragma once

#include <memory>

#include "base/parallel.h"
#include "base/shared_lines.h"
#include "kernels/gemm.h"
#include "kernels/optimizer.h"
#include "kernels/prefetch.h"
#include "ops/op.h"

namespace lamina::update {

struct Layout {
  std::size_t states;
  bool has_step;
  std::size_t gradient() const { return states; }
  std::size_t lr() const { return states + 1; }
  std::size_t step() const { return states + 2; }
  std::size_t count() const { return states + 2 + (has_step ? 1 : 0); }
};

// Complains about what does not fit; all outputs have the parameter's spec.
std::vector<Spec> infer(const InferArgs& a, const Layout& at);

struct Table {
  Dim begin, rows, width, ids;  // in elements; ids: how many
  DType ids_dtype;
  std::size_t input;  // of the ids; the rows are the next one
  Dim end() const { return begin + rows * width; }
};

// The gradient [m, n] is op(A)[m, k] op(B)[k, n], with the strides of gemm.
struct Product {
  Dim begin, m, n, k, a_row, a_k, b_k, b_col;
  std::size_t input;  // of A; B is the next one
  Dim end() const { return begin + m * n; }
};

// A part of the work. Dense: elements [from, to). Table: rows. Product: rows [from, to) and columns
// [left, right) of the matrix.
struct Piece {
  enum class Kind : std::uint8_t { dense, table, product } kind;
  std::uint32_t index;
  Dim from, to, left, right;
};

// The work of a run, cut into chunks that take about equally long, for each has its share of every
// part: of a matrix the one that the thread has in products, too, so that it finds the weights in
// its own cache.
struct Plan {
  Plan(std::span<const Spec> in, const Attrs& attrs);

  std::vector<Table> tables;
  std::vector<Product> products;
  std::vector<Piece> pieces;
  std::vector<std::size_t> chunks{0};  // chunk c: pieces [chunks[c], chunks[c + 1])
  std::vector<std::size_t> chains;     // where each table's begin in the scratch memory
  std::size_t scratch_bytes = 0;
  double product_flops = 0;
  Dim given_elsewhere = 0;  // elements that the flat gradient is not read for

 private:
  void add(const Piece& piece);
  // A chunk's share of a part.
  void add_dense(Dim from, Dim to, Dim chunk);
  void add_table(std::uint32_t index, Dim chunk);
  void add_product(std::uint32_t index, Dim chunk);

  Dim count_ = 1;  // of chunks
};

// The ids of each row of a table, as chains in the order of the ids: head[row], then next[id].
struct Chains {
  std::int32_t *head, *next;
  Chains(std::byte* scratch, const Table& t)
      : head(reinterpret_cast<std::int32_t*>(scratch)), next(head + t.rows) {}
  static std::size_t bytes(const Table& t) {
    return static_cast<std::size_t>(t.rows + t.ids) * sizeof(std::int32_t);
  }
  void build(const void* ids, const Table& t) const;
};

constexpr int kGradientSlot = 3;  // of the thread's workspace
// A gradient's block: its elements (half the first-level cache or so) and its most columns.
constexpr Dim kBlock = 7168, kBlockColumns = 512;

constexpr Dim kAhead = 4;  // rows of a table whose gradients are on their way

// One run of an update; knows what its threads need.
template <class T, class Rule>
class Sweep {
 public:
  Sweep(const Plan& plan, const Rule& rule, const Run& run)
      : plan_(plan), rule_(rule), run_(run), gradient_(run.in<T>(Rule::kStates)) {}

  void run() {
    for (std::size_t i = 0; i < plan_.tables.size(); ++i)
      chains(i).build(run_.ins[plan_.tables[i].input], plan_.tables[i]);
    const auto chunks = static_cast<std::int64_t>(plan_.chunks.size()) - 1;
    // All threads have read the parameters since the last step.
    if (kCanStream && chunks > 1 && taking_lines_is_dear())
      parallel_chunks(chunks, [this](std::int64_t chunk) {
        run_chunk<true>(chunk);
        finish_streams();
      });
    else
      parallel_chunks(chunks, [this](std::int64_t chunk) { run_chunk<false>(chunk); });
  }

 private:
  Chains chains(std::size_t table) const {
    return {run_.scratch + plan_.chains[table], plan_.tables[table]};
  }

  template <bool kStream>
  void run_chunk(std::int64_t chunk) const {
    const std::size_t begin = plan_.chunks[static_cast<std::size_t>(chunk)],
                      end = plan_.chunks[static_cast<std::size_t>(chunk) + 1];
    for (std::size_t i = begin; i < end; ++i) {
      const Piece& piece = plan_.pieces[i];
      if (piece.kind == Piece::Kind::dense)
        sweep<kStream>(gradient_ + piece.from, piece.from, piece.to);
      else if (piece.kind == Piece::Kind::table)
        sweep_table<kStream>(piece);
      else
        sweep_product(piece);
    }
  }

  template <bool kStream>
  void sweep(const T* gradient, Dim begin, Dim end) const {
    optimizer::sweep<T, kStream>(rule_, run_.ins, run_.outs, gradient, begin, end);
  }

  // Rows without an id go in one sweep; duplicate ids are summed in order.
  template <bool kStream>
  void sweep_table(const Piece& piece) const {
    const Table& t = plan_.tables[piece.index];
    const Chains chain = chains(piece.index);
    const T* const d_rows = run_.in<T>(t.input + 1);
    T* const sum = workspace<T>(kGradientSlot, static_cast<std::size_t>(t.width));
    Dim asked = piece.from;  // rows before it have their gradients on their way
    for (Dim row = piece.from; row < piece.to;) {
      Dim next = row;
      while (next < piece.to && chain.head[next] < 0) ++next;
      for (; asked < std::min(next + kAhead, piece.to); ++asked)
        if (chain.head[asked] >= 0) ask_for(d_rows + chain.head[asked] * t.width, t.width);
      if (next > row) sweep<kStream>(nullptr, t.begin + row * t.width, t.begin + next * t.width);
      row = next;
      if (row == piece.to) break;
      const T* gradient = d_rows + chain.head[row] * t.width;
      if (const std::int32_t second = chain.next[chain.head[row]]; second >= 0) {
        std::copy_n(gradient, t.width, sum);
        for (std::int32_t i = second; i >= 0; i = chain.next[i])
          for (Dim k = 0; k < t.width; ++k) sum[k] += d_rows[i * t.width + k];
        gradient = sum;
      }
      sweep<kStream>(gradient, t.begin + row * t.width, t.begin + (row + 1) * t.width);
      ++row;
    }
  }

  // Stores the parameters in any case: lines that are dear to take arrive while the next block is
  // multiplied.
  void sweep_product(const Piece& piece) const {
    const Product& p = plan_.products[piece.index];
    const Dim width = std::min(piece.right - piece.left, kBlockColumns);
    T* const block = workspace<T>(kGradientSlot, static_cast<std::size_t>(kBlock));
    for (Dim j = piece.left; j < piece.right; j += width) {
      const Dim columns = std::min(width, piece.right - j);
      const Dim rows = std::max<Dim>(1, kBlock / columns);
      for (Dim i = piece.from; i < piece.to; i += rows) {
        const Dim count = std::min(rows, piece.to - i);
        gemm_serial<T>(count, columns, p.k, run_.in<T>(p.input) + i * p.a_row, p.a_row, p.a_k,
                       run_.in<T>(p.input + 1) + j * p.b_col, p.b_k, p.b_col, block, columns, {});
        const Dim at = p.begin + i * p.n + j;
        if (columns == p.n)
          sweep<false>(block, at, at + count * columns);
        else
          for (Dim r = 0; r < count; ++r)
            sweep<false>(block + r * columns, at + r * p.n, at + r * p.n + columns);
      }
    }
  }

  const Plan& plan_;
  const Rule& rule_;
  const Run& run_;
  const T* gradient_;
};

// A kernel that sweeps with the rule that make_rule(run) returns: scalars are read once a call.
template <class T, class MakeRule>
Bound sweeping(const BindArgs& a, double cost, const MakeRule& make_rule) {
  const auto plan = std::make_shared<const Plan>(a.in, a.attrs);
  const auto run = [plan, make_rule](const Run& r) {
    const auto rule = make_rule(r);
    Sweep<T, std::decay_t<decltype(rule)>>(*plan, rule, r).run();
  };
  Bound bound{
      .run = run,
      .scratch_bytes = plan->scratch_bytes,
      .flops = cost * static_cast<double>(element_count(a.in[0].shape)) + plan->product_flops};
  if (plan->given_elsewhere > 0) {
    bound.bytes_read = 0;
    for (const Spec& spec : a.in) *bound.bytes_read += byte_size(spec);
    *bound.bytes_read -= static_cast<std::size_t>(plan->given_elsewhere) * sizeof(T);
  }
  return bound;
}

}  // namespace lamina::update
