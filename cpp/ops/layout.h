// Copies between strided arrangements, for layout ops and whoever needs another order of axes.
#pragma once

#include "ops/op.h"

namespace lamina {

// One axis of a walk over a contiguous result: its size, and the step (in elements, may be
// negative or 0) in the other buffer.
struct Stride {
  Dim size, step;
};

// Calls f with an unsigned integer of the item's size.
template <class F>
auto with_item(DType dtype, F f) {
  switch (item_size(dtype)) {
    case 8:
      return f(std::uint64_t{});
    case 4:
      return f(std::uint32_t{});
    case 2:
      return f(std::uint16_t{});
    default:
      return f(std::uint8_t{});
  }
}

// to[...] = from[offset + sum of index * step], `to` contiguous in the order of the axes. In
// parallel when large. The kernel reads input 0 and writes output 0.
Bound bind_strided_read(DType dtype, std::vector<Stride> axes, Dim offset);

// All of output 0 is `fill`, then to[offset + sum of index * step] = from[...]: the reverse of a
// read whose elements lie apart. Reads input 0.
Bound bind_strided_write(const Spec& out, std::vector<Stride> axes, Dim offset, double fill = 0);

// Steps of the axes of a contiguous tensor.
std::vector<Dim> contiguous_steps(const Shape& shape);

// Input 0 with its axes in the order `perm`.
Bound bind_transpose(const Spec& in, const std::vector<int>& perm);

}  // namespace lamina
