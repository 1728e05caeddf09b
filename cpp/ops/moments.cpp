// moments(x [..., channels]) -> mean [channels], variance [channels]: the population's, over all
// axes but the last, in one pass.
#include "ops/moments.h"

#include "base/parallel.h"

namespace lamina {
namespace {

std::vector<Spec> infer_moments(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "x");
  if (a[0].shape.empty()) shape_error("x must have an axis of channels");
  const Spec statistic{a[0].dtype, {a[0].shape.back()}};
  return {statistic, statistic};
}

Bound bind_moments(const BindArgs& a) {
  const Columns columns(a.in[0].shape);
  Bound bound;
  bound.flops = 5 * columns.elements();
  with_float(a.in[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    const MomentsPass<T> pass(columns);
    bound.scratch_bytes = pass.scratch_bytes();
    bound.run = [pass](const Run& r) { pass.run(r.in<T>(0), r.out<T>(0), r.out<T>(1), r.scratch); };
  });
  return bound;
}

// d mean / dx = 1/n, d variance / dx = 2 (x - mean) / n.
Grads vjp_moments(Builder& b, const VjpArgs& v) {
  return {moments_gradient(b, v.in[0], v.out[0], v.d_out[0], v.d_out[1])};
}

const Register ops{
    {.name = "moments", .infer = infer_moments, .bind = bind_moments, .vjp = vjp_moments},
};

}  // namespace

ValueId moments_gradient(Builder& b, ValueId x, ValueId mean, ValueId d_mean, ValueId d_variance) {
  const Shape shape = b.shape(x);
  const auto rows = static_cast<double>(dim_product(std::span(shape).first(shape.size() - 1)));
  ValueId dx = kNoValue;
  if (d_variance != kNoValue) dx = b.mul(b.sub(x, mean), b.scale(d_variance, 2 / rows));
  if (d_mean != kNoValue) {
    const ValueId share = b.broadcast_to(b.scale(d_mean, 1 / rows), shape);
    dx = dx == kNoValue ? share : b.add(dx, share);
  }
  return dx;
}

}  // namespace lamina
