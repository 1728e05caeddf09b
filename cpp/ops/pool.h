// The geometry of pooling from the input's shape and the attributes pool_size, strides and padding,
// or output_size.
#pragma once

#include "kernels/pool.h"
#include "ops/op.h"

namespace lamina {

// The output shape; x may have unknown sizes. Throws what does not fit.
Shape pool_output(const Shape& x, const Attrs& attrs);
PoolShape pool_shape(const Shape& x, const Attrs& attrs);

}  // namespace lamina
