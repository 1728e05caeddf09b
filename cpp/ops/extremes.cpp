// The gradient of a maximum or minimum over neighbouring axes.
#include "kernels/extremes.h"

#include "ops/reduce.h"

namespace lamina {
namespace {

// The axes before, over and behind those that were reduced.
struct Extents {
  Dim planes = 1, rows = 1, columns = 1;
  Extents(const Shape& x, const std::vector<int>& axes) {
    for (int i = 0; i < static_cast<int>(x.size()); ++i)
      (axes.empty() || i < axes.front() ? planes
       : i <= axes.back()               ? rows
                                        : columns) *= x[static_cast<std::size_t>(i)];
  }
};

// ---- extreme_grad(x, y, dy; axes) -> dx, where y is the maximum or minimum of x. Ties share.

std::vector<Spec> infer(const InferArgs& a) {
  require_count(a, 3);
  require_floating(a[0], "x");
  const auto axes = reduced_axes(a.attrs, a[0].shape.size());
  if (!axes.empty() && axes.back() - axes.front() + 1 != static_cast<int>(axes.size()))
    shape_error("the axes must be neighbours");
  for (std::size_t i = 1; i < 3; ++i) {
    require_same_dtype(a[0], a[i]);
    if (a[i].shape != reduced_shape(a[0].shape, axes, true) &&
        a[i].shape != reduced_shape(a[0].shape, axes, false))
      shape_error(std::string(i == 1 ? "y" : "dy") + " has shape " + to_string(a[i].shape) +
                  ", which is not that of x reduced");
  }
  return {a[0]};
}

Bound bind(const BindArgs& a) {
  const Extents e(a.in[0].shape, reduced_axes(a.attrs, a.in[0].shape.size()));
  Bound bound;
  bound.flops = 2 * static_cast<double>(element_count(a.in[0].shape));
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      extremes::gradient(e.planes, e.rows, e.columns, r.in<T>(0), r.in<T>(1), r.in<T>(2),
                         r.out<T>(0));
    };
  });
  return bound;
}

// The op is linear in dy: what comes back is the mean over the places that share.
Grads vjp(Builder& b, const VjpArgs& v) {
  Grads grads(3, kNoValue);
  if (!v.wanted[2]) return grads;
  const Shape shape = b.shape(v.in[0]), reduced = b.shape(v.in[2]);
  const auto axes = reduced_axes(v.attrs, shape.size());
  const ValueId y = b.reshape(v.in[1], reduced_shape(shape, axes, true));
  const ValueId hit = b.cast(b.emit("equal", {v.in[0], y}), b.dtype(v.in[0]));
  const Attrs over{{"axes", std::vector<std::int64_t>(axes.begin(), axes.end())}};
  const ValueId sum = b.emit("sum", {b.mul(hit, v.d_out[0])}, over);
  grads[2] = b.reshape(b.div(sum, b.emit("sum", {hit}, over)), reduced);
  return grads;
}

const Register ops{{.name = "extreme_grad", .infer = infer, .bind = bind, .vjp = vjp}};

}  // namespace
}  // namespace lamina
