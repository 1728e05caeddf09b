// dense for a row or two in two ops: one that lays out the weights in stripes of columns, and so
// need not run again while they stay the same, and one that takes them so: each thread then reads a
// stretch of memory of its own, where of a part of the columns of a row-major matrix the processor
// would fetch those beside them, too. The fusion of a program's graph makes them; no layer asks for
// them. The results have the bits of dense.
#include "ops/striped_dense.h"

#include "kernels/stripes.h"
#include "ops/dense.h"

namespace lamina {
namespace {

// ---- striped_weights(w [k, n]) -> stripes, flat

std::vector<Spec> infer_weights(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "w");
  require_rank(a[0], 2, "w");
  const Dim k = a[0].shape[0], n = a[0].shape[1];
  if (!is_known(a[0].shape)) return {{a[0].dtype, {kUnknown}}};
  return {{a[0].dtype,
           {with_float(a[0].dtype, [&](auto tag) { return stripes::size<decltype(tag)>(n, k); })}}};
}

Bound bind_weights(const BindArgs& a) {
  const Dim k = a.in[0].shape[0], n = a.in[0].shape[1];
  Bound bound;
  bound.flops = static_cast<double>(k * n);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) { stripes::lay_out<T>(n, k, r.in<T>(0), r.out<T>(0)); };
  });
  return bound;
}

// ---- striped_dense(x [..., k], striped weights, optional bias [columns]; columns, activation)

std::vector<Spec> infer_dense(const InferArgs& a) {
  require_floating(a[0], "x");
  if (a[0].shape.empty()) shape_error("x needs at least one axis");
  const Dim k = a[0].shape.back(), n = attr_int(a.attrs, "columns");
  if (n < 0) throw Error("columns must not be negative, got " + std::to_string(n));
  if (k == kUnknown || infer_weights({{{{a[0].dtype, {k, n}}}}, {}})[0] != a[1])
    shape_error("the weights are " + to_string(a[1]) + ", not striped ones of [" +
                std::to_string(k) + ", " + std::to_string(n) + "]");
  return infer_dense_result(a, k, n);
}

Bound bind_dense(const BindArgs& a) {
  const Shape& x = a.in[0].shape;
  const Dim n = a.out[0].shape.back(), k = x.back();
  const Dim m = dim_product(std::span(x).first(x.size() - 1));
  if (m > stripes::kMostRows)
    shape_error("is for " + std::to_string(stripes::kMostRows) + " rows at most, got " +
                std::to_string(m));
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == 3;
  Bound bound;
  bound.flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      Epilogue<T> e;
      e.bias = has_bias ? r.in<T>(2) : nullptr;
      e.activation = activation;
      stripes::multiply<T>(m, n, k, r.in<T>(0), r.in<T>(1), r.out<T>(0), e);
    };
  });
  return bound;
}

const Register ops{
    {.name = "striped_weights", .infer = infer_weights, .bind = bind_weights},
    {.name = "striped_dense", .infer = infer_dense, .bind = bind_dense},
};

}  // namespace

Dim kept_weights_size(const Spec& x, const Spec& w) {
  constexpr Dim kLeast = 2 * stripes::kWorthAThread;  // elements of weights
  const Dim k = w.shape[0], n = w.shape[1];
  const Dim rows = dim_product(std::span(x.shape).first(x.shape.size() - 1));
  if (rows < 1 || rows > stripes::kMostRows || n * k < kLeast || n < stripes::kColumns<float>)
    return 0;
  return stripes::size<float>(n, k);
}

}  // namespace lamina
