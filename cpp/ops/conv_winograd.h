// Convolutions whose weights come as Winograd's way wants them.
#pragma once

#include "ops/op.h"

namespace lamina {

// Elements of the prepared weights of conv(x, w; attrs), where it is worth keeping them between
// runs; else 0. `images` are x, or the parts that make it up side by side.
Dim kept_weights_size(std::span<const Spec> images, const Shape& w, const Attrs& attrs);

// Can such a convolution give the largest output of each filter alone?
bool winograd_conv_has_max(const Shape& x, const Shape& w, const Attrs& attrs);

}  // namespace lamina
