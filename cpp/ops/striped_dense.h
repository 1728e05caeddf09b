// Products of few rows with weights that come in stripes.
#pragma once

#include "ops/op.h"

namespace lamina {

// Elements of the striped weights of dense(x, w), where it is worth keeping them between runs;
// else 0.
Dim kept_weights_size(const Spec& x, const Spec& w);

}  // namespace lamina
