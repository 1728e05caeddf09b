// Convolutions of concatenated images that are never laid out: the transform of the inputs reads
// the parts, that of the gradient writes them. The fusion of a step's graph makes them; no layer
// asks for them. The results have the bits of concat, conv and split one after the other.
#include "ops/conv_parts.h"

#include "kernels/winograd.h"
#include "ops/conv.h"

namespace lamina {
namespace {

// The spec of `count` inputs side by side.
Spec joined(const InferArgs& a, std::size_t count) {
  if (count == 0 || a.in.size() < count) throw Error("needs some parts");
  Spec whole = a[0];
  require_floating(whole, "the first part");
  for (std::size_t i = 1; i < count; ++i) {
    require_same_dtype(whole, a[i]);
    Shape shape = a[i].shape;
    if (shape.size() != whole.shape.size()) shape_error("the parts differ in rank");
    whole.shape.back() = dim_add(whole.shape.back(), shape.back());
    shape.back() = whole.shape.back();
    if (shape != whole.shape) shape_error("the parts differ in more than their channels");
  }
  return whole;
}

std::vector<Dim> channels_of(std::span<const Spec> parts) {
  std::vector<Dim> channels;
  for (const Spec& part : parts) channels.push_back(part.shape.back());
  return channels;
}

// Calls the rule of the op that takes the parts as one.
template <class Rule>
auto as_whole(const InferArgs& a, std::size_t parts, const Rule& rule) {
  std::vector<Spec> in{joined(a, parts)};
  in.insert(in.end(), a.in.begin() + static_cast<std::ptrdiff_t>(parts), a.in.end());
  return rule(InferArgs{in, a.attrs});
}

ConvShape bound_shape(bool suits, const Shape& x, const Shape& w, const Attrs& attrs) {
  if (!suits)
    shape_error("is for what goes Winograd's way, in parts of whole vectors; got input " +
                to_string(x) + " and kernel " + to_string(w));
  return conv_shape(x, w, attrs);
}

Shape whole_shape(const std::vector<Dim>& channels, Shape part) {
  part.back() = 0;
  for (const Dim count : channels) part.back() += count;
  return part;
}

float* scratch_of(const Run& r) { return reinterpret_cast<float*>(r.scratch); }
std::size_t bytes_of(Dim elements) { return static_cast<std::size_t>(elements) * sizeof(float); }

// ---- concat_conv(parts of x ..., w, optional bias; parts, conv's attributes) -> y

std::size_t part_count(const Attrs& attrs) {
  return static_cast<std::size_t>(std::max<std::int64_t>(0, attr_int(attrs, "parts")));
}

std::vector<Spec> infer_conv(const InferArgs& a) {
  return {as_whole(a, part_count(a.attrs), conv_spec)};
}

Bound bind_conv(const BindArgs& a) {
  const std::size_t count = part_count(a.attrs);
  const std::vector<Dim> channels = channels_of(a.in.first(count));
  const Spec x{a.in[0].dtype, whole_shape(channels, a.in[0].shape)};
  const Shape& w = a.in[count].shape;
  const ConvShape s = bound_shape(conv_parts_suit(channels, x, w, a.attrs), x.shape, w, a.attrs);
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == count + 2;
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.scratch_bytes = bytes_of(winograd::conv_scratch(s));
  bound.run = [=](const Run& r) {
    winograd::conv(s, {channels, r.ins}, r.in<float>(count), winograd::Weights::forward,
                   {{&s.out_c, 1}, r.outs},
                   {has_bias ? r.in<float>(count + 1) : nullptr, activation}, scratch_of(r));
  };
  return bound;
}

// ---- concat_conv_weight_grad(parts of x ..., dy; kernel_shape, conv's attributes) -> dw

std::vector<Spec> infer_weight_grad(const InferArgs& a) {
  if (a.in.size() < 2) throw Error("needs parts of x and dy");
  const std::size_t count = a.in.size() - 1;
  return as_whole(a, count, [](const InferArgs& whole) -> std::vector<Spec> {
    require_conv_operands(whole, "x", "dy");
    const Shape w = attr_shape(whole.attrs, "kernel_shape", whole[0].shape.size());
    if (whole[1].shape != conv_output(whole[0].shape, w, whole.attrs))
      shape_error("dy does not have the shape of the convolution's output");
    return {{whole[0].dtype, w}};
  });
}

Bound bind_weight_grad(const BindArgs& a) {
  const std::size_t count = a.in.size() - 1;
  const std::vector<Dim> channels = channels_of(a.in.first(count));
  const Spec x{a.in[0].dtype, whole_shape(channels, a.in[0].shape)};
  const Shape& w = a.out[0].shape;
  const ConvShape s = bound_shape(conv_parts_suit(channels, x, w, a.attrs), x.shape, w, a.attrs);
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.scratch_bytes = bytes_of(winograd::weight_grad_scratch(s));
  bound.run = [=](const Run& r) {
    winograd::weight_grad(s, {channels, r.ins}, r.in<float>(count), r.out<float>(0), scratch_of(r));
  };
  return bound;
}

// ---- conv_input_grad_split(dy, w; input_shape, sizes, conv's attributes) -> parts of dx

std::vector<Spec> infer_input_grad(const InferArgs& a) {
  require_count(a, 2);
  require_conv_operands(a, "dy", "kernel");
  const Shape x = attr_shape(a.attrs, "input_shape", a[0].shape.size());
  const std::vector<Dim> sizes = attr_ints(a.attrs, "sizes");
  if (a[0].shape != conv_output(x, a[1].shape, a.attrs))
    shape_error("dy does not have the shape of the convolution's output");
  if (std::any_of(sizes.begin(), sizes.end(), [](Dim size) { return size < 0; }) ||
      whole_shape(sizes, x) != x)
    shape_error("sizes " + to_string(sizes) + " do not add up to the input's channels");
  std::vector<Spec> parts(sizes.size(), {a[0].dtype, x});
  for (std::size_t i = 0; i < sizes.size(); ++i) parts[i].shape.back() = sizes[i];
  return parts;
}

Bound bind_input_grad(const BindArgs& a) {
  const std::vector<Dim> channels = channels_of(a.out);
  const Spec x{a.in[0].dtype, whole_shape(channels, a.out[0].shape)};
  const Shape& w = a.in[1].shape;
  const ConvShape s = transposed(
      bound_shape(conv_input_grad_parts_suit(channels, x, w, a.attrs), x.shape, w, a.attrs));
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.scratch_bytes = bytes_of(winograd::conv_scratch(s));
  bound.run = [=](const Run& r) {
    winograd::conv(s, {{&s.in_c, 1}, r.ins}, r.in<float>(1), winograd::Weights::turned,
                   {channels, r.outs}, {}, scratch_of(r));
  };
  return bound;
}

const Register ops{
    {.name = "concat_conv", .infer = infer_conv, .bind = bind_conv},
    {.name = "concat_conv_weight_grad", .infer = infer_weight_grad, .bind = bind_weight_grad},
    {.name = "conv_input_grad_split", .infer = infer_input_grad, .bind = bind_input_grad},
};

}  // namespace

bool conv_parts_suit(const std::vector<Dim>& parts, const Spec& x, const Shape& w,
                     const Attrs& attrs) {
  return winograd_allowed(x.dtype, attrs) && winograd::can_be_parts(parts) &&
         winograd::pays(conv_shape(x.shape, w, attrs));
}

bool conv_input_grad_parts_suit(const std::vector<Dim>& parts, const Spec& x, const Shape& w,
                                const Attrs& attrs) {
  return winograd_allowed(x.dtype, attrs) && winograd::can_be_parts(parts) &&
         winograd::pays(transposed(conv_shape(x.shape, w, attrs)));
}

}  // namespace lamina
