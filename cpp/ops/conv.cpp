// Convolution over channels-last data with one to three spatial axes, and its gradients as ops of
// their own. The input gradient is also the transposed convolution; filters that see one channel
// each (depthwise convolution) are groups = channels.
#include "ops/conv.h"

#include "kernels/conv_disjoint.h"
#include "kernels/epilogue.h"
#include "kernels/winograd.h"
#include "ops/window.h"

namespace lamina {
namespace {

Window conv_window(const Shape& w, const Attrs& attrs) {
  return read_window(attrs, {w.begin(), w.end() - 2});
}

// Sizes of the last three spatial axes, 1 (or `missing`) for those that are not there.
ConvShape::Axes last_axes(const Shape& sizes, Dim missing = 1) {
  ConvShape::Axes axes{missing, missing, missing};
  std::copy(sizes.begin(), sizes.end(), axes.end() - static_cast<std::ptrdiff_t>(sizes.size()));
  return axes;
}

// `whole` has `size` of what each number of the bias is added to.
void require_bias(const Spec& bias, const char* whole, Dim size, const char* each) {
  require_rank(bias, 1, "bias");
  if (dim_merge(bias.shape[0], size) == -2)
    shape_error("the bias has size " + std::to_string(bias.shape[0]) + ", " + whole + " " +
                std::to_string(size) + " " + each);
}

}  // namespace

void require_conv_operands(const InferArgs& a, const char* first, const char* second) {
  require_floating(a[0], first);
  for (std::size_t i = 1; i < a.in.size(); ++i) require_same_dtype(a[0], a[i]);
  const std::size_t rank = a[0].shape.size();
  if (rank < 3 || rank > 5)
    shape_error(std::string(first) +
                " must have a batch axis, one to three spatial axes and channels, got shape " +
                to_string(a[0].shape));
  require_rank(a[1], rank, second);
}

Shape conv_output(const Shape& x, const Shape& w, const Attrs& attrs) {
  const std::int64_t groups = attr_int(attrs, "groups", 1);
  const Dim channels = w[w.size() - 2], filters = w.back();
  if (groups < 1) throw Error("groups must be positive, got " + std::to_string(groups));
  if (dim_merge(x.back(), dim_mul(channels, groups)) == -2)
    shape_error("the input has " + std::to_string(x.back()) + " channels, the kernel takes " +
                std::to_string(channels) +
                (groups == 1 ? "" : " in each of " + std::to_string(groups) + " groups"));
  if (filters != kUnknown && filters % groups != 0)
    shape_error(std::to_string(filters) + " filters cannot be divided into " +
                std::to_string(groups) + " groups");
  if (dim_product(std::span(w).first(w.size() - 2)) == 0) shape_error("the kernel is empty");
  Shape y = conv_window(w, attrs).output(spatial_sizes(x), "kernel");
  y.insert(y.begin(), x[0]);
  y.push_back(filters);
  return y;
}

ConvShape conv_shape(const Shape& x, const Shape& w, const Attrs& attrs) {
  const Shape y = conv_output(x, w, attrs);
  const Window window = conv_window(w, attrs);
  return {.batch = x[0],
          .in_c = x.back(),
          .out_c = y.back(),
          .groups = attr_int(attrs, "groups", 1),
          .in = last_axes(spatial_sizes(x)),
          .out = last_axes(spatial_sizes(y)),
          .kernel = last_axes(window.size),
          .stride = last_axes(window.stride),
          .dilation = last_axes(window.dilation),
          .pad = last_axes(window.before(spatial_sizes(x)), 0)};
}

Shape attr_shape(const Attrs& attrs, std::string_view name, std::size_t rank) {
  Shape shape = attr_ints(attrs, name);
  if (shape.size() != rank)
    throw Error(std::string(name) + " must have " + std::to_string(rank) + " sizes, got " +
                to_string(shape));
  return shape;
}

Spec conv_spec(const InferArgs& a) {
  if (a.in.size() != 3) require_count(a, 2);
  require_conv_operands(a, "x", "kernel");
  if (a.in.size() == 3) require_bias(a[2], "the kernel", a[1].shape.back(), "filters");
  activation_of(a.attrs);
  return {a[0].dtype, conv_output(a[0].shape, a[1].shape, a.attrs)};
}

bool winograd_allowed(DType dtype, const Attrs& attrs) {
  return dtype == DType::f32 && attr_bool(attrs, "winograd", true);
}

namespace {

void require_output(const Shape& dy, const Shape& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (dim_merge(dy[i], expected[i]) == -2)
      shape_error("dy has shape " + to_string(dy) + ", the convolution's output " +
                  to_string(expected));
}

// The attributes that the three ops share.
Attrs geometry(const Attrs& attrs) {
  Attrs kept;
  for (const char* name : {"strides", "dilations", "padding", "pads", "groups", "winograd"})
    if (const auto it = attrs.find(name); it != attrs.end()) kept.insert(*it);
  return kept;
}
Attrs geometry(const Attrs& attrs, const char* shape_name, const Shape& shape) {
  Attrs kept = geometry(attrs);
  kept[shape_name] = shape;
  return kept;
}

std::size_t bytes_of(Dim elements, DType dtype) {
  return static_cast<std::size_t>(elements) * item_size(dtype);
}

float* scratch_of(const Run& r) { return reinterpret_cast<float*>(r.scratch); }

// ---- conv(x, w, optional bias; strides, dilations, padding or pads, groups, winograd,
// activation)

std::vector<Spec> infer_conv(const InferArgs& a) { return {conv_spec(a)}; }

Bound bind_conv(const BindArgs& a) {
  const ConvShape s = conv_shape(a.in[0].shape, a.in[1].shape, a.attrs);
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == 3;
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  if (winograd_allowed(a.in[0].dtype, a.attrs) && winograd::pays(s)) {
    bound.scratch_bytes = bytes_of(winograd::conv_scratch(s), DType::f32);
    bound.run = [=](const Run& r) {
      winograd::conv(s, {{&s.in_c, 1}, r.ins}, r.in<float>(1), winograd::Weights::forward,
                     {{&s.out_c, 1}, r.outs}, {has_bias ? r.in<float>(2) : nullptr, activation},
                     scratch_of(r));
    };
    return bound;
  }
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      Epilogue<T> e;
      e.bias = has_bias ? r.in<T>(2) : nullptr;
      e.activation = activation;
      conv(s, r.in<T>(0), r.in<T>(1), r.out<T>(0), e);
    };
  });
  return bound;
}

