// resample(x, weights [out, taps], starts [out]; axis): every position along an axis becomes a
// weighted sum of neighbours: y[o] = sum over k of weights[o, k] x[starts[o] + k]. Resizing with
// any filter is one such op per axis. Linear in x; the weights are constants.
#include "kernels/resample.h"

#include "ops/op.h"

namespace lamina {
namespace {

int axis_of(const Attrs& attrs, const Shape& x) {
  return normalize_axis(attr_int(attrs, "axis"), x.size());
}

// Weights and starts, the second and third inputs of both ops.
void check_weights(const InferArgs& a) {
  require_rank(a[1], 2, "weights");
  require_rank(a[2], 1, "starts");
  require_same_dtype(a[0], a[1]);
  if (a[2].dtype != DType::i32) type_error("starts must be int32");
  if (dim_merge(a[1].shape[0], a[2].shape[0]) == -2)
    shape_error("weights and starts must have one row for each output position");
  if (a[1].shape[1] == 0) shape_error("weights must have at least one tap");
}

ResampleShape resample_shape(const Shape& x, const Shape& weights, int axis) {
  ResampleShape s{.outer = 1, .in = 1, .out = weights[0], .inner = 1, .taps = weights[1]};
  for (int i = 0; i < static_cast<int>(x.size()); ++i)
    (i < axis ? s.outer : i == axis ? s.in : s.inner) *= x[static_cast<std::size_t>(i)];
  return s;
}

// Starts whose taps would leave the axis are noted; the kernel then does nothing.
bool starts_fit(const ResampleShape& s, const Run& r) {
  const std::int32_t* starts = r.in<std::int32_t>(2);
  for (Dim o = 0; o < s.out; ++o)
    if (starts[o] < 0 || starts[o] + s.taps > s.in) {
      r.failure->note("start %lld is out of range", starts[o]);
      return false;
    }
  return true;
}

std::vector<Spec> infer_resample(const InferArgs& a) {
  require_count(a, 3);
  require_floating(a[0], "x");
  check_weights(a);
  Spec y = a[0];
  y.shape[static_cast<std::size_t>(axis_of(a.attrs, y.shape))] = a[1].shape[0];
  return {std::move(y)};
}

Bound bind_resample(const BindArgs& a) {
  const Shape& x = a.in[0].shape;
  const ResampleShape s = resample_shape(x, a.in[1].shape, axis_of(a.attrs, x));
  Bound bound;
  bound.flops = s.work();
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=, n = element_count(a.out[0].shape)](const Run& r) {
      if (starts_fit(s, r))
        resample(s, r.in<T>(0), r.in<T>(1), r.in<std::int32_t>(2), r.out<T>(0));
      else
        std::fill_n(r.out<T>(0), n, T{0});
    };
  });
  return bound;
}

Grads vjp_resample(Builder& b, const VjpArgs& v) {
  if (!v.wanted[0]) return {kNoValue, kNoValue, kNoValue};
  const Shape& x = b.shape(v.in[0]);
  const int axis = axis_of(v.attrs, x);
  return {b.emit("resample_grad", {v.d_out[0], v.in[1], v.in[2]},
                 {{"axis", Dim{axis}}, {"size", x[static_cast<std::size_t>(axis)]}}),
          kNoValue, kNoValue};
}

// ---- resample_grad(dy, weights, starts; axis, size)

std::vector<Spec> infer_resample_grad(const InferArgs& a) {
  require_count(a, 3);
  require_floating(a[0], "dy");
  check_weights(a);
  Spec dx = a[0];
  const auto axis = static_cast<std::size_t>(axis_of(a.attrs, dx.shape));
  if (dim_merge(dx.shape[axis], a[1].shape[0]) == -2)
    shape_error("dy must have one position for each row of the weights");
  dx.shape[axis] = attr_int(a.attrs, "size");
  return {std::move(dx)};
}

Bound bind_resample_grad(const BindArgs& a) {
  const Shape& x = a.out[0].shape;
  const ResampleShape s = resample_shape(x, a.in[1].shape, axis_of(a.attrs, x));
  Bound bound;
  bound.flops = s.work();
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=, n = element_count(x)](const Run& r) {
      if (starts_fit(s, r))
        resample_grad(s, r.in<T>(0), r.in<T>(1), r.in<std::int32_t>(2), r.out<T>(0));
      else
        std::fill_n(r.out<T>(0), n, T{0});
    };
  });
  return bound;
}

Grads vjp_resample_grad(Builder& b, const VjpArgs& v) {
  if (!v.wanted[0]) return {kNoValue, kNoValue, kNoValue};
  return {b.emit("resample", {v.d_out[0], v.in[1], v.in[2]}, {{"axis", attr_int(v.attrs, "axis")}}),
          kNoValue, kNoValue};
}

const Register ops{
    {.name = "resample", .infer = infer_resample, .bind = bind_resample, .vjp = vjp_resample},
    {.name = "resample_grad",
     .infer = infer_resample_grad,
     .bind = bind_resample_grad,
     .vjp = vjp_resample_grad},
};

}  // namespace
}  // namespace lamina
