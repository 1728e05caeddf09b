// What the forms of a product with a matrix of weights have in common.
#pragma once

#include "ops/activation_attr.h"

namespace lamina {

// The result of x [..., rows], weights, optional bias [columns], for weights of [rows, columns]
// that the caller has checked; complains about the others.
std::vector<Spec> infer_dense_result(const InferArgs& a, Dim rows, Dim columns);

}  // namespace lamina
