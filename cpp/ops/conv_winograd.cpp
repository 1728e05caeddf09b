// Winograd's convolution in two ops: one that transforms the weights, and so need not run again
// while they stay the same, and one that takes them transformed. The fusion of a program's graph
// makes them; no layer asks for them. The results have the bits of conv.
#include "ops/conv_winograd.h"

#include "kernels/winograd.h"
#include "ops/conv.h"
#include "ops/conv_parts.h"

namespace lamina {
namespace {

// ---- winograd_weights(w) -> transformed, flat

// A convolution of an image of one window: of the image the transform knows the channels only.
ConvShape shape_of_weights(const Shape& w) {
  Shape x(w.begin(), w.end() - 1);
  x.insert(x.begin(), 1);
  return conv_shape(x, w, {});
}

std::vector<Spec> infer_weights(const InferArgs& a) {
  require_count(a, 1);
  if (a[0].dtype != DType::f32) type_error("the weights must be float32");
  if (a[0].shape.size() < 3 || a[0].shape.size() > 5)
    shape_error("the weights must have one to three spatial axes, input and output channels");
  const Dim size = is_known(a[0].shape) ? winograd::weights_size(shape_of_weights(a[0].shape)) : 0;
  if (size == 0) shape_error("there is no such convolution by Winograd's way");
  return {{DType::f32, {size}}};
}

Bound bind_weights(const BindArgs& a) {
  const ConvShape s = shape_of_weights(a.in[0].shape);
  Bound bound;
  bound.flops = 8 * static_cast<double>(winograd::weights_size(s));
  bound.run = [=](const Run& r) {
    winograd::transform_weights(s, r.in<float>(0), r.out<float>(0));
  };
  return bound;
}

// ---- winograd_conv(parts of x ..., transformed weights, optional bias; parts, kernel_shape,
// conv's attributes) -> y

std::size_t part_count(const Attrs& attrs) {
  return static_cast<std::size_t>(std::max<std::int64_t>(1, attr_int(attrs, "parts", 1)));
}

Spec joined(std::span<const Spec> parts) {
  Spec whole = parts[0];
  for (const Spec& part : parts.subspan(1))
    whole.shape.back() = dim_add(whole.shape.back(), part.shape.back());
  return whole;
}

std::vector<Spec> infer_conv(const InferArgs& a) {
  const std::size_t count = part_count(a.attrs);
  if (a.in.size() != count + 1 && a.in.size() != count + 2)
    throw Error("takes " + std::to_string(count) + " parts, weights and at most a bias");
  for (std::size_t i = 1; i < count; ++i) {
    Shape first = a[0].shape, part = a[i].shape;
    if (first.size() != part.size()) shape_error("the parts differ in rank");
    first.back() = part.back();
    if (first != part) shape_error("the parts differ in more than their channels");
  }
  const Shape w = attr_shape(a.attrs, "kernel_shape", a[0].shape.size());
  std::vector<Spec> whole{joined(a.in.first(count)), {a[count].dtype, w}};
  whole.insert(whole.end(), a.in.begin() + static_cast<std::ptrdiff_t>(count) + 1, a.in.end());
  const Spec y = conv_spec({whole, a.attrs});
  if (infer_weights({{{whole[1]}}, {}})[0] != a[count])
    shape_error("the weights are " + to_string(a[count]) + ", not transformed ones of a kernel " +
                to_string(w));
  return {y};
}

Bound bind_conv(const BindArgs& a) {
  const std::size_t count = part_count(a.attrs);
  std::vector<Dim> channels;
  for (const Spec& part : a.in.first(count)) channels.push_back(part.shape.back());
  const Spec x = joined(a.in.first(count));
  const Shape w = attr_shape(a.attrs, "kernel_shape", x.shape.size());
  if (!winograd::pays(conv_shape(x.shape, w, a.attrs)) ||
      (count > 1 && !winograd::can_be_parts(channels)))
    shape_error("is for what goes Winograd's way, in parts of whole vectors; got input " +
                to_string(x) + " and kernel " + to_string(w));
  const ConvShape s = conv_shape(x.shape, w, a.attrs);
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == count + 2;
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.run = [=](const Run& r) {
    winograd::conv_transformed(s, {channels, r.ins}, r.in<float>(count), {{&s.out_c, 1}, r.outs},
                               {has_bias ? r.in<float>(count + 1) : nullptr, activation});
  };
  return bound;
}

const Register ops{
    {.name = "winograd_weights", .infer = infer_weights, .bind = bind_weights},
    {.name = "winograd_conv", .infer = infer_conv, .bind = bind_conv},
};

}  // namespace

Dim kept_weights_size(std::span<const Spec> images, const Shape& w, const Attrs& attrs) {
  const Spec x = joined(images);
  if (!winograd_allowed(x.dtype, attrs)) return 0;
  const ConvShape s = conv_shape(x.shape, w, attrs);
  return winograd::pays(s) && winograd::transform_counts(s) ? winograd::weights_size(s) : 0;
}

}  // namespace lamina