ValueId input_grad(Builder& b, const Attrs& attrs, ValueId dy, ValueId w, const Shape& shape) {
  return b.emit("conv_input_grad", {dy, w}, geometry(attrs, "input_shape", shape));
}
ValueId weight_grad(Builder& b, const Attrs& attrs, ValueId x, ValueId dy, const Shape& shape) {
  return b.emit("conv_weight_grad", {x, dy}, geometry(attrs, "kernel_shape", shape));
}

// The gradient that arrives, taken back through the activation; and that of a bias from it.
ValueId before_activation(Builder& b, const VjpArgs& v) {
  const std::string activation = attr_str(v.attrs, "activation", "linear");
  return activation == "linear" ? v.d_out[0] : b.emit(activation + "_grad", {v.out[0], v.d_out[0]});
}
ValueId bias_grad(Builder& b, ValueId d) {
  const Shape shape = b.shape(d);
  const Dim pixels = dim_product(std::span(shape).first(shape.size() - 1));
  return b.sum_to(b.reshape(d, {pixels, shape.back()}), {shape.back()});
}

Grads vjp_conv(Builder& b, const VjpArgs& v) {
  const ValueId dz = before_activation(b, v);
  Grads grads(v.in.size(), kNoValue);
  if (v.wanted[0]) grads[0] = input_grad(b, v.attrs, dz, v.in[1], b.shape(v.in[0]));
  if (v.wanted[1]) grads[1] = weight_grad(b, v.attrs, v.in[0], dz, b.shape(v.in[1]));
  if (v.in.size() == 3 && v.wanted[2]) grads[2] = bias_grad(b, dz);
  return grads;
}

// ---- conv_input_grad(dy, w, optional bias; input_shape, ..., activation): dx, or the transposed
// convolution

std::vector<Spec> infer_input_grad(const InferArgs& a) {
  if (a.in.size() != 3) require_count(a, 2);
  require_conv_operands(a, "dy", "kernel");
  const Shape x = attr_shape(a.attrs, "input_shape", a[0].shape.size());
  require_output(a[0].shape, conv_output(x, a[1].shape, a.attrs));
  if (a.in.size() == 3) require_bias(a[2], "the result", x.back(), "channels");
  activation_of(a.attrs);
  return {{a[0].dtype, x}};
}

