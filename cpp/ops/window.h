// Windows that slide over the two spatial axes of a channels-last image: what convolution and
// pooling share.
#pragma once

#include <array>

#include "ops/op.h"

namespace lamina {

struct Window {
  std::array<Dim, 2> size, stride, dilation;
  bool same;  // padding "same": an output for every stride-th input; else only windows that fit

  // Output sizes for input sizes; unknown passes through. `what` names the window in the error.
  std::array<Dim, 2> output(std::array<Dim, 2> input, const char* what) const;
  // Cells outside the image before the first row and column, as TensorFlow divides them.
  std::array<Dim, 2> padding(std::array<Dim, 2> input) const;

 private:
  Dim extent(int axis) const;
};

// Attributes strides, dilations and padding ("valid" unless given).
Window read_window(const Attrs& attrs, std::array<Dim, 2> size, std::array<Dim, 2> default_stride);
// An attribute of two positive integers (one stands for both).
std::array<Dim, 2> attr_pair(const Attrs& attrs, std::string_view name,
                             std::array<Dim, 2> fallback);

inline std::array<Dim, 2> image_size(const Shape& x) { return {x[1], x[2]}; }

}  // namespace lamina
