// When a convolution can read, or its gradient write, the parts of an image one by one.
#pragma once

#include "ops/op.h"

namespace lamina {

// x's channels lie in parts that begin at a vector, and the convolution goes Winograd's way.
bool conv_parts_suit(const std::vector<Dim>& parts, const Spec& x, const Shape& w,
                     const Attrs& attrs);

// The same of the gradient of x.
bool conv_input_grad_parts_suit(const std::vector<Dim>& parts, const Spec& x, const Shape& w,
                                const Attrs& attrs);

}  // namespace lamina
