// The gradients of a convolution followed by its maximum or minimum over all positions. The fusion
// of a step's graph makes them; no layer asks for them.
#include "ops/conv_extreme.h"

#include "kernels/conv_extreme.h"
#include "ops/conv.h"

namespace lamina {
namespace {

ConvShape bound_shape(const Shape& x, const Shape& w, const Attrs& attrs) {
  const ConvShape s = conv_shape(x, w, attrs);
  if (!conv_extreme::suits(s))
    shape_error("is for maps of many positions, got input " + to_string(x) + " and kernel " +
                to_string(w));
  return s;
}

// Inputs 2 and 3: the extremes of the map and their gradients.
void require_extremes(const InferArgs& a, const Shape& map, const Shape& expected) {
  if (map != expected)
    shape_error("the map has shape " + to_string(map) + ", the convolution's output " +
                to_string(expected));
  for (std::size_t i = 2; i < 4; ++i)
    if (dim_product(a[i].shape) != dim_mul(map.front(), map.back()))
      shape_error("extremes have shape " + to_string(a[i].shape) + ", the map " + to_string(map));
}

template <class T>
conv_extreme::Extremes<T> extremes_of(const Run& r, std::size_t map) {
  return {r.in<T>(map), r.in<T>(2), r.in<T>(3)};
}

// Two multiply-adds for each weight and example, and a look at the map.
double work(const ConvShape& s) {
  const auto images = static_cast<double>(s.batch);
  return images * 2 * static_cast<double>(s.weights() + s.out_plane() * s.out_c);
}

// ---- conv_extreme_weight_grad(x, map, extremes, d; kernel_shape, conv's attributes) -> dw

std::vector<Spec> infer_weight_grad(const InferArgs& a) {
  require_count(a, 4);
  require_conv_operands(a, "x", "the map");
  const Shape w = attr_shape(a.attrs, "kernel_shape", a[0].shape.size());
  require_extremes(a, a[1].shape, conv_output(a[0].shape, w, a.attrs));
  return {{a[0].dtype, w}};
}

Bound bind_weight_grad(const BindArgs& a) {
  const ConvShape s = bound_shape(a.in[0].shape, a.out[0].shape, a.attrs);
  Bound bound;
  bound.flops = work(s);
  bound.scratch_bytes =
      static_cast<std::size_t>(conv_extreme::weight_grad_scratch(s)) * item_size(a.in[0].dtype);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      conv_extreme::weight_grad(s, r.in<T>(0), extremes_of<T>(r, 1), r.out<T>(0),
                                reinterpret_cast<T*>(r.scratch));
    };
  });
  return bound;
}

// ---- conv_extreme_input_grad(map, w, extremes, d; input_shape, conv's attributes) -> dx

std::vector<Spec> infer_input_grad(const InferArgs& a) {
  require_count(a, 4);
  require_conv_operands(a, "the map", "kernel");
  const Shape x = attr_shape(a.attrs, "input_shape", a[0].shape.size());
  require_extremes(a, a[0].shape, conv_output(x, a[1].shape, a.attrs));
  return {{a[0].dtype, x}};
}

Bound bind_input_grad(const BindArgs& a) {
  const ConvShape s = bound_shape(a.out[0].shape, a.in[1].shape, a.attrs);
  Bound bound;
  bound.flops = work(s);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      conv_extreme::input_grad(s, extremes_of<T>(r, 0), r.in<T>(1), r.out<T>(0));
    };
  });
  return bound;
}

const Register ops{
    {.name = "conv_extreme_weight_grad", .infer = infer_weight_grad, .bind = bind_weight_grad},
    {.name = "conv_extreme_input_grad", .infer = infer_input_grad, .bind = bind_input_grad},
};

}  // namespace

bool conv_extreme_suits(const Shape& x, const Shape& w, const Attrs& attrs) {
  return conv_extreme::suits(conv_shape(x, w, attrs));
}

}  // namespace lamina
