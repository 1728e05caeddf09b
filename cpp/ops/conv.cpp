// 2-D convolution over channels-last images, and its gradients as ops of their own. 1-D convolution
// is 2-D with one row; one filter per channel is groups = channels.
#include "kernels/conv.h"

#include "ops/window.h"

namespace lamina {
namespace {

Activation conv_activation(const Attrs& attrs) {
  const std::string name = attr_str(attrs, "activation", "linear");
  if (const auto activation = activation_named(name)) return *activation;
  throw Error("activation '" + name + "' is not one of linear, relu, sigmoid, tanh");
}

// The output shape for x and w, either of which may have unknown sizes; throws what does not fit.
Shape conv_output(const Shape& x, const Shape& w, const Attrs& attrs) {
  const std::int64_t groups = attr_int(attrs, "groups", 1);
  if (groups < 1) throw Error("groups must be positive, got " + std::to_string(groups));
  if (dim_merge(x[3], dim_mul(w[2], groups)) == -2)
    shape_error("the input has " + std::to_string(x[3]) + " channels, the kernel takes " +
                std::to_string(w[2]) +
                (groups == 1 ? "" : " in each of " + std::to_string(groups) + " groups"));
  if (w[3] != kUnknown && w[3] % groups != 0)
    shape_error(std::to_string(w[3]) + " filters cannot be divided into " + std::to_string(groups) +
                " groups");
  if (w[0] == 0 || w[1] == 0) shape_error("the kernel is empty");
  const auto out = read_window(attrs, {w[0], w[1]}, {1, 1}).output(image_size(x), "kernel");
  return {x[0], out[0], out[1], w[3]};
}

ConvShape conv_shape(const Shape& x, const Shape& w, const Attrs& attrs) {
  const Shape y = conv_output(x, w, attrs);
  const Window window = read_window(attrs, {w[0], w[1]}, {1, 1});
  const auto pad = window.padding(image_size(x));
  return {.batch = x[0],
          .in_h = x[1],
          .in_w = x[2],
          .in_c = x[3],
          .out_h = y[1],
          .out_w = y[2],
          .out_c = y[3],
          .kernel_h = w[0],
          .kernel_w = w[1],
          .stride_h = window.stride[0],
          .stride_w = window.stride[1],
          .dilation_h = window.dilation[0],
          .dilation_w = window.dilation[1],
          .pad_top = pad[0],
          .pad_left = pad[1],
          .groups = attr_int(attrs, "groups", 1)};
}

Shape attr_shape(const Attrs& attrs, std::string_view name) {
  Shape shape = attr_ints(attrs, name);
  if (shape.size() != 4)
    throw Error(std::string(name) + " must have four sizes, got " + to_string(shape));
  return shape;
}

void require_conv_operands(const InferArgs& a, const char* first, const char* second) {
  require_floating(a[0], first);
  for (std::size_t i = 1; i < a.in.size(); ++i) require_same_dtype(a[0], a[i]);
  require_rank(a[0], 4, first);
  require_rank(a[1], 4, second);
}

void require_output(const Shape& dy, const Shape& expected) {
  for (std::size_t i = 0; i < 4; ++i)
    if (dim_merge(dy[i], expected[i]) == -2)
      shape_error("dy has shape " + to_string(dy) + ", the convolution's output " +
                  to_string(expected));
}

// The attributes that the three ops share.
Attrs geometry(const Attrs& attrs) {
  Attrs kept;
  for (const char* name : {"strides", "dilations", "padding", "groups"})
    if (const auto it = attrs.find(name); it != attrs.end()) kept.insert(*it);
  return kept;
}
Attrs geometry(const Attrs& attrs, const char* shape_name, const Shape& shape) {
  Attrs kept = geometry(attrs);
  kept[shape_name] = shape;
  return kept;
}

// ---- conv2d(x, w, optional bias; strides, dilations, padding, groups, activation)

std::vector<Spec> infer_conv2d(const InferArgs& a) {
  if (a.in.size() != 3) require_count(a, 2);
  require_conv_operands(a, "x", "kernel");
  const Dim filters = a[1].shape[3];
  if (a.in.size() == 3) {
    require_rank(a[2], 1, "bias");
    if (dim_merge(a[2].shape[0], filters) == -2)
      shape_error("the bias has size " + std::to_string(a[2].shape[0]) + ", the kernel " +
                  std::to_string(filters) + " filters");
  }
  conv_activation(a.attrs);
  return {{a[0].dtype, conv_output(a[0].shape, a[1].shape, a.attrs)}};
}

Bound bind_conv2d(const BindArgs& a) {
  const ConvShape s = conv_shape(a.in[0].shape, a.in[1].shape, a.attrs);
  const Activation activation = conv_activation(a.attrs);
  const bool has_bias = a.in.size() == 3;
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      Epilogue<T> e;
      e.bias = has_bias ? r.in<T>(2) : nullptr;
      e.activation = activation;
      conv2d(s, r.in<T>(0), r.in<T>(1), r.out<T>(0), e);
    };
  });
  return bound;
}

