// Convolution over channels-last data with up to three spatial axes. x [batch, in..., in_c],
// w [kernel..., in_c / groups, out_c], y [batch, out..., out_c]. The work is split over output
// pixels by a rule that depends on the shapes only; an output's bits do not depend on the rest of
// the batch.
#pragma once

#include <array>

#include "kernels/gemm.h"

namespace lamina {

struct ConvShape {
  using Axes = std::array<Dim, 3>;  // depth, height, width; an axis that is not there has size 1
  Dim batch, in_c, out_c, groups;
  Axes in, out, kernel, stride, dilation;
  Axes pad;  // zeros before the first cell of each axis; what follows the last is implied

  static Dim product(const Axes& a) { return a[0] * a[1] * a[2]; }
  Dim out_plane() const { return product(out); }
  Dim in_plane() const { return product(in); }
  Dim positions() const { return product(kernel); }
  Dim pixels() const { return batch * out_plane(); }
  Dim group_in() const { return in_c / groups; }
  Dim group_out() const { return out_c / groups; }
  Dim depth() const { return positions() * group_in(); }  // products per output element
  Dim weights() const { return depth() * out_c; }
  bool unit_stride() const { return stride == Axes{1, 1, 1}; }
  bool pointwise() const {  // a plain matrix product over the pixels
    return positions() == 1 && unit_stride() && groups == 1 && pad == Axes{} && in == out;
  }
  // Every filter sees one channel, or so few that a matrix product would have few columns.
  bool thin() const {
    const Dim g = group_in();
    return groups > 1 && (g == 1 || (g == group_out() && (g == 2 || g == 4 || g == 8)));
  }
  double multiply_adds() const {
    return static_cast<double>(pixels()) * static_cast<double>(weights());
  }
  // Where the cell lies on an axis that output `o` reads at kernel position k; may be outside.
  Dim cell(int axis, Dim o, Dim k) const {
    return o * stride[axis] - pad[axis] + k * dilation[axis];
  }
};

struct OutputRow {  // columns [column, column + count) of one row of one image's output
  Dim image, plane, row, column, count;
};
// The part of output pixels [p, end) that lies in the row of p; `out` are the output's axes.
inline OutputRow row_at(const ConvShape::Axes& out, Dim p, Dim end) {
  const Dim rows = p / out[2], column = p % out[2];
  const Dim planes = rows / out[1];
  return {planes / out[0], planes % out[0], rows % out[1], column,
          end - p < out[2] - column ? end - p : out[2] - column};
}

// The convolution that takes dy to dx when the stride is 1: kernel turned by 180 degrees, input
// and output channels of each group exchanged.
ConvShape transposed(const ConvShape& s);

template <class T>
void conv(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e);

// Elements of scratch that the gradients need.
Dim conv_input_grad_scratch(const ConvShape& s);
Dim conv_weight_grad_scratch(const ConvShape& s);

template <class T>
void conv_input_grad(const ConvShape& s, const T* dy, const T* w, T* dx, T* scratch);
template <class T>
void conv_weight_grad(const ConvShape& s, const T* x, const T* dy, T* dw, T* scratch);

// Thin groups: vectors of filters instead of a matrix product.
template <class T>
void depthwise(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e);
// With several channels in a group, w is turned: positions backwards, (filter, channel) of a group.
template <class T>
void depthwise_input_grad(const ConvShape& s, const T* dy, const T* w, T* dx);
template <class T>  // of output pixels [begin, end)
void depthwise_weight_grad(const ConvShape& s, const T* x, const T* dy, Dim begin, Dim end, T* dw);

// A fixed partition of `pixels` for `work` multiply-adds in all: pixels per part.
Dim conv_part(Dim pixels, double work, Dim most_parts = 64);

}  // namespace lamina