Bound bind_input_grad(const BindArgs& a) {
  const ConvShape s = conv_shape(a.out[0].shape, a.in[1].shape, a.attrs);
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == 3, is_disjoint = disjoint::suits(s);
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  if (const ConvShape t = transposed(s);
      winograd_allowed(a.in[0].dtype, a.attrs) && winograd::pays(t)) {
    bound.scratch_bytes = bytes_of(winograd::conv_scratch(t), DType::f32);
    bound.run = [=](const Run& r) {
      winograd::conv(t, {{&t.in_c, 1}, r.ins}, r.in<float>(1), winograd::Weights::turned,
                     {{&t.out_c, 1}, r.outs}, {has_bias ? r.in<float>(2) : nullptr, activation},
                     scratch_of(r));
    };
    return bound;
  }
  const Dim scratch = is_disjoint ? disjoint::scratch(s) + s.weights() : conv_input_grad_scratch(s);
  bound.scratch_bytes = bytes_of(scratch, a.in[0].dtype);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      const Epilogue<T> e{.bias = has_bias ? r.in<T>(2) : nullptr, .activation = activation};
      T* const own = reinterpret_cast<T*>(r.scratch);
      if (is_disjoint) {
        disjoint::turn_weights(s, r.in<T>(1), own);
        return disjoint::input_grad(s, r.in<T>(0), own, r.out<T>(0), e, own + s.weights());
      }
      conv_input_grad(s, r.in<T>(0), r.in<T>(1), r.out<T>(0), own);
      finish(s.batch * s.in_plane(), s.in_c, r.out<T>(0), e);
    };
  });
  return bound;
}

Grads vjp_input_grad(Builder& b, const VjpArgs& v) {
  const ValueId d = before_activation(b, v);
  Grads grads(v.in.size(), kNoValue);
  if (v.wanted[0]) grads[0] = b.emit("conv", {d, v.in[1]}, geometry(v.attrs));
  if (v.wanted[1]) grads[1] = weight_grad(b, v.attrs, d, v.in[0], b.shape(v.in[1]));
  if (v.in.size() == 3 && v.wanted[2]) grads[2] = bias_grad(b, d);
  return grads;
}

// ---- conv_weight_grad(x, dy; kernel_shape, ...): dw

std::vector<Spec> infer_weight_grad(const InferArgs& a) {
  require_count(a, 2);
  require_conv_operands(a, "x", "dy");
  const Shape w = attr_shape(a.attrs, "kernel_shape", a[0].shape.size());
  require_output(a[1].shape, conv_output(a[0].shape, w, a.attrs));
  return {{a[0].dtype, w}};
}

Bound bind_weight_grad(const BindArgs& a) {
  const ConvShape s = conv_shape(a.in[0].shape, a.out[0].shape, a.attrs);
  Bound bound;
  bound.flops = 2 * s.multiply_adds();
  if (winograd_allowed(a.in[0].dtype, a.attrs) && winograd::pays(s)) {
    bound.scratch_bytes = bytes_of(winograd::weight_grad_scratch(s), DType::f32);
    bound.run = [=](const Run& r) {
      winograd::weight_grad(s, {{&s.in_c, 1}, r.ins}, r.in<float>(1), r.out<float>(0),
                            scratch_of(r));
    };
    return bound;
  }
  bound.scratch_bytes = bytes_of(conv_weight_grad_scratch(s), a.in[0].dtype);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      conv_weight_grad(s, r.in<T>(0), r.in<T>(1), r.out<T>(0), reinterpret_cast<T*>(r.scratch));
    };
  });
  return bound;
}

Grads vjp_weight_grad(Builder& b, const VjpArgs& v) {
  Grads grads(2, kNoValue);
  if (v.wanted[0]) grads[0] = input_grad(b, v.attrs, v.in[1], v.d_out[0], b.shape(v.in[0]));
  if (v.wanted[1]) grads[1] = b.emit("conv", {v.in[0], v.d_out[0]}, geometry(v.attrs));
  return grads;
}

const Register ops{
    {.name = "conv", .traits = kEpilogue, .infer = infer_conv, .bind = bind_conv, .vjp = vjp_conv},
    {.name = "conv_input_grad",
     .traits = kEpilogue,
     .infer = infer_input_grad,
     .bind = bind_input_grad,
     .vjp = vjp_input_grad},
    {.name = "conv_weight_grad",
     .infer = infer_weight_grad,
     .bind = bind_weight_grad,
     .vjp = vjp_weight_grad},
};

}  // namespace
}  // namespace lamina
