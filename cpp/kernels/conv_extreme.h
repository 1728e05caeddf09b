// The gradients of a convolution whose output is reduced to its maximum or minimum over all
// positions (global pooling): of a map only the place of the extreme has a gradient, so a filter
// takes or gives one patch an example instead of a product over all positions. Equal places share.
#pragma once

#include "kernels/conv.h"

namespace lamina::conv_extreme {

bool suits(const ConvShape& s);

// map [batch, out..., out_c] is the convolution's output, best and d [batch, out_c] its extremes
// and their gradients.
template <class T>
struct Extremes {
  const T *map, *best, *d;
};

Dim weight_grad_scratch(const ConvShape& s);
template <class T>
void weight_grad(const ConvShape& s, const T* x, const Extremes<T>& extremes, T* dw, T* scratch);
template <class T>
void input_grad(const ConvShape& s, const Extremes<T>& extremes, const T* w, T* dx);

}  // namespace lamina::conv_extreme
