// Positions of extremes, and running sums and products: walks along one axis.
#include <algorithm>

#include "base/parallel.h"
#include "ops/op.h"
#include "ops/reduce.h"

namespace lamina {
namespace {

// x as [outer, extent, inner].
struct Lines {
  Dim outer = 1, extent = 1, inner = 1;
  double work() const {
    return static_cast<double>(outer) * static_cast<double>(extent) * static_cast<double>(inner);
  }
  Dim grain() const { return 16384 / std::max<Dim>(1, extent * inner) + 1; }
};
Lines lines_along(const Shape& shape, std::size_t axis) {
  Lines l;
  for (std::size_t i = 0; i < shape.size(); ++i)
    (i < axis ? l.outer : i == axis ? l.extent : l.inner) *= shape[i];
  return l;
}

// ---- argmax, argmin: the first of equals; a NaN counts as the most extreme.
std::vector<Spec> infer_arg(const InferArgs& a) {
  require_count(a, 1);
  if (a[0].dtype == DType::boolean) type_error("does not take bool; cast it first");
  std::vector<int> axes = reduced_axes({}, a[0].shape.size());
  if (a.attrs.find("axis") != a.attrs.end())
    axes = {normalize_axis(attr_int(a.attrs, "axis"), a[0].shape.size())};
  for (const int axis : axes)
    if (a[0].shape[static_cast<std::size_t>(axis)] == 0)
      shape_error("has no value: axis " + std::to_string(axis) + " is empty");
  return {{DType::i64, reduced_shape(a[0].shape, axes, attr_bool(a.attrs, "keepdims", false))}};
}

template <bool kMax, class T>
bool beats(T x, T best) {
  if constexpr (std::is_floating_point_v<T>)
    if (x != x) return best == best;
  return kMax ? x > best : x < best;
}

template <bool kMax, class T>
void arg_lines(const T* x, const Lines& l, std::int64_t* out) {
  if (l.inner == 1) {
    Dim at = 0;
    T best = x[0];
    for (Dim i = 1; i < l.extent; ++i)
      if (beats<kMax>(x[i], best)) at = i, best = x[i];
    *out = at;
    return;
  }
  std::fill_n(out, l.inner, 0);
  for (Dim i = 1; i < l.extent; ++i)
    for (Dim c = 0; c < l.inner; ++c)
      if (beats<kMax>(x[i * l.inner + c], x[out[c] * l.inner + c])) out[c] = i;
}

template <bool kMax>
Bound bind_arg(const BindArgs& a) {
  const Shape& shape = a.in[0].shape;
  Lines l;
  if (a.attrs.find("axis") == a.attrs.end())
    l.extent = element_count(shape);
  else
    l = lines_along(
        shape, static_cast<std::size_t>(normalize_axis(attr_int(a.attrs, "axis"), shape.size())));
  return with_any(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[l](const Run& r) {
              const T* x = r.in<T>(0);
              auto* out = r.out<std::int64_t>(0);
              parallel_for(l.outer, l.grain(), [&](Dim begin, Dim end) {
                for (Dim o = begin; o < end; ++o)
                  arg_lines<kMax>(x + o * l.extent * l.inner, l, out + o * l.inner);
              });
            },
            0, l.work()};
  });
}

// ---- cumsum, cumprod(x; axis, reverse=false)
std::vector<Spec> infer_running(const InferArgs& a) {
  require_count(a, 1);
  if (a[0].dtype == DType::boolean) type_error("does not take bool; cast it first");
  normalize_axis(attr_int(a.attrs, "axis", -1), a[0].shape.size());
  return {a[0]};
}
struct Plus {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a + b);
  }
};
struct Times {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a * b);
  }
};
// One [extent, inner] block; `step` is inner, or -inner from the last row on.
template <class F, class T>
void run_along(const T* x, T* out, Dim extent, Dim inner, Dim step, F f) {
  for (Dim c = 0; c < inner; ++c) out[c] = x[c];
  for (Dim i = 1; i < extent; ++i) {
    const T* row = x + i * step;
    T *to = out + i * step, *before = to - step;
    for (Dim c = 0; c < inner; ++c) to[c] = f(before[c], row[c]);
  }
}
template <class F>
Bound bind_running(const BindArgs& a) {
  const Shape& shape = a.in[0].shape;
  const Lines l = lines_along(
      shape, static_cast<std::size_t>(normalize_axis(attr_int(a.attrs, "axis", -1), shape.size())));
  const bool reverse = attr_bool(a.attrs, "reverse", false);
  return with_any(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>) {
      type_error("does not take bool; cast it first");
    } else {
      using U = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                            std::type_identity<T>>::type;
      const Dim block = l.extent * l.inner, start = reverse ? block - l.inner : 0;
      const Dim step = reverse ? -l.inner : l.inner;
      if (block == 0) return {[](const Run&) {}, 0, 0};
      return {[=](const Run& r) {
                const U* x = r.in<U>(0) + start;
                U* out = r.out<U>(0) + start;
                parallel_for(l.outer, l.grain(), [&](Dim begin, Dim end) {
                  for (Dim o = begin; o < end; ++o)
                    run_along(x + o * block, out + o * block, l.extent, l.inner, step, F{});
                });
              },
              0, l.work()};
    }
  });
}

// The gradient of a running sum is the running sum of the gradient, backwards.
ValueId run_back(Builder& b, const VjpArgs& a, ValueId d) {
  Attrs attrs = a.attrs;
  attrs["reverse"] = !attr_bool(a.attrs, "reverse", false);
  return b.emit("cumsum", {d}, attrs);
}
Grads cumsum_vjp(Builder& b, const VjpArgs& a) { return {run_back(b, a, a.d_out[0])}; }
// By division: not defined where x is 0.
Grads cumprod_vjp(Builder& b, const VjpArgs& a) {
  return {b.div(run_back(b, a, b.mul(a.d_out[0], a.out[0])), a.in[0])};
}

const Register r{
    {.name = "argmax", .infer = infer_arg, .bind = bind_arg<true>},
    {.name = "argmin", .infer = infer_arg, .bind = bind_arg<false>},
    {.name = "cumsum", .infer = infer_running, .bind = bind_running<Plus>, .vjp = cumsum_vjp},
    {.name = "cumprod", .infer = infer_running, .bind = bind_running<Times>, .vjp = cumprod_vjp},
};

}  // namespace
}  // namespace lamina
