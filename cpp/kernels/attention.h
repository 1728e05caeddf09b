// Attention of several heads: means of values, weighted by the softmax of scaled products of
// queries and keys. The scores of a block of queries are made, used and forgotten; those of a whole
// batch never lie in memory. Every element of a result is one chain over its terms in order, so
// that bits depend neither on the blocks nor on the threads.
#pragma once

#include "lamina/types.h"

namespace lamina {

// `heads` is a multiple of `key_heads`: that many query heads share each head of keys and values.
struct AttentionShape {
  Dim batch = 0, queries = 0, keys = 0;
  Dim heads = 0, key_heads = 0;
  Dim size = 0, value_size = 0;  // of a head's queries and keys, and of its values
};

struct AttentionOptions {
  double scale = 1;
  double soft_cap = 0;     // c in c * tanh(score / c); 0: none
  bool is_causal = false;  // a query sees only the keys up to its own position
};

// Something that is broadcast to the scores [batch, heads, queries, keys]: strides in elements, 0
// along an axis of size 1.
template <class T>
struct OverScores {
  const T* data = nullptr;
  Dim batch = 0, head = 0, query = 0, key = 0;
  const T* row(Dim b, Dim h, Dim q) const { return data + b * batch + h * head + q * query; }
};

template <class T>
struct AttentionForward {
  AttentionShape shape;
  AttentionOptions options;
  const T* query;         // [batch, queries, heads, size]
  const T* key;           // [batch, keys, key_heads, size]
  const T* value;         // [batch, keys, key_heads, value_size]
  OverScores<bool> mask;  // false: the key does not count; no data: all do
  OverScores<T> bias;     // added to the scores; may have no data
  T* out;                 // [batch, queries, heads, value_size]
};

template <class T>
struct AttentionBackward {
  AttentionForward<T> forward;  // without `out`
  const T* out;                 // its result
  const T* d_out;
  T* d_query;
  T* d_key;
  T* d_value;
  T* d_bias;  // [batch, heads, queries, keys], before it is summed to the bias's shape; may be null
};

template <class T>
void attention_forward(const AttentionForward<T>& call);
template <class T>
void attention_backward(const AttentionBackward<T>& call);

}  // namespace lamina
