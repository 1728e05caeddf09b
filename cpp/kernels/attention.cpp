#include "kernels/attention.h"

#include <algorithm>
#include <limits>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/softmax.h"
#include "kernels/vec.h"

namespace lamina {
namespace {

// What gemm leaves to its callers.
constexpr int kSharesSlot = 2, kGradientSlot = 3;

// The score of a key that does not count: finite, so that a query that may see nothing has a
// softmax, the same share for every key.
template <class T>
constexpr T kOutOfPlay = static_cast<T>(-0.7f * std::numeric_limits<float>::max());

// Queries whose scores are made at once: as many as fit into a core's cache. Depends on the number
// of keys only.
Dim block_rows(Dim keys) { return std::clamp<Dim>(32768 / std::max<Dim>(keys, 1), 8, 64); }

// The queries [first, first + rows) of one head of one batch row.
struct Block {
  Dim batch, head, first, rows;
  Dim keys;  // those that count for any of the queries
};

template <class T>
class Scores {
 public:
  explicit Scores(const AttentionForward<T>& call)
      : call_(call), s_(call.shape), row_((s_.keys + kLanes<T> - 1) / kLanes<T> * kLanes<T>) {}

  Dim row_size() const { return row_; }
  Dim size() const { return block_rows(s_.keys) * row_; }
  Dim blocks() const { return (s_.queries + block_rows(s_.keys) - 1) / block_rows(s_.keys); }

  Block block(Dim batch, Dim head, Dim index) const {
    const Dim first = index * block_rows(s_.keys);
    const Dim rows = std::min(block_rows(s_.keys), s_.queries - first);
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

  // scores[i, j]: before the softmax. `capped` keeps tanh(score / soft_cap) for the way back.
  void fill(const Block& b, T* scores, T* capped) const {
    gemm_serial<T>(b.rows, b.keys, s_.size, call_.query + query_at(b), query_row(), 1,
                   call_.key + key_at(b), 1, key_row(), scores, row_, {});
    for (Dim i = 0; i < b.rows; ++i)
      finish_row(b, i, scores + i * row_, capped == nullptr ? nullptr : capped + i * row_);
  }

  void softmax(const Block& b, T* scores) const {
    for (Dim i = 0; i < b.rows; ++i) {
      const softmax::Row<T> line(b.keys, row_);
      softmax::forward(line, scores + i * row_, scores + i * row_);
    }
  }

  bool counts(const Block& b, Dim i, Dim j) const {
    if (call_.options.is_causal && j > b.first + i) return false;
    if (call_.mask.data == nullptr) return true;
    return call_.mask.row(b.batch, b.head, b.first + i)[j * call_.mask.key];
  }

 private:
  void finish_row(const Block& b, Dim i, T* z, T* capped) const {
    const AttentionOptions& o = call_.options;
    const T scale = static_cast<T>(o.scale), cap = static_cast<T>(o.soft_cap);
    for (Dim j = 0; j < b.keys; ++j) z[j] *= scale;
    if (cap != 0) {
      apply<T>(
          z, b.keys, [&](Vec<T> v) { return tanh(v / cap); }, z);
      if (capped != nullptr) std::copy(z, z + b.keys, capped);
      for (Dim j = 0; j < b.keys; ++j) z[j] *= cap;
    }
    if (call_.bias.data != nullptr) {
      const T* bias = call_.bias.row(b.batch, b.head, b.first + i);
      for (Dim j = 0; j < b.keys; ++j) z[j] += bias[j * call_.bias.key];
    }
    if (call_.mask.data != nullptr) {
      const bool* mask = call_.mask.row(b.batch, b.head, b.first + i);
      for (Dim j = 0; j < b.keys; ++j) z[j] = mask[j * call_.mask.key] ? z[j] : kOutOfPlay<T>;
    }
    if (o.is_causal)
      for (Dim j = b.first + i + 1; j < b.keys; ++j) z[j] = kOutOfPlay<T>;
  }

  const AttentionForward<T>& call_;
  const AttentionShape& s_;
  const Dim row_;  // elements from one query's scores to the next's
};

template <class T>
class BackwardPass {
 public:
  explicit BackwardPass(const AttentionBackward<T>& call)
      : call_(call), forward_(call.forward), s_(forward_.shape), scores_(forward_) {}

