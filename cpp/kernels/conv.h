// 2-D convolution over channels-last images. x [batch, in_h, in_w, in_c], w [kernel_h, kernel_w,
// in_c / groups, out_c], y [batch, out_h, out_w, out_c]. The work is split over output pixels by a
// rule that depends on the shapes only; an output's bits do not depend on the rest of the batch.
#pragma once

#include "kernels/gemm.h"

namespace lamina {

struct ConvShape {
  Dim batch, in_h, in_w, in_c, out_h, out_w, out_c;
  Dim kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  Dim pad_top, pad_left;  // zeros before the first row and column; what follows is implied
  Dim groups;

  Dim pixels() const { return batch * out_h * out_w; }
  Dim group_in() const { return in_c / groups; }
  Dim group_out() const { return out_c / groups; }
  Dim depth() const { return kernel_h * kernel_w * group_in(); }  // products per output element
  Dim weights() const { return depth() * out_c; }
  bool unit_stride() const { return stride_h == 1 && stride_w == 1; }
  bool pointwise() const {  // a plain matrix product over the pixels
    return kernel_h == 1 && kernel_w == 1 && unit_stride() && groups == 1 && pad_top == 0 &&
           pad_left == 0 && in_h == out_h && in_w == out_w;
  }
  bool depthwise() const { return groups > 1 && group_in() == 1 && group_out() == 1; }
  double multiply_adds() const {
    return static_cast<double>(pixels()) * static_cast<double>(weights());
  }
};

template <class T>
void conv2d(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e);

// Elements of scratch that the gradients need.
Dim conv2d_input_grad_scratch(const ConvShape& s);
Dim conv2d_weight_grad_scratch(const ConvShape& s);

template <class T>
void conv2d_input_grad(const ConvShape& s, const T* dy, const T* w, T* dx, T* scratch);
template <class T>
void conv2d_weight_grad(const ConvShape& s, const T* x, const T* dy, T* dw, T* scratch);

// One filter per channel (s.depthwise()): vectors of channels instead of a matrix product.
template <class T>
void depthwise(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e);
template <class T>
void depthwise_input_grad(const ConvShape& s, const T* dy, const T* w, T* dx);
template <class T>  // of output pixels [begin, end)
void depthwise_weight_grad(const ConvShape& s, const T* x, const T* dy, Dim begin, Dim end, T* dw);

// A fixed partition of `pixels` for `work` multiply-adds in all: pixels per part.
Dim conv_part(Dim pixels, double work, Dim most_parts = 64);

}  // namespace lamina
