// Depthwise convolution with the usual kernels, a row of pixels at a time: what a block of
// neighbouring columns needs of a row of the image is loaded once and goes into all sums from the
// register, by positions that the compiler knows.
#pragma once

#include "kernels/conv.h"

namespace lamina::depthwise_rows {

// One filter for each channel, a kernel 3 or 5 wide, steps of 1 or 2 along the rows.
template <class T>
bool suits(const ConvShape& s);

template <class T>
void conv(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e);
template <class T>
void input_grad(const ConvShape& s, const T* dy, const T* w, T* dx);
template <class T>  // of output pixels [begin, end)
void weight_grad(const ConvShape& s, const T* x, const T* dy, Dim begin, Dim end, T* dw);

}  // namespace lamina::depthwise_rows
