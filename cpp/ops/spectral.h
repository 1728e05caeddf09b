// The gradient rule of qr, which stands with those of the other orthogonal decompositions.
#pragma once

#include "ops/op.h"

namespace lamina {

Grads vjp_qr(Builder& b, const VjpArgs& v);

}  // namespace lamina
