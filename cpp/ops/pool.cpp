// Maximum and average pooling of channels-last data with one to three spatial axes, over windows
// that slide (pool_size, strides, padding) or over equal parts (output_size: adaptive pooling).
// Pooling over everything is a reduction.
#include "ops/pool.h"

#include <limits>

namespace lamina {
namespace {

constexpr Dim kMostStep = 1 << 30;  // no product of two overflows

std::size_t spatial_rank(const Shape& x) {
  if (x.size() < 3 || x.size() > 5)
    shape_error("x must have a batch axis, one to three spatial axes and channels, got shape " +
                to_string(x));
  return x.size() - 2;
}

// How windows lie on the spatial axes. Adaptive: axis i is cut into size[i] parts.
struct Pooling {
  bool adaptive, same;
  Shape size, stride;

  Dim outputs(std::size_t axis, Dim in) const {
    if (adaptive) return size[axis];
    if (in == kUnknown) return kUnknown;
    if (same) return (in + stride[axis] - 1) / stride[axis];
    return in >= size[axis] ? (in - size[axis]) / stride[axis] + 1 : 0;
  }

  PoolAxis windows(std::size_t axis, Dim in) const {
    PoolAxis w{.size = in, .begin = {}, .end = {}};
    const Dim n = outputs(axis, in);
    const Dim missing = adaptive || !same ? 0 : (n - 1) * stride[axis] + size[axis] - in;
    const Dim before = std::max<Dim>(missing, 0) / 2;
    for (Dim i = 0; i < n; ++i) {
      const Dim first = adaptive ? i * in / n : i * stride[axis] - before;
      const Dim last = adaptive ? ((i + 1) * in + n - 1) / n : first + size[axis];
      w.begin.push_back(std::max<Dim>(first, 0));
      w.end.push_back(std::min(last, in));
    }
    return w;
  }
};

// One positive integer for each axis; a lone one stands for all.
Shape per_axis(std::vector<std::int64_t> v, std::string_view name, std::size_t rank) {
  if (v.size() == 1) v.resize(rank, v[0]);
  const auto wrong = [](Dim d) { return d < 1 || d > kMostStep; };
  if (v.size() != rank || std::any_of(v.begin(), v.end(), wrong))
    throw Error(std::string(name) + " must be one or " + std::to_string(rank) +
                " positive integers, got " + to_string(Shape(v)));
  return v;
}

Pooling read_pooling(const Attrs& attrs, std::size_t rank) {
  const bool adaptive = attrs.contains("output_size");
  const char* const name = adaptive ? "output_size" : "pool_size";
  Shape size = per_axis(attr_ints(attrs, name), name, rank);
  const std::string padding = attr_str(attrs, "padding", "valid");
  if (padding != "valid" && padding != "same")
    throw Error("padding '" + padding + "' is neither 'valid' nor 'same'");
  Shape stride = per_axis(attr_ints(attrs, "strides", size), "strides", rank);
  return {adaptive, padding == "same", std::move(size), std::move(stride)};
}

std::string by(const Shape& sizes) {
  std::string text;
  for (const Dim d : sizes) {
    if (!text.empty()) text += " x ";
    text += d == kUnknown ? "?" : std::to_string(d);
  }
  return text;
}

}  // namespace

Shape pool_output(const Shape& x, const Attrs& attrs) {
  const std::size_t rank = spatial_rank(x);
  const Pooling pooling = read_pooling(attrs, rank);
  Shape y = x;
  for (std::size_t i = 0; i < rank; ++i) {
    y[i + 1] = pooling.outputs(i, x[i + 1]);
    const bool fits = pooling.adaptive ? x[i + 1] != 0 : pooling.same || y[i + 1] != 0;
    if (!fits)
      shape_error("pooling window " + by(pooling.size) + " does not fit into input " +
                  by({x.begin() + 1, x.end() - 1}) + " with padding 'valid'");
  }
  return y;
}

PoolShape pool_shape(const Shape& x, const Attrs& attrs) {
  const std::size_t rank = spatial_rank(x);
  const Pooling pooling = read_pooling(attrs, rank);
  PoolShape s{.batch = x.front(), .channels = x.back(), .axes = {}};
  for (std::size_t i = 0; i < rank; ++i) s.axes[3 - rank + i] = pooling.windows(i, x[i + 1]);
  return s;
}

namespace {

Spec pooled(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "x");
  return {a[0].dtype, pool_output(a[0].shape, a.attrs)};
}

// The spec of dx, for gradients whose first input is dy.
Spec unpooled(const InferArgs& a) {
  require_floating(a[0], "dy");
  const Shape x = attr_ints(a.attrs, "input_shape"), y = pool_output(x, a.attrs);
  bool same = a[0].shape.size() == y.size();
  for (std::size_t i = 0; same && i < y.size(); ++i) same = dim_merge(a[0].shape[i], y[i]) != -2;
  if (!same)
    shape_error("dy has shape " + to_string(a[0].shape) + ", the pooling's output " + to_string(y));
  return {a[0].dtype, x};
}

// Binds kernel(tag of the floating type, shape, run).
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

// ---- max_pool(x; pool_size, strides, padding | output_size) -> y, argmax

std::vector<Spec> infer_max(const InferArgs& a) {
  Spec y = pooled(a);
  const Shape& x = a[0].shape;
  if (dim_product({x.data() + 1, x.size() - 2}) > std::numeric_limits<std::int32_t>::max())
    shape_error("one example has too many cells");
  Spec argmax{DType::i32, y.shape};
  return {std::move(y), std::move(argmax)};
}
Bound bind_max(const BindArgs& a) {
  return bind_pool(a, a.in[0].shape, [](auto tag, const PoolShape& s, const Run& r) {
    using T = decltype(tag);
    max_pool(s, r.in<T>(0), r.out<T>(0), r.out<std::int32_t>(1));
  });
}
Grads vjp_max(Builder& b, const VjpArgs& v) {
  if (!v.wanted[0] || v.d_out[0] == kNoValue) return {kNoValue};
  return {
      b.emit("max_pool_grad", {v.d_out[0], v.out[1]}, with_input_shape(v.attrs, b.shape(v.in[0])))};
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
    max_pool_grad(s, r.in<T>(0), r.in<std::int32_t>(1), r.out<T>(0));
  });
}