ValueId input_grad(Builder& b, const Attrs& attrs, ValueId dy, ValueId w, const Shape& shape) {
  return b.emit("conv2d_input_grad", {dy, w}, geometry(attrs, "input_shape", shape));
}
ValueId weight_grad(Builder& b, const Attrs& attrs, ValueId x, ValueId dy, const Shape& shape) {
  return b.emit("conv2d_weight_grad", {x, dy}, geometry(attrs, "kernel_shape", shape));
}

Grads vjp_conv2d(Builder& b, const VjpArgs& v) {
  const std::string activation = attr_str(v.attrs, "activation", "linear");
  ValueId dz = v.d_out[0];
  if (activation != "linear") dz = b.emit(activation + "_grad", {v.out[0], dz});
  Grads grads(v.in.size(), kNoValue);
  if (v.wanted[0]) grads[0] = input_grad(b, v.attrs, dz, v.in[1], b.shape(v.in[0]));
  if (v.wanted[1]) grads[1] = weight_grad(b, v.attrs, v.in[0], dz, b.shape(v.in[1]));
  if (v.in.size() == 3 && v.wanted[2]) {
    const Shape shape = b.shape(dz);
    const Dim pixels = dim_product(std::span(shape).first(3));
    grads[2] = b.sum_to(b.reshape(dz, {pixels, shape[3]}), {shape[3]});
  }
  return grads;
}

// ---- conv2d_input_grad(dy, w; input_shape, ...): dx

std::vector<Spec> infer_input_grad(const InferArgs& a) {
  require_count(a, 2);
  require_conv_operands(a, "dy", "kernel");
  const Shape x = attr_shape(a.attrs, "input_shape");
  require_output(a[0].shape, conv_output(x, a[1].shape, a.attrs));
  return {{a[0].dtype, x}};
}

Bound bind_input_grad(const BindArgs& a) {
  const ConvShape s = conv_shape(a.out[0].shape, a.in[1].shape, a.attrs);
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.scratch_bytes =
      static_cast<std::size_t>(conv2d_input_grad_scratch(s)) * item_size(a.in[0].dtype);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      conv2d_input_grad(s, r.in<T>(0), r.in<T>(1), r.out<T>(0), reinterpret_cast<T*>(r.scratch));
    };
  });
  return bound;
}

Grads vjp_input_grad(Builder& b, const VjpArgs& v) {
  Grads grads(2, kNoValue);
  if (v.wanted[0]) grads[0] = b.emit("conv2d", {v.d_out[0], v.in[1]}, geometry(v.attrs));
  if (v.wanted[1]) grads[1] = weight_grad(b, v.attrs, v.d_out[0], v.in[0], b.shape(v.in[1]));
  return grads;
}

// ---- conv2d_weight_grad(x, dy; kernel_shape, ...): dw

std::vector<Spec> infer_weight_grad(const InferArgs& a) {
  require_count(a, 2);
  require_conv_operands(a, "x", "dy");
  const Shape w = attr_shape(a.attrs, "kernel_shape");
  require_output(a[1].shape, conv_output(a[0].shape, w, a.attrs));
  return {{a[0].dtype, w}};
}

Bound bind_weight_grad(const BindArgs& a) {
  const ConvShape s = conv_shape(a.in[0].shape, a.out[0].shape, a.attrs);
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  bound.scratch_bytes =
      static_cast<std::size_t>(conv2d_weight_grad_scratch(s)) * item_size(a.in[0].dtype);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      conv2d_weight_grad(s, r.in<T>(0), r.in<T>(1), r.out<T>(0), reinterpret_cast<T*>(r.scratch));
    };
  });
  return bound;
}

Grads vjp_weight_grad(Builder& b, const VjpArgs& v) {
  Grads grads(2, kNoValue);
  if (v.wanted[0]) grads[0] = input_grad(b, v.attrs, v.in[1], v.d_out[0], b.shape(v.in[0]));
  if (v.wanted[1]) grads[1] = b.emit("conv2d", {v.in[0], v.d_out[0]}, geometry(v.attrs));
  return grads;
}

const Register ops{
    {.name = "conv2d",
     .traits = kEpilogue,
     .infer = infer_conv2d,
     .bind = bind_conv2d,
     .vjp = vjp_conv2d},
    {.name = "conv2d_input_grad",
     .infer = infer_input_grad,
     .bind = bind_input_grad,
     .vjp = vjp_input_grad},
    {.name = "conv2d_weight_grad",
     .infer = infer_weight_grad,
     .bind = bind_weight_grad,
     .vjp = vjp_weight_grad},
};

}  // namespace
}  // namespace lamina
