// The geometry of a convolution from its operands' shapes and its attributes.
#pragma once

#include "kernels/conv.h"
#include "ops/activation_attr.h"

namespace lamina {

// The output shape for x and w, either of which may have unknown sizes; throws what does not fit.
Shape conv_output(const Shape& x, const Shape& w, const Attrs& attrs);
ConvShape conv_shape(const Shape& x, const Shape& w, const Attrs& attrs);

// One floating dtype; the first two operands have the rank of the data.
void require_conv_operands(const InferArgs& a, const char* first, const char* second);

// Whether Winograd's way may be taken: by default wherever it is faster.
bool winograd_allowed(DType dtype, const Attrs& attrs);

// Spec rule of conv(x, w, optional bias).
Spec conv_spec(const InferArgs& a);

// An attribute of sizes, one for each axis.
Shape attr_shape(const Attrs& attrs, std::string_view name, std::size_t rank);

}  // namespace lamina
