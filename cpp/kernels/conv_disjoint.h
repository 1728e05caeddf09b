// The input gradient of a convolution whose kernel is as large as its stride: every input cell
// belongs to one output, so the gradient is a product whose rows are already in place. As a forward
// op this is the usual transposed convolution, with bias and activation.
#pragma once

#include "kernels/conv.h"

namespace lamina::disjoint {

bool suits(const ConvShape& s);

// w [kernel row, run, filters] -> [kernel row, filters, run], as the product reads it, where a run
// are the cells under one row of the kernel.
template <class T>
void turn_weights(const ConvShape& s, const T* w, T* turned);

Dim scratch(const ConvShape& s);  // elements
// e.bias: one for each channel of dx.
template <class T>
void input_grad(const ConvShape& s, const T* dy, const T* turned, T* dx, const Epilogue<T>& e,
                T* scratch);

}  // namespace lamina::disjoint