// ---- avg_pool(x; pool_size, strides, padding | output_size)

std::vector<Spec> infer_avg(const InferArgs& a) { return {pooled(a)}; }
Bound bind_avg(const BindArgs& a) {
  return bind_pool(a, a.in[0].shape, [](auto tag, const PoolShape& s, const Run& r) {
    using T = decltype(tag);
    avg_pool(s, r.in<T>(0), r.out<T>(0));
  });
}
Grads vjp_avg(Builder& b, const VjpArgs& v) {
  if (!v.wanted[0]) return {kNoValue};
  return {b.emit("avg_pool_grad", {v.d_out[0]}, with_input_shape(v.attrs, b.shape(v.in[0])))};
}

std::vector<Spec> infer_avg_grad(const InferArgs& a) {
  require_count(a, 1);
  return {unpooled(a)};
}
Bound bind_avg_grad(const BindArgs& a) {
  return bind_pool(a, a.out[0].shape, [](auto tag, const PoolShape& s, const Run& r) {
    using T = decltype(tag);
    avg_pool_grad(s, r.in<T>(0), r.out<T>(0));
  });
}
Grads vjp_avg_grad(Builder& b, const VjpArgs& v) {
  if (!v.wanted[0]) return {kNoValue};
  Attrs attrs = v.attrs;
  attrs.erase("input_shape");
  return {b.emit("avg_pool", {v.d_out[0]}, std::move(attrs))};
}

const Register ops{
    {.name = "max_pool", .infer = infer_max, .bind = bind_max, .vjp = vjp_max},
    {.name = "max_pool_grad", .infer = infer_max_grad, .bind = bind_max_grad},
    {.name = "avg_pool", .infer = infer_avg, .bind = bind_avg, .vjp = vjp_avg},
    {.name = "avg_pool_grad", .infer = infer_avg_grad, .bind = bind_avg_grad, .vjp = vjp_avg_grad},
};

}  // namespace
}  // namespace lamina
