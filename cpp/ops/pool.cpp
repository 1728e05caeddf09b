// Maximum and average pooling over windows of channels-last images. 1-D pooling is 2-D with one
// row; pooling over everything is a reduction.
#include "kernels/pool.h"

#include <limits>

#include "ops/window.h"

namespace lamina {
namespace {

Window pool_window(const Attrs& attrs) {
  attr_ints(attrs, "pool_size");  // required
  const auto size = attr_pair(attrs, "pool_size", {1, 1});
  const Window window = read_window(attrs, size, size);
  if (window.dilation != std::array<Dim, 2>{1, 1}) throw Error("pooling has no dilations");
  return window;
}

Shape pool_output(const Shape& x, const Attrs& attrs) {
  const auto out = pool_window(attrs).output(image_size(x), "pooling window");
  return {x[0], out[0], out[1], x[3]};
}

PoolShape pool_shape(const Shape& x, const Attrs& attrs) {
  const Window window = pool_window(attrs);
  const Shape y = pool_output(x, attrs);
  const auto pad = window.padding(image_size(x));
  return {.batch = x[0],
          .in_h = x[1],
          .in_w = x[2],
          .channels = x[3],
          .out_h = y[1],
          .out_w = y[2],
          .size_h = window.size[0],
          .size_w = window.size[1],
          .stride_h = window.stride[0],
          .stride_w = window.stride[1],
          .pad_top = pad[0],
          .pad_left = pad[1]};
}

Shape input_shape(const Attrs& attrs) {
  Shape shape = attr_ints(attrs, "input_shape");
  if (shape.size() != 4) throw Error("input_shape must have four sizes, got " + to_string(shape));
  return shape;
}

Spec pooled(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "x");
  require_rank(a[0], 4, "x");
  return {a[0].dtype, pool_output(a[0].shape, a.attrs)};
}

// The spec of dx, for gradients whose first input is dy.
Spec unpooled(const InferArgs& a) {
  require_floating(a[0], "dy");
  require_rank(a[0], 4, "dy");
  const Shape x = input_shape(a.attrs), y = pool_output(x, a.attrs);
  for (std::size_t i = 0; i < 4; ++i)
    if (dim_merge(a[0].shape[i], y[i]) == -2)
      shape_error("dy has shape " + to_string(a[0].shape) + ", the pooling's output " +
                  to_string(y));
  return {a[0].dtype, x};
}

// Binds kernel(shape, run) for the floating type of the first input.
template <class F>
Bound bind_pool(const BindArgs& a, const Shape& x, F kernel) {
  const PoolShape s = pool_shape(x, a.attrs);
  Bound bound;
  bound.flops = s.work();
  bound.run = with_float(
      a.in[0].dtype, [&](auto tag) -> Kernel { return [=](const Run& r) { kernel(tag, s, r); }; });
  return bound;
}

Attrs with_input_shape(const Attrs& attrs, const Shape& shape) {
  Attrs all = attrs;
  all["input_shape"] = shape;
  return all;
}

// ---- max_pool2d(x; pool_size, strides, padding) -> y, argmax

std::vector<Spec> infer_max(const InferArgs& a) {
  Spec y = pooled(a);
  const Shape& x = a[0].shape;
  if (dim_mul(x[1], x[2]) > std::numeric_limits<std::int32_t>::max())
    shape_error("the image has too many pixels");
  Spec argmax{DType::i32, y.shape};
  return {std::move(y), std::move(argmax)};
}
Bound bind_max(const BindArgs& a) {
  return bind_pool(a, a.in[0].shape, [](auto tag, const PoolShape& s, const Run& r) {
    using T = decltype(tag);
    max_pool2d(s, r.in<T>(0), r.out<T>(0), r.out<std::int32_t>(1));
  });
}
Grads vjp_max(Builder& b, const VjpArgs& v) {
  if (!v.wanted[0] || v.d_out[0] == kNoValue) return {kNoValue};
  return {b.emit("max_pool2d_grad", {v.d_out[0], v.out[1]},
                 with_input_shape(v.attrs, b.shape(v.in[0])))};
}

std::vector<Spec> infer_max_grad(const InferArgs& a) {
  require_count(a, 2);
  Spec dx = unpooled(a);
  if (a[1].dtype != DType::i32 || a[1].shape != a[0].shape)
    shape_error("argmax must be int32 of dy's shape");
  return {std::move(dx)};
}
Bound bind_max_grad(const BindArgs& a) {
  return bind_pool(a, a.out[0].shape, [](auto tag, const PoolShape& s, const Run& r) {
    using T = decltype(tag);
    max_pool2d_grad(s, r.in<T>(0), r.in<std::int32_t>(1), r.out<T>(0));
  });
}

// ---- avg_pool2d(x; pool_size, strides, padding)

std::vector<Spec> infer_avg(const InferArgs& a) { return {pooled(a)}; }
Bound bind_avg(const BindArgs& a) {
  return bind_pool(a, a.in[0].shape, [](auto tag, const PoolShape& s, const Run& r) {
    using T = decltype(tag);
    avg_pool2d(s, r.in<T>(0), r.out<T>(0));
  });
}
Grads vjp_avg(Builder& b, const VjpArgs& v) {
  if (!v.wanted[0]) return {kNoValue};
  return {b.emit("avg_pool2d_grad", {v.d_out[0]}, with_input_shape(v.attrs, b.shape(v.in[0])))};
}

std::vector<Spec> infer_avg_grad(const InferArgs& a) {
  require_count(a, 1);
  return {unpooled(a)};
}
Bound bind_avg_grad(const BindArgs& a) {
  return bind_pool(a, a.out[0].shape, [](auto tag, const PoolShape& s, const Run& r) {
    using T = decltype(tag);
    avg_pool2d_grad(s, r.in<T>(0), r.out<T>(0));
  });
}
Grads vjp_avg_grad(Builder& b, const VjpArgs& v) {
  if (!v.wanted[0]) return {kNoValue};
  Attrs attrs = v.attrs;
  attrs.erase("input_shape");
  return {b.emit("avg_pool2d", {v.d_out[0]}, std::move(attrs))};
}

const Register ops{
    {.name = "max_pool2d", .infer = infer_max, .bind = bind_max, .vjp = vjp_max},
    {.name = "max_pool2d_grad", .infer = infer_max_grad, .bind = bind_max_grad},
    {.name = "avg_pool2d", .infer = infer_avg, .bind = bind_avg, .vjp = vjp_avg},
    {.name = "avg_pool2d_grad",
     .infer = infer_avg_grad,
     .bind = bind_avg_grad,
     .vjp = vjp_avg_grad},
};

}  // namespace
}  // namespace lamina
