// What the factorisations share: batches of matrices, and shorthands for their gradient rules.
#pragma once

#include "base/parallel.h"
#include "ops/op.h"

namespace lamina {

struct Matrices {  // [..., rows, columns]
  Dim count, rows, columns;
  Dim size() const { return rows * columns; }
};
Matrices matrices_of(const Spec& spec);
// The leading axes, then `tail`.
Shape with_tail(const Spec& spec, std::initializer_list<Dim> tail);
void require_matrices(const Spec& spec, const char* operand);
void require_square(const Spec& spec, const char* operand);
Dim smaller(Dim a, Dim b);  // unknown if one is

// body(i) for every matrix of the batch, in parallel when `cost` (of one) is worth it.
template <class F>
void each_matrix(Dim count, double cost, const F& body) {
  parallel_for(count, static_cast<Dim>(kMinParallelWork / (cost + 1)) + 1, [&](Dim begin, Dim end) {
    for (Dim i = begin; i < end; ++i) body(i);
  });
}

// ---- For gradient rules.
ValueId product(Builder& b, ValueId x, ValueId y, bool transpose_x = false,
                bool transpose_y = false);
ValueId transposed(Builder& b, ValueId x);  // the last two axes
ValueId triangle(Builder& b, ValueId x, bool lower, int k = 0);
ValueId with_axes(Builder& b, ValueId x, int before_last, int after_last);  // axes of size 1
ValueId identity_mask(Builder& b, Dim n);                                   // bool [n, n]
ValueId sum_or(Builder& b, ValueId sum, ValueId term);                      // kNoValue counts as 0

}  // namespace lamina
