// When the gradients of a convolution are worth taking from its extremes alone.
#pragma once

#include "ops/op.h"

namespace lamina {

bool conv_extreme_suits(const Shape& x, const Shape& w, const Attrs& attrs);

}  // namespace lamina
