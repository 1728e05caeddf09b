// The records of the reductions.
#include <algorithm>

#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace lamina {
namespace {

using namespace kernels;

// ---- Shape rules.
std::vector<Spec> reduced_spec(const InferArgs& a) {
  const auto axes = reduced_axes(a.attrs, a[0].shape.size());
  return {{a[0].dtype, reduced_shape(a[0].shape, axes, attr_bool(a.attrs, "keepdims", false))}};
}
std::vector<Spec> infer_number(const InferArgs& a) {
  require_count(a, 1);
  if (a[0].dtype == DType::boolean) type_error("does not take bool; cast it first");
  return reduced_spec(a);
}
std::vector<Spec> infer_floating(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "the operand");
  return reduced_spec(a);
}
std::vector<Spec> infer_bool(const InferArgs& a) {
  require_count(a, 1);
  if (a[0].dtype != DType::boolean)
    type_error(std::string("the operand must be bool, got ") + dtype_name(a[0].dtype));
  return reduced_spec(a);
}
std::vector<Spec> infer_extreme(const InferArgs& a) {
  for (const int axis : reduced_axes(a.attrs, a[0].shape.size()))
    if (a[0].shape[static_cast<std::size_t>(axis)] == 0)
      shape_error("has no value: axis " + std::to_string(axis) + " is empty");
  return infer_number(a);
}
std::vector<Spec> infer_sum_squares(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "the operand");
  return {{a[0].dtype, {}}};
}

// ---- Bind.
std::vector<int> axes_of(const BindArgs& a) { return reduced_axes(a.attrs, a.in[0].shape.size()); }

template <class R, bool kMean>
Bound bind_reduce(const BindArgs& a) {
  return bind_reduction<R>(a.in[0], axes_of(a), kMean);
}

struct SquaredDifference {
  template <class V>
  V operator()(V x, V mean) const {
    return (x - mean) * (x - mean);
  }
};
// An infinite or NaN maximum is no shift.
template <class V>
LAMINA_INLINE V finite_or_zero(V m) {
  return select(abs(m) < all<V>(std::numeric_limits<Lane<V>>::infinity()), m, V{});
}
struct ShiftedExp {
  template <class V>
  V operator()(V x, V m) const {
    return exp(x - finite_or_zero(m));
  }
};
struct LogShiftedBack {
  template <class V>
  V operator()(V sum, V m) const {
    return log(sum) + finite_or_zero(m);
  }
};

// The two-pass reductions: a statistic of each group, a function of every element and its group's
// statistic (into the scratch), a reduction of that.
struct TwoPass {
  Spec kept;  // the statistic, broadcastable to the input
  Bound statistic, each, reduce;
  std::size_t kept_bytes, each_bytes;

  template <class F>
  TwoPass(const BindArgs& a, Bound s, double cost, F each_function, Bound last)
      : kept{a.in[0].dtype, reduced_shape(a.in[0].shape, axes_of(a), true)},
        statistic(std::move(s)),
        reduce(std::move(last)),
        kept_bytes(aligned_bytes(byte_size(kept))),
        each_bytes(aligned_bytes(byte_size(a.in[0]))) {
    const Spec in[] = {a.in[0], kept}, out[] = {a.in[0]};
    each = bind_elementwise({in, out, a.attrs, {}}, floating_tile<2>(a.in[0].dtype, each_function),
                            cost);
  }

  std::size_t scratch_bytes() const {
    return kept_bytes + each_bytes + std::max(statistic.scratch_bytes, reduce.scratch_bytes);
  }
  double flops() const { return statistic.flops + each.flops + reduce.flops; }
  void* statistic_of(const Run& r) const { return r.scratch; }

  void run(const Run& r, void* out) const {
    void *kept_at = r.scratch, *each_at = r.scratch + kept_bytes;
    std::byte* rest = r.scratch + kept_bytes + each_bytes;
    statistic.run({r.ins, &kept_at, rest, r.failure});
    void* both[] = {r.ins[0], kept_at};
    each.run({both, &each_at, nullptr, r.failure});
    reduce.run({&each_at, &out, rest, r.failure});
  }
};

