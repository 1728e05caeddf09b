// When a convolution and the pooling that follows are worth being one op.
#pragma once

#include <string_view>

#include "ops/op.h"

namespace lamina {

// The pooling's attributes bear this prefix beside the convolution's.
constexpr std::string_view kPoolPrefix = "pool_";

bool conv_max_pool_suits(const Shape& x, const Shape& w, const Attrs& attrs);

}  // namespace lamina