  // All that goes to one head of keys and values.
  void run(Dim batch, Dim key_head) const {
    const Dim group = s_.heads / s_.key_heads;
    clear(call_.d_key, batch, key_head * s_.size, scores_.key_row(), s_.size);
    clear(call_.d_value, batch, key_head * s_.value_size, scores_.value_row(), s_.value_size);
    for (Dim h = key_head * group; h < (key_head + 1) * group; ++h)
      for (Dim i = 0; i < scores_.blocks(); ++i) run_block(scores_.block(batch, h, i));
  }

 private:
  void clear(T* gradient, Dim batch, Dim at, Dim row, Dim size) const {
    for (Dim j = 0; j < s_.keys; ++j) {
      T* const to = gradient + (batch * s_.keys + j) * row + at;
      std::fill(to, to + size, T(0));
    }
  }

  void run_block(const Block& b) const {
    const Dim row = scores_.row_size();
    const bool caps = forward_.options.soft_cap != 0;
    T* const shares = workspace<T>(kSharesSlot, scores_.size() * (caps ? 2 : 1));
    T* const capped = caps ? shares + scores_.size() : nullptr;
    T* const d_scores = workspace<T>(kGradientSlot, scores_.size());
    scores_.fill(b, shares, capped);
    scores_.softmax(b, shares);
    const T* d_out = call_.d_out + scores_.out_at(b);
    gemm_serial<T>(b.keys, s_.value_size, b.rows, shares, 1, row, d_out, scores_.out_row(), 1,
                   call_.d_value + scores_.value_at(b), scores_.value_row(), {.accumulate = true});
    gemm_serial<T>(b.rows, b.keys, s_.value_size, d_out, scores_.out_row(), 1,
                   forward_.value + scores_.value_at(b), 1, scores_.value_row(), d_scores, row, {});
    for (Dim i = 0; i < b.rows; ++i)
      to_products(b, i, shares + i * row, caps ? capped + i * row : nullptr, d_scores + i * row);
    gemm_serial<T>(b.rows, s_.size, b.keys, d_scores, row, 1, forward_.key + scores_.key_at(b),
                   scores_.key_row(), 1, call_.d_query + scores_.query_at(b), scores_.query_row(),
                   {});
    gemm_serial<T>(b.keys, s_.size, b.rows, d_scores, 1, row, forward_.query + scores_.query_at(b),
                   scores_.query_row(), 1, call_.d_key + scores_.key_at(b), scores_.key_row(),
                   {.accumulate = true});
  }

  // From the gradient of a query's shares to that of its products with the keys.
  void to_products(const Block& b, Dim i, const T* shares, const T* capped, T* d) const {
    const softmax::Row<T> line(b.keys, scores_.row_size());
    softmax::backward(line, shares, d, d);
    if (forward_.options.is_causal || forward_.mask.data != nullptr)
      for (Dim j = 0; j < b.keys; ++j) d[j] = scores_.counts(b, i, j) ? d[j] : T(0);
    if (call_.d_bias != nullptr) {
      const Dim query = (b.batch * s_.heads + b.head) * s_.queries + b.first + i;
      T* const to = call_.d_bias + query * s_.keys;
      std::copy(d, d + b.keys, to);
      std::fill(to + b.keys, to + s_.keys, T(0));
    }
    if (capped != nullptr)
      for (Dim j = 0; j < b.keys; ++j) d[j] *= 1 - capped[j] * capped[j];
    const T scale = static_cast<T>(forward_.options.scale);
    for (Dim j = 0; j < b.keys; ++j) d[j] *= scale;
  }

  const AttentionBackward<T>& call_;
  const AttentionForward<T>& forward_;
  const AttentionShape& s_;
  const Scores<T> scores_;
};

}  // namespace

template <class T>
void attention_forward(const AttentionForward<T>& call) {
  const AttentionShape& s = call.shape;
  const Scores<T> scores(call);
  const Dim blocks = scores.blocks();
  parallel_chunks(s.batch * s.heads * blocks, [&](std::int64_t chunk) {
    const Block b =
        scores.block(chunk / blocks / s.heads, chunk / blocks % s.heads, chunk % blocks);
    T* const shares = workspace<T>(kSharesSlot, scores.size());
    scores.fill(b, shares, nullptr);
    scores.softmax(b, shares);
    gemm_serial<T>(b.rows, s.value_size, b.keys, shares, scores.row_size(), 1,
                   call.value + scores.value_at(b), scores.value_row(), 1,
                   call.out + scores.out_at(b), scores.out_row(), {});
  });
}

template <class T>
void attention_backward(const AttentionBackward<T>& call) {
  const AttentionShape& s = call.forward.shape;
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
