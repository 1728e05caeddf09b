// Windows that slide over the spatial axes of channels-last data: where they lie and how many fit.
#pragma once

#include "ops/op.h"

namespace lamina {

enum class Padding { valid, same, causal, given };

struct Window {
  Shape size, stride, dilation;  // one entry for each spatial axis
  Padding padding;               // same, causal: an output for every stride-th input
  Shape low, high;               // with Padding::given; negative high: cells that are left out

  // Output sizes for input sizes; unknown passes through. `what` names the window in the error.
  Shape output(const Shape& input, const char* what) const;
  // Cells before the first of each axis, as TensorFlow divides them.
  Shape before(const Shape& input) const;

 private:
  Dim extent(std::size_t axis) const;
};

// Attributes strides, dilations, and padding ("valid" unless given, "same" or "causal") or pads
// (cells before and after each axis).
Window read_window(const Attrs& attrs, Shape size);

// The spatial sizes of x [batch, spatial..., channels].
inline Shape spatial_sizes(const Shape& x) { return {x.begin() + 1, x.end() - 1}; }

}  // namespace lamina
