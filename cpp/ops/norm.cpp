// softmax and log_softmax over one axis, and their gradients.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/softmax.h"
#include "ops/op.h"

namespace lamina {
namespace {

constexpr Dim kGrain = 16384;  // elements a chunk has at least

// A tensor seen as outer x extent x inner, the middle being the axis.
struct AxisView {
  Dim outer = 1, extent = 1, inner = 1;
  AxisView(const Shape& shape, int axis) : extent(shape[static_cast<std::size_t>(axis)]) {
    for (int i = 0; i < static_cast<int>(shape.size()); ++i) {
      if (i < axis) outer *= shape[static_cast<std::size_t>(i)];
      if (i > axis) inner *= shape[static_cast<std::size_t>(i)];
    }
  }
  double elements() const { return static_cast<double>(outer * extent * inner); }
};

int read_axis(const Attrs& attrs, const Spec& spec) {
  return normalize_axis(attr_int(attrs, "axis", -1), spec.shape.size());
}

// body(line, offset): for every line of the view, in parallel.
template <class T, class Body>
void each_line(const AxisView& v, const Body& body) {
  const Dim line_grain = std::max<Dim>(1, kGrain / std::max<Dim>(1, v.extent));
  if (v.inner == 1) {
    parallel_for(v.outer, line_grain, [&](Dim begin, Dim end) {
      for (Dim i = begin; i < end; ++i)
        body(softmax::Row<T>(v.extent, (end - i) * v.extent), i * v.extent);
    });
    return;
  }
  const Dim lanes = kLanes<T>, groups = (v.inner + lanes - 1) / lanes;
  parallel_for(v.outer * groups, std::max<Dim>(1, line_grain / lanes), [&](Dim begin, Dim end) {
    for (Dim i = begin; i < end; ++i) {
      const Dim column = i % groups * lanes;
      const int few = static_cast<int>(std::min(lanes, v.inner - column));
      body(softmax::Columns<T>(v.extent, v.inner, few), i / groups * v.extent * v.inner + column);
    }
  });
}

std::vector<Spec> infer_forward(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "x");
  read_axis(a.attrs, a[0]);
  return {a[0]};
}

std::vector<Spec> infer_grad(const InferArgs& a) {
  require_count(a, 2);
  require_floating(a[0], "y");
  require_same_dtype(a[0], a[1]);
  read_axis(a.attrs, a[0]);
  if (a[0].shape != a[1].shape)
    shape_error("y and dy must have one shape, got " + to_string(a[0].shape) + " and " +
                to_string(a[1].shape));
  return {a[0]};
}

template <bool kLog>
Bound bind_forward(const BindArgs& a) {
  const AxisView view(a.in[0].shape, read_axis(a.attrs, a.in[0]));
  if (view.elements() == 0) return {[](const Run&) {}, 0, 0};
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto run = [view](const Run& r) {
      each_line<T>(view, [&](const auto& line, Dim at) {
        if constexpr (kLog) {
          softmax::log_forward(line, r.in<T>(0) + at, r.out<T>(0) + at);
        } else {
          softmax::forward(line, r.in<T>(0) + at, r.out<T>(0) + at);
        }
      });
    };
    return {.run = run, .flops = 25 * view.elements()};
  });
}

template <bool kLog>
Bound bind_grad(const BindArgs& a) {
  const AxisView view(a.in[0].shape, read_axis(a.attrs, a.in[0]));
  if (view.elements() == 0) return {[](const Run&) {}, 0, 0};
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto run = [view](const Run& r) {
      each_line<T>(view, [&](const auto& line, Dim at) {
        const T *y = r.in<T>(0) + at, *dy = r.in<T>(1) + at;
        if constexpr (kLog) {
          softmax::log_backward(line, y, dy, r.out<T>(0) + at);
        } else {
          softmax::backward(line, y, dy, r.out<T>(0) + at);
        }
      });
    };
    return {.run = run, .flops = (kLog ? 25 : 8) * view.elements()};
  });
}

Grads vjp_softmax(Builder& b, const VjpArgs& v) {
  return {b.emit("softmax_grad", {v.out[0], v.d_out[0]}, v.attrs)};
}
Grads vjp_log_softmax(Builder& b, const VjpArgs& v) {
  return {b.emit("log_softmax_grad", {v.out[0], v.d_out[0]}, v.attrs)};
}

ValueId sum_along(Builder& b, ValueId x, const Attrs& attrs) {
  const std::vector<std::int64_t> axes{attr_int(attrs, "axis", -1)};
  return b.emit("sum", {x}, {{"axes", axes}, {"keepdims", true}});
}
// g = y (t - sum(y t)) for the softmax y and what arrived, t.
Grads vjp_softmax_grad(Builder& b, const VjpArgs& v) {
  const ValueId y = v.in[0], t = v.in[1], d = v.d_out[0];
  Grads g{kNoValue, kNoValue};
  if (v.wanted[0]) {
    const ValueId centred = b.sub(t, sum_along(b, b.mul(y, t), v.attrs));
    g[0] = b.sub(b.mul(d, centred), b.mul(t, sum_along(b, b.mul(d, y), v.attrs)));
  }
  if (v.wanted[1]) g[1] = b.emit("softmax_grad", {y, d}, v.attrs);
  return g;
}
// g = t - exp(y) sum(t) for the logarithm of the softmax y.
Grads vjp_log_softmax_grad(Builder& b, const VjpArgs& v) {
  const ValueId p = b.emit("exp", {v.in[0]}), t = v.in[1], d = v.d_out[0];
  Grads g{kNoValue, kNoValue};
  if (v.wanted[0]) g[0] = b.neg(b.mul(b.mul(d, p), sum_along(b, t, v.attrs)));
  if (v.wanted[1]) g[1] = b.sub(d, sum_along(b, b.mul(d, p), v.attrs));
  return g;
}

const Register registered{
    {.name = "softmax",
     .traits = kInPlace,
     .infer = infer_forward,
     .bind = bind_forward<false>,
     .vjp = vjp_softmax},
    {.name = "log_softmax",
     .traits = kInPlace,
     .infer = infer_forward,
     .bind = bind_forward<true>,
     .vjp = vjp_log_softmax},
    {.name = "softmax_grad",
     .traits = kInPlace,
     .infer = infer_grad,
     .bind = bind_grad<false>,
     .vjp = vjp_softmax_grad},
    {.name = "log_softmax_grad",
     .traits = kInPlace,
     .infer = infer_grad,
     .bind = bind_grad<true>,
     .vjp = vjp_log_softmax_grad},
};

}  // namespace
}  // namespace lamina
