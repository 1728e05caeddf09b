#include "ops/window.h"

#include <algorithm>

namespace lamina {
namespace {

constexpr Dim kMostStep = 1 << 30;  // no product of two overflows

std::string by(std::array<Dim, 2> sizes) {
  return std::to_string(sizes[0]) + " x " + std::to_string(sizes[1]);
}

}  // namespace

std::array<Dim, 2> Window::output(std::array<Dim, 2> input, const char* what) const {
  std::array<Dim, 2> out;
  for (int i = 0; i < 2; ++i) {
    if (input[i] == kUnknown || size[i] == kUnknown)
      out[i] = kUnknown;
    else if (same)
      out[i] = (input[i] + stride[i] - 1) / stride[i];
    else if (input[i] >= extent(i))
      out[i] = (input[i] - extent(i)) / stride[i] + 1;
    else
      shape_error(std::string(what) + " " + by(size) +
                  (dilation[0] > 1 || dilation[1] > 1 ? " with dilation " + by(dilation) : "") +
                  " does not fit into input " +
                  by({std::max<Dim>(input[0], 0), std::max<Dim>(input[1], 0)}) +
                  " with padding 'valid'");
  }
  return out;
}

Dim Window::extent(int axis) const { return dim_mul(size[axis] - 1, dilation[axis]) + 1; }

std::array<Dim, 2> Window::padding(std::array<Dim, 2> input) const {
  if (!same) return {0, 0};
  std::array<Dim, 2> before;
  for (int i = 0; i < 2; ++i) {
    const Dim out = (input[i] + stride[i] - 1) / stride[i];
    before[i] = std::max<Dim>((out - 1) * stride[i] + extent(i) - input[i], 0) / 2;
  }
  return before;
}

std::array<Dim, 2> attr_pair(const Attrs& attrs, std::string_view name,
                             std::array<Dim, 2> fallback) {
  const std::vector<std::int64_t> v = attr_ints(attrs, name, {fallback[0], fallback[1]});
  const auto wrong = [](Dim d) { return d < 1 || d > kMostStep; };
  if (v.empty() || v.size() > 2 || std::any_of(v.begin(), v.end(), wrong))
    throw Error(std::string(name) + " must be one or two positive integers, got " +
                to_string(Shape(v)));
  return {v.front(), v.back()};
}

Window read_window(const Attrs& attrs, std::array<Dim, 2> size, std::array<Dim, 2> default_stride) {
  const std::string padding = attr_str(attrs, "padding", "valid");
  if (padding != "valid" && padding != "same")
    throw Error("padding '" + padding + "' is neither 'valid' nor 'same'");
  return {size, attr_pair(attrs, "strides", default_stride), attr_pair(attrs, "dilations", {1, 1}),
          padding == "same"};
}

}  // namespace lamina
