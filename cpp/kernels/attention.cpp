// A block of queries is a strip: a query is a lane, a key is a row, [keys, kQueries]. The softmax
// then runs down the rows without ever joining lanes, and the strip is what the next product reads
// as it lies.
#include "kernels/attention.h"

#include <algorithm>
#include <limits>

#include "base/parallel.h"
#include "kernels/softmax.h"
#include "kernels/strip_product.h"
#include "kernels/transpose.h"

namespace lamina {
namespace {

using kernels::transpose_plane;
using strips::multiply;

constexpr int kSlot = 2;     // of the thread's workspace
constexpr int kVectors = 2;  // of a strip
template <class T>
constexpr Dim kQueries = kVectors* kLanes<T>;

// The score of a key that does not count: finite, so that a query that may see nothing has a
// softmax, the same share for every key.
template <class T>
constexpr T kOutOfPlay = static_cast<T>(-0.7f * std::numeric_limits<float>::max());

template <class T>
Dim padded(Dim size) {
  return (size + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// A row of a strip.
template <class T>
using StripRow = std::array<Vec<T>, kVectors>;
template <class T>
LAMINA_INLINE StripRow<T> get(const T* p) {
  StripRow<T> row;
  for (int v = 0; v < kVectors; ++v) row[v] = load(p + v * kLanes<T>);
  return row;
}
template <class T>
LAMINA_INLINE void put(T* p, const StripRow<T>& row) {
  for (int v = 0; v < kVectors; ++v) store<T>(p + v * kLanes<T>, row[v]);
}

// to [size, kQueries] = factor times the transpose of `rows` rows; missing lanes are 0.
template <class T>
void to_strip(const T* from, Dim from_row, Dim rows, Dim size, T factor, T* to) {
  if (rows < kQueries<T>) std::fill_n(to, size * kQueries<T>, T{0});
  transpose_plane(from, from_row, to, kQueries<T>, size, rows);
  apply<T>(
      to, size * kQueries<T>, [=](Vec<T> v) { return v * factor; }, to);
}

// to [rows, padded size] = rows, each times its factor; the lanes beyond are 0.
template <class T>
void to_padded(const T* from, Dim from_row, Dim rows, Dim size, const T* factors, T* to) {
  const Dim row = padded<T>(size);
  for (Dim i = 0; i < rows; ++i, from += from_row, to += row) {
    if (size < row) std::fill(to + size, to + row, T{0});
    apply<T>(
        to, size, [factor = factors[i]](Vec<T> v) { return v * factor; }, from);
  }
}

// rows of `size` elements, from from_row to to_row apart
template <class T>
void copy_rows(const T* from, Dim from_row, Dim rows, Dim size, T* to, Dim to_row) {
  for (Dim i = 0; i < rows; ++i, from += from_row, to += to_row)
    apply<T>(
        to, size, [](Vec<T> v) { return v; }, from);
}

// The queries [first, first + rows) of one head of one batch row.
struct Block {
  Dim batch, head, first, rows;
  Dim keys;  // those that count for any of the queries
};

// Scores of blocks and where their operands lie.
template <class T>
class Scores {
 public:
  explicit Scores(const AttentionForward<T>& call) : call_(call), s_(call.shape) {}

  Dim size() const { return s_.keys * kQueries<T>; }  // elements of a strip of scores
  Dim blocks() const { return (s_.queries + kQueries<T> - 1) / kQueries<T>; }

  Block block(Dim batch, Dim head, Dim index) const {
    const Dim first = index * kQueries<T>, rows = std::min(kQueries<T>, s_.queries - first);
    // Under a mask a query may see nothing, and then all keys share.
    const bool cut = call_.options.is_causal && call_.mask.data == nullptr;
    return {batch, head, first, rows, cut ? std::min(s_.keys, first + rows) : s_.keys};
  }

  Dim key_head(const Block& b) const { return b.head / (s_.heads / s_.key_heads); }
  Dim query_row() const { return s_.heads * s_.size; }
  Dim key_row() const { return s_.key_heads * s_.size; }
  Dim value_row() const { return s_.key_heads * s_.value_size; }
  Dim out_row() const { return s_.heads * s_.value_size; }
  // Where the block begins in the queries, in the results, in the keys and in the values.
  Dim query_at(const Block& b) const {
    return (b.batch * s_.queries + b.first) * query_row() + b.head * s_.size;
  }
  Dim out_at(const Block& b) const {
    return (b.batch * s_.queries + b.first) * out_row() + b.head * s_.value_size;
  }
  Dim key_at(const Block& b) const { return b.batch * s_.keys * key_row() + key_head(b) * s_.size; }
  Dim value_at(const Block& b) const {
    return b.batch * s_.keys * value_row() + key_head(b) * s_.value_size;
  }

  // The scores before the softmax; `query` has room for the scaled queries as a strip. `capped`
  // keeps tanh(score / soft_cap) for the way back.
  void fill(const Block& b, T* query, T* scores, T* capped) const {
    to_strip(call_.query + query_at(b), query_row(), b.rows, s_.size,
             static_cast<T>(call_.options.scale), query);
    multiply<kVectors, T>(b.keys, {s_.size, call_.key + key_at(b), key_row(), 1, query, kQueries<T>,
                                   scores, kQueries<T>, false});
    if (call_.options.soft_cap != 0) cap(b, scores, capped);
    if (call_.bias.data != nullptr) add_bias(b, scores);
    if (may_hide())
      each_hidden(b, [&](Dim j, Dim i) { scores[j * kQueries<T> + i] = kOutOfPlay<T>; });
  }

  // Replaces the scores by their exponentials, relative to the largest of the query; gives one over
  // their sums. after(key, exponentials) sees a row while it is in registers.
  template <class After>
  StripRow<T> exponentials(const Block& b, T* scores, const After& after) const {
    constexpr Dim kSlice = 64;  // rounding errors grow with a slice, not with the sum
    StripRow<T> most = get(scores), total{};
    for (Dim j = 1; j < b.keys; ++j) {
      const StripRow<T> z = get(scores + j * kQueries<T>);
      for (int v = 0; v < kVectors; ++v) most[v] = softmax::larger(most[v], z[v]);
    }
    for (Dim first = 0; first < b.keys; first += kSlice) {
      StripRow<T> part{};
      for (Dim j = first; j < std::min(first + kSlice, b.keys); ++j) {
        StripRow<T> z = get(scores + j * kQueries<T>);
        for (int v = 0; v < kVectors; ++v) {
          z[v] = softmax::exp_of_negative(z[v] - most[v]);
          part[v] += z[v];
        }
        put(scores + j * kQueries<T>, z);
        after(j, z);
      }
      for (int v = 0; v < kVectors; ++v) total[v] += part[v];
    }
    for (int v = 0; v < kVectors; ++v) total[v] = 1 / total[v];
    return total;
  }

  bool may_hide() const { return call_.options.is_causal || call_.mask.data != nullptr; }

  // Calls body(key, query of the block) for the pairs that do not count.
  template <class Body>
  void each_hidden(const Block& b, const Body& body) const {
    if (call_.options.is_causal)
      for (Dim j = b.first + 1; j < b.keys; ++j)
        for (Dim i = 0; i < std::min(b.rows, j - b.first); ++i) body(j, i);
    if (call_.mask.data == nullptr) return;
    for (Dim i = 0; i < b.rows; ++i) {
      const bool* const mask = call_.mask.row(b.batch, b.head, b.first + i);
      for (Dim j = 0; j < b.keys; ++j)
        if (!mask[j * call_.mask.key]) body(j, i);
    }
  }

 private:
  void cap(const Block& b, T* scores, T* capped) const {
    const T most = static_cast<T>(call_.options.soft_cap);
    const Dim n = b.keys * kQueries<T>;
    apply<T>(
        scores, n, [=](Vec<T> v) { return tanh(v / most); }, scores);
    if (capped != nullptr) std::copy_n(scores, n, capped);
    apply<T>(
        scores, n, [=](Vec<T> v) { return v * most; }, scores);
  }

  void add_bias(const Block& b, T* scores) const {
    for (Dim i = 0; i < b.rows; ++i) {
      const T* const bias = call_.bias.row(b.batch, b.head, b.first + i);
      for (Dim j = 0; j < b.keys; ++j) scores[j * kQueries<T> + i] += bias[j * call_.bias.key];
    }
  }

  const AttentionForward<T>& call_;
  const AttentionShape& s_;
};

template <class T>
void scale_strip(Dim size, const StripRow<T>& factor, T* strip) {
  for (Dim e = 0; e < size; ++e) {
    StripRow<T> row = get(strip + e * kQueries<T>);
    for (int v = 0; v < kVectors; ++v) row[v] *= factor[v];
    put(strip + e * kQueries<T>, row);
  }
}

// out rows = the transpose of a strip [size, kQueries].
template <class T>
void from_strip(const T* strip, Dim rows, Dim size, T* out, Dim out_row) {
  transpose_plane(strip, kQueries<T>, out, out_row, rows, size);
}

template <class T>
class ForwardPass {
 public:
  explicit ForwardPass(const AttentionForward<T>& call)
      : call_(call), s_(call.shape), scores_(call) {}

  void run_block(const Block& b) const {
    const Dim out_size = s_.value_size * kQueries<T>;
    T* const scores = workspace<T>(
        kSlot, static_cast<std::size_t>(scores_.size() + s_.size * kQueries<T> + out_size));
    T *const out = scores + scores_.size(), *const query = out + out_size;
    std::fill_n(out, out_size, T{0});
    if (b.keys > 0) {
      scores_.fill(b, query, scores, nullptr);
      const StripRow<T> share = scores_.exponentials(b, scores, [](Dim, const StripRow<T>&) {});
      multiply<kVectors, T>(
          s_.value_size, {b.keys, call_.value + scores_.value_at(b), 1, scores_.value_row(), scores,
                          kQueries<T>, out, kQueries<T>, false});
      scale_strip(s_.value_size, share, out);
    }
    from_strip(out, b.rows, s_.value_size, call_.out + scores_.out_at(b), scores_.out_row());
  }

  void run() const {
    const Dim blocks = scores_.blocks();
    parallel_chunks(s_.batch * s_.heads * blocks, [&](std::int64_t chunk) {
      run_block(
          scores_.block(chunk / blocks / s_.heads, chunk / blocks % s_.heads, chunk % blocks));
    });
  }

 private:
  const AttentionForward<T>& call_;
  const AttentionShape& s_;
  const Scores<T> scores_;
};

template <class T>
class BackwardPass {
 public:
  explicit BackwardPass(const AttentionBackward<T>& call)
      : call_(call),
        forward_(call.forward),
        s_(forward_.shape),
        scores_(forward_),
        size_(padded<T>(s_.size)),
        value_size_(padded<T>(s_.value_size)) {}

  // All that goes to one head of keys and values.
  void run(Dim batch, Dim key_head) const {
    const Buffers to = buffers();
    std::fill_n(to.d_key, s_.keys * size_, T{0});
    std::fill_n(to.d_value, s_.keys * value_size_, T{0});
    const Dim group = s_.heads / s_.key_heads;
    for (Dim h = key_head * group; h < (key_head + 1) * group; ++h)
      for (Dim i = 0; i < scores_.blocks(); ++i) run_block(scores_.block(batch, h, i), to);
    const Block all = scores_.block(batch, key_head * group, 0);
    copy_rows(to.d_key, size_, s_.keys, s_.size, call_.d_key + scores_.key_at(all),
              scores_.key_row());
    copy_rows(to.d_value, value_size_, s_.keys, s_.value_size,
              call_.d_value + scores_.value_at(all), scores_.value_row());
  }

 private:
  // Strips of a block, its rows with padding, and the sums of all blocks.
  struct Buffers {
    T *shares, *d_scores, *capped;  // strips [keys, kQueries]
    T *query, *d_out;            // strips [size, kQueries]; out replaces query, and d_query d_out
    T *query_rows, *d_out_rows;  // [kQueries, padded size]
    T *d_key, *d_value;          // [keys, padded size]
  };

  Buffers buffers() const {
    const Dim strip = scores_.size(), most = std::max(size_, value_size_);
    const Dim capped = forward_.options.soft_cap != 0 ? strip : 0;
    const Dim sizes[] = {strip,
                         strip,
                         capped,
                         most * kQueries<T>,
                         most * kQueries<T>,
                         most * kQueries<T>,
                         most * kQueries<T>,
                         s_.keys * size_,
                         s_.keys * value_size_};
    Dim total = 0;
    for (const Dim size : sizes) total += size;
    T* next = workspace<T>(kSlot, static_cast<std::size_t>(total));
    Buffers b{};
    T** const parts[] = {&b.shares,     &b.d_scores,   &b.capped, &b.query,  &b.d_out,
                         &b.query_rows, &b.d_out_rows, &b.d_key,  &b.d_value};
    for (std::size_t i = 0; i < std::size(sizes); next += sizes[i++]) *parts[i] = next;
    if (capped == 0) b.capped = nullptr;
    return b;
  }

  // A query's shares are its exponentials times one factor. That goes to what the products read
  // and write by query instead: to d_out, to the query and to d_query.
  void run_block(const Block& b, const Buffers& to) const {
    if (b.keys == 0) return clear_queries(b);
    const T* const d_out = call_.d_out + scores_.out_at(b);
    scores_.fill(b, to.query, to.shares, to.capped);
    to_strip(d_out, scores_.out_row(), b.rows, s_.value_size, T{1}, to.d_out);
    multiply<kVectors, T>(
        b.keys, {s_.value_size, forward_.value + scores_.value_at(b), scores_.value_row(), 1,
                 to.d_out, kQueries<T>, to.d_scores, kQueries<T>, false});
    to_strip(call_.out + scores_.out_at(b), scores_.out_row(), b.rows, s_.value_size, T{1},
             to.query);
    const StripRow<T> factor = to_products(b, to);
    T factors[kQueries<T>];
    put(factors, factor);
    if (call_.d_bias != nullptr) keep_bias(b, factors, to.d_scores);
    if (to.capped != nullptr)
      apply<T>(
          to.d_scores, b.keys * kQueries<T>, [](Vec<T> d, Vec<T> c) { return d * (1 - c * c); },
          to.d_scores, to.capped);
    to_padded(d_out, scores_.out_row(), b.rows, s_.value_size, factors, to.d_out_rows);
    multiply<T>(b.keys, value_size_ / kLanes<T>,
                {b.rows, to.shares, kQueries<T>, 1, to.d_out_rows, value_size_, to.d_value,
                 value_size_, true});
    const T scale = static_cast<T>(forward_.options.scale);
    for (T& f : factors) f *= scale;
    to_padded(forward_.query + scores_.query_at(b), scores_.query_row(), b.rows, s_.size, factors,
              to.query_rows);
    multiply<T>(b.keys, size_ / kLanes<T>,
                {b.rows, to.d_scores, kQueries<T>, 1, to.query_rows, size_, to.d_key, size_, true});
    T* const d_query = to.d_out;
    multiply<kVectors, T>(s_.size, {b.keys, forward_.key + scores_.key_at(b), 1, scores_.key_row(),
                                    to.d_scores, kQueries<T>, d_query, kQueries<T>, false});
    scale_strip(s_.size, get(factors), d_query);
    from_strip(d_query, b.rows, s_.size, call_.d_query + scores_.query_at(b), scores_.query_row());
  }

  void clear_queries(const Block& b) const {
    T* row = call_.d_query + scores_.query_at(b);
    for (Dim i = 0; i < b.rows; ++i, row += scores_.query_row()) std::fill_n(row, s_.size, T{0});
  }

  // From the scores and the gradients of the shares to the exponentials and, but for the queries'
  // factors, the gradients of the queries' products with the keys, both in place. Gives the
  // factors. What a query's gradients have in common is the product of its result and of the
  // result's gradient.
  StripRow<T> to_products(const Block& b, const Buffers& to) const {
    StripRow<T> along{};
    for (Dim e = 0; e < s_.value_size; ++e) {
      const StripRow<T> out = get(to.query + e * kQueries<T>);
      const StripRow<T> d = get(to.d_out + e * kQueries<T>);
      for (int v = 0; v < kVectors; ++v) along[v] += out[v] * d[v];
    }
    const StripRow<T> factor = scores_.exponentials(b, to.shares, [&](Dim j, const StripRow<T>& p) {
      StripRow<T> d = get(to.d_scores + j * kQueries<T>);
      for (int v = 0; v < kVectors; ++v) d[v] = p[v] * (d[v] - along[v]);
      put(to.d_scores + j * kQueries<T>, d);
    });
    if (scores_.may_hide())
      scores_.each_hidden(b, [&](Dim j, Dim i) { to.d_scores[j * kQueries<T> + i] = 0; });
    return factor;
  }

  void keep_bias(const Block& b, const T* factors, const T* d_scores) const {
    T* row = call_.d_bias + ((b.batch * s_.heads + b.head) * s_.queries + b.first) * s_.keys;
    from_strip(d_scores, b.rows, b.keys, row, s_.keys);
    for (Dim i = 0; i < b.rows; ++i, row += s_.keys) {
      apply<T>(
          row, b.keys, [factor = factors[i]](Vec<T> v) { return v * factor; }, row);
      std::fill(row + b.keys, row + s_.keys, T{0});
    }
  }

  const AttentionBackward<T>& call_;
  const AttentionForward<T>& forward_;
  const AttentionShape& s_;
  const Scores<T> scores_;
  const Dim size_, value_size_;  // with padding
};

}  // namespace

template <class T>
void attention_forward(const AttentionForward<T>& call) {
  ForwardPass<T>(call).run();
}

template <class T>
void attention_backward(const AttentionBackward<T>& call) {
  const AttentionShape& s = call.forward.shape;
  if (s.heads == 0) {  // nobody looks at the keys
    std::fill_n(call.d_key, s.batch * s.keys * s.key_heads * s.size, T{0});
    std::fill_n(call.d_value, s.batch * s.keys * s.key_heads * s.value_size, T{0});
    return;
  }
  const BackwardPass<T> pass(call);
  parallel_chunks(s.batch * s.key_heads,
                  [&](std::int64_t chunk) { pass.run(chunk / s.key_heads, chunk % s.key_heads); });
}

#define LAMINA_INSTANTIATE(T)                                     \
  template void attention_forward<T>(const AttentionForward<T>&); \
  template void attention_backward<T>(const AttentionBackward<T>&);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
