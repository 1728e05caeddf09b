// What the fusion of graphs must know of a transposed convolution whose weights are turned apart.
#pragma once

#include "ops/op.h"

namespace lamina {

// Is conv_input_grad(dy, w) -> dx one whose kernel is as large as its stride?
bool conv_is_disjoint(const Shape& dx, const Shape& w, const Attrs& attrs);

}  // namespace lamina
