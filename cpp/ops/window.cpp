#include "ops/window.h"

#include <algorithm>

namespace lamina {
namespace {

constexpr Dim kMostStep = 1 << 30;  // no product of two overflows

std::string by(const Shape& sizes) {
  std::string text;
  for (const Dim size : sizes) {
    if (!text.empty()) text += " x ";
    text += size == kUnknown ? "?" : std::to_string(size);
  }
  return text;
}

// "'valid'", or cells before and after each axis: "0 and -1, 2 and 1".
std::string padding_text(const Window& window) {
  if (window.padding == Padding::valid) return "'valid'";
  std::string text;
  for (std::size_t i = 0; i < window.low.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(window.low[i]) + " and " +
            std::to_string(window.high[i]);
  return text;
}

// One positive integer for each axis; a lone one stands for all.
Shape steps(const Attrs& attrs, std::string_view name, std::size_t rank) {
  Shape v = attr_ints(attrs, name, {1});
  if (v.size() == 1) v.resize(rank, v[0]);
  const auto wrong = [](Dim d) { return d < 1 || d > kMostStep; };
  if (v.size() != rank || std::any_of(v.begin(), v.end(), wrong))
    throw Error(std::string(name) + " must be one or " + std::to_string(rank) +
                " positive integers, got " + to_string(v));
  return v;
}

Padding read_padding(const Attrs& attrs) {
  if (attrs.contains("pads")) return Padding::given;
  const std::string name = attr_str(attrs, "padding", "valid");
  if (name == "valid") return Padding::valid;
  if (name == "same") return Padding::same;
  if (name == "causal") return Padding::causal;
  throw Error("padding '" + name + "' is not one of 'valid', 'same', 'causal'");
}

}  // namespace

Dim Window::extent(std::size_t axis) const { return dim_mul(size[axis] - 1, dilation[axis]) + 1; }

Shape Window::output(const Shape& input, const char* what) const {
  Shape out(input.size());
  for (std::size_t i = 0; i < input.size(); ++i) {
    const Dim pads = padding == Padding::given ? low[i] + high[i] : 0;  // may equal kUnknown
    if (input[i] == kUnknown || size[i] == kUnknown)
      out[i] = kUnknown;
    else if (padding == Padding::same || padding == Padding::causal)
      out[i] = (input[i] + stride[i] - 1) / stride[i];
    else if (input[i] + pads >= extent(i))
      out[i] = (input[i] + pads - extent(i)) / stride[i] + 1;
    else
      shape_error(std::string(what) + " " + by(size) +
                  (dilation == Shape(size.size(), 1) ? "" : " with dilation " + by(dilation)) +
                  " does not fit into input " + by(input) + " with padding " + padding_text(*this));
  }
  return out;
}

Shape Window::before(const Shape& input) const {
  if (padding == Padding::given) return low;
  Shape before(input.size(), 0);
  for (std::size_t i = 0; i < input.size(); ++i) {
    const Dim out = (input[i] + stride[i] - 1) / stride[i];
    if (padding == Padding::causal) before[i] = extent(i) - 1;
    if (padding == Padding::same)
      before[i] = std::max<Dim>((out - 1) * stride[i] + extent(i) - input[i], 0) / 2;
  }
  return before;
}

Window read_window(const Attrs& attrs, Shape size) {
  const std::size_t rank = size.size();
  Window window{std::move(size),
                steps(attrs, "strides", rank),
                steps(attrs, "dilations", rank),
                read_padding(attrs),
                {},
                {}};
  if (window.padding != Padding::given) return window;
  const Shape pads = attr_ints(attrs, "pads");
  if (pads.size() != 2 * rank)
    throw Error("pads must have two integers for each of " + std::to_string(rank) + " axes, got " +
                to_string(pads));
  for (std::size_t i = 0; i < rank; ++i) {
    if (pads[2 * i] < 0 || pads[2 * i] > kMostStep || std::abs(pads[2 * i + 1]) > kMostStep)
      throw Error("pads must not be negative before an axis, got " + to_string(pads));
    window.low.push_back(pads[2 * i]);
    window.high.push_back(pads[2 * i + 1]);
  }
  return window;
}

}  // namespace lamina