Bound bind_var(const BindArgs& a) {
  const auto axes = axes_of(a);
  TwoPass passes(a, bind_reduction<SumOf>(a.in[0], axes, true), 3, SquaredDifference{},
                 bind_reduction<SumOf>(a.in[0], axes, true));
  const std::size_t scratch = passes.scratch_bytes();
  const double flops = passes.flops();
  return {[p = std::move(passes)](const Run& r) { p.run(r, r.outs[0]); }, scratch, flops};
}

Bound bind_logsumexp(const BindArgs& a) {
  const auto axes = axes_of(a);
  TwoPass passes(a, bind_reduction<MaximumOf>(a.in[0], axes), 10, ShiftedExp{},
                 bind_reduction<SumOf>(a.in[0], axes));
  const std::size_t scratch = passes.scratch_bytes();
  const double flops = passes.flops();
  const Tile finish = floating_tile<2>(a.out[0].dtype, LogShiftedBack{});
  return {[p = std::move(passes), finish, n = element_count(a.out[0].shape)](const Run& r) {
            p.run(r, r.outs[0]);
            void* both[] = {r.outs[0], p.statistic_of(r)};
            finish(both, r.outs[0], n);
          },
          scratch, flops};
}

Bound bind_sum_squares(const BindArgs& a) {
  return bind_reduction<SumOfSquares>(a.in[0], reduced_axes({}, a.in[0].shape.size()));
}

// prod_grad(x [k, n], dy [k]): dy times the product of the others in the row, zeros or not.
Bound bind_prod_grad(const BindArgs& a) {
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const Dim rows = a.in[0].shape[0], n = a.in[0].shape[1];
    return {[=](const Run& r) {
              for (Dim k = 0; k < rows; ++k) {
                const T* x = r.in<T>(0) + k * n;
                T* dx = r.out<T>(0) + k * n;
                T before = r.in<T>(1)[k], after = 1;
                for (Dim i = 0; i < n; ++i) dx[i] = before, before *= x[i];
                for (Dim i = n; i-- > 0;) dx[i] *= after, after *= x[i];
              }
            },
            0, static_cast<double>(2 * rows * n)};
  });
}
std::vector<Spec> infer_prod_grad(const InferArgs& a) {
  require_count(a, 2);
  require_floating(a[0], "x");
  require_same_dtype(a[0], a[1]);
  require_rank(a[0], 2, "x");
  require_rank(a[1], 1, "dy");
  if (dim_merge(a[0].shape[0], a[1].shape[0]) == -2)
    shape_error("dy must have one element for each row of x");
  return {a[0]};
}

// ---- Gradient rules.
// A value of the reduced shape, with its axes back as ones.
ValueId with_kept_axes(Builder& b, const VjpArgs& a, ValueId v) {
  const Shape shape = b.shape(a.in[0]);
  return b.reshape(v, reduced_shape(shape, reduced_axes(a.attrs, shape.size()), true));
}
ValueId spread(Builder& b, const VjpArgs& a, ValueId v) {
  const Shape shape = b.shape(a.in[0]);
  return b.broadcast_to(with_kept_axes(b, a, v), shape);
}
double group_size(Builder& b, const VjpArgs& a) {
  const Shape& shape = b.shape(a.in[0]);
  double n = 1;
  for (const int axis : reduced_axes(a.attrs, shape.size()))
    n *= static_cast<double>(shape[static_cast<std::size_t>(axis)]);
  return n;
}

