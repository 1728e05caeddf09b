// layer_norm(x [..., n], optional gamma [n] and beta [n]; epsilon): every row of the last axis with
// mean 0 and variance 1, then scaled and shifted. The gradient computes the statistics again from
// the row, which costs less than reading them.
#include "kernels/layer_norm.h"

#include <span>

#include "base/even_parts.h"
#include "kernels/reduce.h"
#include "ops/second_gradient.h"

namespace lamina {
namespace {

constexpr Dim kGrain = 16384;  // elements a chunk has at least
constexpr Dim kSumRows = 64;   // rows whose gradients of gamma and beta are summed together

struct Rows {
  Dim count, size;
  explicit Rows(const Shape& shape)
      : count(dim_product(std::span(shape).first(shape.size() - 1))), size(shape.back()) {}
  Dim slices() const { return (count + kSumRows - 1) / kSumRows; }
  double elements() const { return static_cast<double>(count) * static_cast<double>(size); }
};

// Calls make with the kernel for rows of that size; frequent sizes have one of their own.
template <class Make>
Kernel with_layer_norm(DType dtype, const Rows& rows, const Attrs& attrs, const Make& make) {
  constexpr double kNearBytes = 4 << 20;
  return with_float(dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    const Dim size = rows.size;
    const bool is_near = rows.elements() * sizeof(T) <= kNearBytes;
    const auto epsilon = static_cast<T>(attr_real(attrs, "epsilon", 0));
    if constexpr (std::is_same_v<T, float>) {
      if (size == 64) return make(kernels::LayerNorm<T, 64>(size, epsilon, is_near));
      if (size == 128) return make(kernels::LayerNorm<T, 128>(size, epsilon, is_near));
      if (size == 256) return make(kernels::LayerNorm<T, 256>(size, epsilon, is_near));
    }
    return make(kernels::LayerNorm<T>(size, epsilon, is_near));
  });
}

void require_rows(const Spec& x) {
  require_floating(x, "x");
  if (x.shape.empty()) shape_error("x must have an axis to normalize");
}
void require_vector(const Spec& x, const Spec& v, const char* operand) {
  require_same_dtype(x, v);
  require_rank(v, 1, operand);
  if (dim_merge(v.shape[0], x.shape.back()) == -2)
    shape_error(std::string(operand) + " has size " + std::to_string(v.shape[0]) +
                ", the rows of x " + std::to_string(x.shape.back()));
}

std::vector<Spec> infer_forward(const InferArgs& a) {
  if (a.in.size() != 3) require_count(a, 1);
  require_rows(a[0]);
  if (a.in.size() == 3) require_vector(a[0], a[1], "gamma"), require_vector(a[0], a[2], "beta");
  return {a[0]};
}

Bound bind_forward(const BindArgs& a) {
  const Rows rows(a.in[0].shape);
  const bool scales = a.in.size() == 3;
  Bound bound;
  bound.flops = 10 * rows.elements();
  bound.run = with_layer_norm(a.in[0].dtype, rows, a.attrs, [&](auto norm) -> Kernel {
    using T = typename decltype(norm)::Item;
    return [=](const Run& r) {
      const T* const gamma = scales ? r.in<T>(1) : nullptr;
      const T* const beta = scales ? r.in<T>(2) : nullptr;
      const Dim grain = kGrain / (rows.size + 1) + 1;
      parallel_evenly(rows.count, grain / 4 + 1, 1, grain, [&](Dim begin, Dim end) {
        norm.forward(r.in<T>(0) + begin * rows.size, end - begin, gamma, beta,
                     r.out<T>(0) + begin * rows.size);
      });
    };
  });
  return bound;
}

Grads vjp_forward(Builder& b, const VjpArgs& v) {
  if (v.in.size() == 1) return {b.emit("layer_norm_grad", {v.d_out[0], v.in[0]}, v.attrs)};
  return b.emit_all("layer_norm_grad", {v.d_out[0], v.in[0], v.in[1]}, v.attrs);
}

// ---- layer_norm_grad(dy, x, optional gamma; epsilon) -> dx and, with gamma, dgamma, dbeta

std::vector<Spec> infer_grad(const InferArgs& a) {
  if (a.in.size() != 3) require_count(a, 2);
  require_rows(a[1]);
  require_same_dtype(a[0], a[1]);
  if (a[0].shape != a[1].shape)
    shape_error("dy and x must have one shape, got " + to_string(a[0].shape) + " and " +
                to_string(a[1].shape));
  if (a.in.size() == 2) return {a[1]};
  require_vector(a[1], a[2], "gamma");
  return {a[1], a[2], a[2]};
}

Bound bind_grad(const BindArgs& a) {
  const Rows rows(a.in[1].shape);
  const bool scales = a.in.size() == 3;
  const bool sums = scales && (a.used[1] || a.used[2]);
  Bound bound;
  bound.flops = 20 * rows.elements();
  if (sums)
    bound.scratch_bytes =
        static_cast<std::size_t>(rows.slices() * 2 * rows.size) * item_size(a.in[0].dtype);
  bound.run = with_layer_norm(a.in[0].dtype, rows, a.attrs, [&](auto norm) -> Kernel {
    using T = typename decltype(norm)::Item;
    return [=](const Run& r) {
      T* const parts = sums ? reinterpret_cast<T*>(r.scratch) : nullptr;
      T* const dx = r.out<T>(0);
      const Dim n = rows.size;
      parallel_for(rows.slices(), kGrain / (kSumRows * n + 1) + 1, [&](Dim begin, Dim end) {
        for (Dim slice = begin; slice < end; ++slice) {
          T* const part = sums ? parts + slice * 2 * n : nullptr;
          if (sums) std::fill_n(part, 2 * n, T{0});
          const Dim first = slice * kSumRows, at = first * n;
          norm.backward(r.in<T>(0) + at, r.in<T>(1) + at, std::min(kSumRows, rows.count - first),
                        scales ? r.in<T>(2) : nullptr, dx == nullptr ? nullptr : dx + at, part);
        }
      });
      for (std::size_t k = 0; k < 2 && sums; ++k)
        if (T* const to = r.out<T>(1 + k))
          kernels::reduce_columns<kernels::SumOf, T>(parts + static_cast<Dim>(k) * n, rows.slices(),
                                                     n, 2 * n, to);
    };
  });
  return bound;
}

// The gradient written with other ops, to differentiate it once more.
std::vector<ValueId> plain_grad(Builder& b, const Attrs& attrs, ValueId dy, ValueId x,
                                ValueId gamma) {
  const auto over = [&](const char* op, ValueId v, std::vector<std::int64_t> axes, bool keep) {
    return b.emit(op, {v}, {{"axes", std::move(axes)}, {"keepdims", keep}});
  };
  const auto row_mean = [&](ValueId v) { return over("mean", v, {-1}, true); };
  const ValueId centred = b.sub(x, row_mean(x)), variance = row_mean(b.emit("square", {centred}));
  const ValueId scale = b.emit("rsqrt", {b.shift(variance, attr_real(attrs, "epsilon", 0))});
  const ValueId normalized = b.mul(centred, scale);
  const ValueId d = gamma == kNoValue ? dy : b.mul(dy, gamma);
  const ValueId along = b.mul(normalized, row_mean(b.mul(d, normalized)));
  std::vector<ValueId> out{b.mul(scale, b.sub(b.sub(d, row_mean(d)), along))};
  if (gamma == kNoValue) return out;
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i + 1 < b.shape(x).size(); ++i)
    rows.push_back(static_cast<std::int64_t>(i));
  out.push_back(over("sum", b.mul(dy, normalized), rows, false));
  out.push_back(over("sum", dy, rows, false));
  return out;
}

Grads vjp_grad(Builder& b, const VjpArgs& v) {
  return second_gradient(b, v, [&](const std::vector<ValueId>& in) {
    return plain_grad(b, v.attrs, in[0], in[1], in.size() == 3 ? in[2] : kNoValue);
  });
}

const Register ops{
    {.name = "layer_norm",
     .traits = kInPlace,
     .infer = infer_forward,
     .bind = bind_forward,
     .vjp = vjp_forward},
    {.name = "layer_norm_grad",
     .traits = kInPlace,
     .infer = infer_grad,
     .bind = bind_grad,
     .vjp = vjp_grad},
};

}  // namespace
}  // namespace lamina
