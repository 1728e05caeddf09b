// The input gradient of a convolution whose kernel is as large as its stride: every input cell
// belongs to one output, so the gradient is a product whose rows are already in place. As a forward
// op this is the usual transposed convolution, with bias and activation.
#pragma once

#include "kernels/conv.h"

namespace lamina::disjoint {

bool suits(const ConvShape& s);
Dim scratch(const ConvShape& s);  // elements

// e.bias: one for each channel of dx.
template <class T>
void input_grad(const ConvShape& s, const T* dy, const T* w, T* dx, const Epilogue<T>& e,
                T* scratch);

}  // namespace lamina::disjoint