Grads sum_vjp(Builder& b, const VjpArgs& a) { return {spread(b, a, a.d_out[0])}; }
Grads mean_vjp(Builder& b, const VjpArgs& a) {
  return {spread(b, a, b.scale(a.d_out[0], 1 / group_size(b, a)))};
}
// Ties share the gradient equally.
Grads extreme_vjp(Builder& b, const VjpArgs& a) {
  const Shape shape = b.shape(a.in[0]);
  std::vector<std::int64_t> axes;
  for (const int axis : reduced_axes(a.attrs, shape.size())) axes.push_back(axis);
  if (axes.empty() || axes.back() - axes.front() + 1 == static_cast<std::int64_t>(axes.size()))
    return {b.emit("extreme_grad", {a.in[0], a.out[0], a.d_out[0]}, {{"axes", axes}})};
  const ValueId hit =
      b.cast(b.emit("equal", {a.in[0], with_kept_axes(b, a, a.out[0])}), b.dtype(a.in[0]));
  const ValueId hits = b.emit("sum", {hit}, {{"axes", axes}, {"keepdims", true}});
  return {b.mul(hit, b.div(with_kept_axes(b, a, a.d_out[0]), hits))};
}
Grads var_vjp(Builder& b, const VjpArgs& a) {
  Attrs keep = a.attrs;
  keep["keepdims"] = true;
  const ValueId centered = b.sub(a.in[0], b.emit("mean", {a.in[0]}, keep));
  return {b.mul(centered, b.scale(with_kept_axes(b, a, a.d_out[0]), 2 / group_size(b, a)))};
}
Grads logsumexp_vjp(Builder& b, const VjpArgs& a) {
  const ValueId share = b.emit("exp", {b.sub(a.in[0], with_kept_axes(b, a, a.out[0]))});
  return {b.mul(share, with_kept_axes(b, a, a.d_out[0]))};
}
Grads sum_squares_vjp(Builder& b, const VjpArgs& a) {
  return {b.mul(a.in[0], b.scale(a.d_out[0], 2))};
}

// The reduced axes go last, the rest is a matrix.
Grads prod_vjp(Builder& b, const VjpArgs& a) {
  const Shape shape = b.shape(a.in[0]);
  const auto axes = reduced_axes(a.attrs, shape.size());
  std::vector<std::int64_t> perm, back(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (!std::binary_search(axes.begin(), axes.end(), static_cast<int>(i)))
      perm.push_back(static_cast<int>(i));
  perm.insert(perm.end(), axes.begin(), axes.end());
  for (std::size_t i = 0; i < perm.size(); ++i)
    back[static_cast<std::size_t>(perm[i])] = static_cast<std::int64_t>(i);
  const Dim groups = element_count(b.shape(a.out[0])), size = static_cast<Dim>(group_size(b, a));
  const ValueId x = b.emit("transpose", {a.in[0]}, {{"perm", perm}});
  const Shape moved = b.shape(x);
  const ValueId d =
      b.emit("prod_grad", {b.reshape(x, {groups, size}), b.reshape(a.d_out[0], {groups})});
  return {b.emit("transpose", {b.reshape(d, moved)}, {{"perm", back}})};
}

const Register r{
    {.name = "sum", .infer = infer_number, .bind = bind_reduce<SumOf, false>, .vjp = sum_vjp},
    {.name = "mean", .infer = infer_floating, .bind = bind_reduce<SumOf, true>, .vjp = mean_vjp},
    {.name = "prod", .infer = infer_number, .bind = bind_reduce<ProductOf, false>, .vjp = prod_vjp},
    {.name = "max",
     .infer = infer_extreme,
     .bind = bind_reduce<MaximumOf, false>,
     .vjp = extreme_vjp},
    {.name = "min",
     .infer = infer_extreme,
     .bind = bind_reduce<MinimumOf, false>,
     .vjp = extreme_vjp},
    {.name = "any", .infer = infer_bool, .bind = bind_reduce<MaximumOf, false>},
    {.name = "all", .infer = infer_bool, .bind = bind_reduce<AllOf, false>},
    {.name = "var", .infer = infer_floating, .bind = bind_var, .vjp = var_vjp},
    {.name = "logsumexp", .infer = infer_floating, .bind = bind_logsumexp, .vjp = logsumexp_vjp},
    {.name = "sum_squares",
     .infer = infer_sum_squares,
     .bind = bind_sum_squares,
     .vjp = sum_squares_vjp},
    {.name = "prod_grad", .infer = infer_prod_grad, .bind = bind_prod_grad},
};

}  // namespace
}  // namespace lamina
