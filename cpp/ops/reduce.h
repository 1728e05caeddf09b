// The reduction machinery, for the ops of reduce_*.cpp.
#pragma once

#include "kernels/reduce.h"
#include "ops/op.h"

namespace lamina {

// The attribute "axes", sorted and not negative; all axes when it is absent.
std::vector<int> reduced_axes(const Attrs& attrs, std::size_t rank);
Shape reduced_shape(const Shape& shape, const std::vector<int>& axes, bool keepdims);

// Reduces input 0 into output 0; R is SumOf, ProductOf ... of kernels/reduce.h. With `mean` the
// result is divided by the number of elements.
template <class R>
Bound bind_reduction(const Spec& in, const std::vector<int>& axes, bool mean = false);

std::size_t aligned_bytes(std::size_t bytes);  // rounded up to a cache line: parts of a scratch

}  // namespace lamina
