// moments(x [..., channels]) -> mean [channels], variance [channels]: the population's, over all
// axes but the last, in one pass.
#include "kernels/moments.h"

#include "base/parallel.h"
#include "ops/op.h"

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
  constexpr Dim kGrain = 32768;  // elements a chunk has at least
  const Shape& shape = a.in[0].shape;
  const Dim columns = shape.back(), rows = dim_product(std::span(shape).first(shape.size() - 1));
  const kernels::MomentSlices slices(rows, columns);
  const auto sums = 2 * static_cast<std::size_t>(columns) * sizeof(double);
  Bound bound;
  bound.scratch_bytes = sums + static_cast<std::size_t>(slices.kept()) * item_size(a.in[0].dtype);
  bound.flops = 5 * static_cast<double>(element_count(shape));
  const Dim grain = kGrain * slices.count() / (element_count(shape) + 1) + 1;
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      const T* const x = r.in<T>(0);
      T* const kept = reinterpret_cast<T*>(r.scratch + sums);
      parallel_for(slices.count(), grain, [&](Dim begin, Dim end) {
        for (Dim i = begin; i < end; ++i) slices.run(x, i, kept);
      });
      slices.join(x, kept, reinterpret_cast<double*>(r.scratch), r.out<T>(0), r.out<T>(1));
    };
  });
  return bound;
}

// d mean / dx = 1/n, d variance / dx = 2 (x - mean) / n.
Grads vjp_moments(Builder& b, const VjpArgs& v) {
  const Shape shape = b.shape(v.in[0]);
  const auto rows = static_cast<double>(dim_product(std::span(shape).first(shape.size() - 1)));
  ValueId dx = kNoValue;
  if (v.d_out[1] != kNoValue) dx = b.mul(b.sub(v.in[0], v.out[0]), b.scale(v.d_out[1], 2 / rows));
  if (v.d_out[0] != kNoValue) {
    const ValueId share = b.broadcast_to(b.scale(v.d_out[0], 1 / rows), shape);
    dx = dx == kNoValue ? share : b.add(dx, share);
  }
  return {dx};
}

const Register ops{
    {.name = "moments", .infer = infer_moments, .bind = bind_moments, .vjp = vjp_moments},
};

}  // namespace
}  // namespace lamina
