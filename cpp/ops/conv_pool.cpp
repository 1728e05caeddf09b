// Convolution, bias, activation and maximum pooling as one op, and the gradient of its weights.
// The fusion of a step's graph makes them; no layer asks for them.
#include "kernels/conv_pool.h"

#include "ops/conv.h"
#include "ops/conv_pool.h"
#include "ops/pool.h"

namespace lamina {
namespace {

Attrs pool_attrs(const Attrs& attrs) {
  Attrs pool;
  for (const auto& [name, attr] : attrs)
    if (name.starts_with(kPoolPrefix)) pool[name.substr(kPoolPrefix.size())] = attr;
  return pool;
}

ConvPoolShape conv_pool_shape(const Shape& x, const Shape& w, const Attrs& attrs) {
  return {conv_shape(x, w, attrs), pool_shape(conv_output(x, w, attrs), pool_attrs(attrs))};
}
ConvPoolShape bound_shape(const Shape& x, const Shape& w, const Attrs& attrs) {
  const ConvPoolShape s = conv_pool_shape(x, w, attrs);
  if (!conv_pool_suits(s))
    shape_error("is for images of few channels and small windows, got input " + to_string(x) +
                " and kernel " + to_string(w));
  return s;
}

// ---- conv_max_pool(x, w, optional bias; conv's attributes, pool_...) -> y, number of the winner
// in its window (kNoWinner where a relu lets none through)

std::vector<Spec> infer_conv_max_pool(const InferArgs& a) {
  const Spec map = conv_spec(a);
  const Shape y = pool_output(map.shape, pool_attrs(a.attrs));
  return {{map.dtype, y}, {DType::u8, y}};
}

Bound bind_conv_max_pool(const BindArgs& a) {
  const ConvPoolShape s = bound_shape(a.in[0].shape, a.in[1].shape, a.attrs);
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == 3;
  Bound bound;
  bound.flops = 2 * s.conv.multiply_adds() + s.pool.work();
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      const Epilogue<T> e{.bias = has_bias ? r.in<T>(2) : nullptr, .activation = activation};
      conv_max_pool(s, r.in<T>(0), r.in<T>(1), e, r.out<T>(0), r.out<std::uint8_t>(1));
    };
  });
  return bound;
}

// ---- conv_max_pool_grad(x, dy, winners; kernel_shape, ...) -> dw, db, gradient of the
// convolution's output (before its relu: the winners tell where that lets through)

std::vector<Spec> infer_conv_max_pool_grad(const InferArgs& a) {
  require_count(a, 3);
  require_floating(a[0], "x");
  require_same_dtype(a[0], a[1]);
  const Shape w = attr_shape(a.attrs, "kernel_shape", a[0].shape.size());
  const Shape map = conv_output(a[0].shape, w, a.attrs);
  const Shape y = pool_output(map, pool_attrs(a.attrs));
  if (a[1].shape != y)
    shape_error("dy has shape " + to_string(a[1].shape) + ", the pooling's output " + to_string(y));
  if (a[2].dtype != DType::u8 || a[2].shape != y)
    shape_error("winners must be uint8 of dy's shape");
  return {{a[0].dtype, w}, {a[0].dtype, {w.back()}}, {a[0].dtype, map}};
}

Bound bind_conv_max_pool_grad(const BindArgs& a) {
  const ConvPoolShape s = bound_shape(a.in[0].shape, a.out[0].shape, a.attrs);
  Bound bound;
  bound.flops = 2 * s.conv.multiply_adds() + s.pool.work();
  bound.scratch_bytes =
      static_cast<std::size_t>(conv_max_pool_grad_scratch(s)) * item_size(a.in[0].dtype);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      conv_max_pool_grad(s, r.in<T>(0), r.in<T>(1), r.in<std::uint8_t>(2), r.out<T>(0), r.out<T>(1),
                         r.out<T>(2), reinterpret_cast<T*>(r.scratch));
    };
  });
  return bound;
}

const Register ops{
    {.name = "conv_max_pool", .infer = infer_conv_max_pool, .bind = bind_conv_max_pool},
    {.name = "conv_max_pool_grad",
     .infer = infer_conv_max_pool_grad,
     .bind = bind_conv_max_pool_grad},
};

}  // namespace

bool conv_max_pool_suits(const Shape& x, const Shape& w, const Attrs& attrs) {
  return conv_pool_suits(conv_pool_shape(x, w, attrs));
}

}  // namespace lamina
