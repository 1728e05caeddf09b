// Square systems: cholesky, lu_factor, det, slogdet, inv, solve, solve_triangular. A matrix that
// cannot be inverted (or is not positive definite) fails the step with its place in the batch.
#include <Eigen/Cholesky>
#include <Eigen/LU>

#include "ops/factor.h"

namespace lamina {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
Eigen::Map<const Matrix<T>> view(const T* p, Dim rows, Dim columns) {
  return {p, rows, columns};
}
template <class T>
Eigen::Map<Matrix<T>> view(T* p, Dim rows, Dim columns) {
  return {p, rows, columns};
}

double cube(Dim n) { return static_cast<double>(n) * static_cast<double>(n) * n; }

constexpr const char* kSingular = "matrix %lld of the batch is singular";
constexpr const char* kNotPositive = "matrix %lld of the batch is not positive definite";

// A record of one square input: F(run, i, m) handles matrix i.
template <template <class> class F>
Bound bind_square(const BindArgs& a) {
  const Matrices m = matrices_of(a.in[0]);
  const double cost = cube(m.rows);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[=](const Run& r) { each_matrix(m.count, cost, [&](Dim i) { F<T>::run(r, i, m); }); },
            0, cost * static_cast<double>(m.count)};
  });
}

std::vector<Spec> infer_same(const InferArgs& a) {
  require_count(a, 1);
  require_square(a[0], "a");
  return {a[0]};
}

// ---- cholesky(a) -> lower triangular l with l l^T = (a + a^T) / 2.
template <class T>
struct Cholesky {
  static void run(const Run& r, Dim i, const Matrices& m) {
    const auto a = view(r.in<T>(0) + i * m.size(), m.rows, m.rows);
    const Eigen::LLT<Matrix<T>> llt((a + a.transpose()) * T(0.5));
    if (llt.info() != Eigen::Success) r.failure->note(kNotPositive, i);
    view(r.out<T>(0) + i * m.size(), m.rows, m.rows) = Matrix<T>(llt.matrixL());
  }
};
Grads vjp_cholesky(Builder& b, const VjpArgs& v) {
  const ValueId l = v.out[0];
  const ValueId p = product(b, l, v.d_out[0], true, false);
  const ValueId half = b.scale(b.add(triangle(b, p, true), triangle(b, p, true, -1)), 0.5);
  const Attrs transposed_solve{{"lower", true}, {"transpose", true}};
  const ValueId left = b.emit("solve_triangular", {l, half}, transposed_solve);
  const ValueId s = b.emit("solve_triangular", {l, transposed(b, left)}, transposed_solve);
  return {b.scale(b.add(s, transposed(b, s)), 0.5)};
}

// ---- lu_factor(a [..., m, n]) -> packed l and u, pivots int32 (row i was swapped with pivots[i]).
std::vector<Spec> infer_lu(const InferArgs& a) {
  require_count(a, 1);
  require_matrices(a[0], "a");
  const Matrices m = matrices_of(a[0]);
  return {a[0], {DType::i32, with_tail(a[0], {smaller(m.rows, m.columns)})}};
}
// Plain elimination with row exchanges: unlike Eigen's it takes rectangular matrices.
template <class T>
struct Lu {
  static void run(const Run& r, Dim i, const Matrices& m) {
    const Dim steps = std::min(m.rows, m.columns);
    auto lu = view(r.out<T>(0) + i * m.size(), m.rows, m.columns);
    lu = view(r.in<T>(0) + i * m.size(), m.rows, m.columns);
    std::int32_t* pivots = r.out<std::int32_t>(1);
    for (Dim k = 0; k < steps; ++k) {
      Dim best = 0;
      lu.col(k).tail(m.rows - k).cwiseAbs().maxCoeff(&best);
      best += k;
      if (pivots != nullptr) pivots[i * steps + k] = static_cast<std::int32_t>(best);
      if (best != k) lu.row(k).swap(lu.row(best));
      if (lu(k, k) == T{0}) continue;
      lu.col(k).tail(m.rows - k - 1) /= lu(k, k);
      lu.bottomRightCorner(m.rows - k - 1, m.columns - k - 1).noalias() -=
          lu.col(k).tail(m.rows - k - 1) * lu.row(k).tail(m.columns - k - 1);
    }
  }
};

// ---- det(a) and slogdet(a) -> sign, log(|det|)
std::vector<Spec> infer_det(const InferArgs& a) {
  require_count(a, 1);
  require_square(a[0], "a");
  return {{a[0].dtype, with_tail(a[0], {})}};
}
std::vector<Spec> infer_slogdet(const InferArgs& a) {
  std::vector<Spec> out = infer_det(a);
  out.push_back(out[0]);
  return out;
}
template <class T>
struct Det {
  static void run(const Run& r, Dim i, const Matrices& m) {
    r.out<T>(0)[i] = m.rows == 0
                         ? T{1}
                         : Matrix<T>(view(r.in<T>(0) + i * m.size(), m.rows, m.rows)).determinant();
  }
};
template <class T>
struct Slogdet {
  static void run(const Run& r, Dim i, const Matrices& m) {
    T sign = 1, logarithm = 0;
    if (m.rows > 0) {
      const Eigen::PartialPivLU<Matrix<T>> lu(view(r.in<T>(0) + i * m.size(), m.rows, m.rows));
      sign = static_cast<T>(lu.permutationP().determinant());
      for (Dim k = 0; k < m.rows; ++k) {
        const T u = lu.matrixLU()(k, k);
        sign = u == T{0} ? T{0} : u < T{0} ? -sign : sign;
        logarithm += std::log(std::abs(u));
      }
    }
    r.out<T>(0)[i] = sign;
    if (r.out<T>(1) != nullptr) r.out<T>(1)[i] = logarithm;
  }
};
// d inv(a)^T, scaled by one number per matrix.
ValueId scaled_inverse(Builder& b, ValueId a, ValueId d) {
  return b.mul(with_axes(b, d, 0, 2), transposed(b, b.emit("inv", {a})));
}
Grads vjp_det(Builder& b, const VjpArgs& v) {
  return {scaled_inverse(b, v.in[0], b.mul(v.d_out[0], v.out[0]))};
}
Grads vjp_slogdet(Builder& b, const VjpArgs& v) {
  if (v.d_out[1] == kNoValue) return {kNoValue};  // the sign is constant almost everywhere
  return {scaled_inverse(b, v.in[0], v.d_out[1])};
}

// ---- inv(a)
template <class T>
bool is_regular(const Eigen::PartialPivLU<Matrix<T>>& lu) {
  for (Dim k = 0; k < lu.matrixLU().rows(); ++k)
    if (lu.matrixLU()(k, k) == T{0}) return false;
  return true;
}
template <class T>
struct Inverse {
  static void run(const Run& r, Dim i, const Matrices& m) {
    if (m.rows == 0) return;
    const Eigen::PartialPivLU<Matrix<T>> lu(view(r.in<T>(0) + i * m.size(), m.rows, m.rows));
    if (!is_regular<T>(lu)) r.failure->note(kSingular, i);
    view(r.out<T>(0) + i * m.size(), m.rows, m.rows) = lu.inverse();
  }
};
Grads vjp_inv(Builder& b, const VjpArgs& v) {
  const ValueId y = v.out[0];
  return {b.neg(product(b, product(b, y, v.d_out[0], true, false), y, false, true))};
}

// ---- solve(a [..., n, n], b [..., n, k]; transpose): a x = b, or a^T x = b.
std::vector<Spec> infer_solve(const InferArgs& a) {
  require_count(a, 2);
  require_square(a[0], "a");
  require_matrices(a[1], "b");
  require_same_dtype(a[0], a[1]);
  const Shape &x = a[0].shape, &y = a[1].shape;
  bool fits = x.size() == y.size();
  for (std::size_t i = 0; fits && i + 1 < x.size(); ++i) fits = dim_merge(x[i], y[i]) != -2;
  if (!fits)
    shape_error("a and b must agree in all axes but the last, got " + to_string(x) + " and " +
                to_string(y));
  return {a[1]};
}
template <class Body>
Bound bind_pair(const BindArgs& a, const Body& body) {
  const Matrices m = matrices_of(a.in[0]), rhs = matrices_of(a.in[1]);
  const double cost = cube(m.rows) + static_cast<double>(m.size()) * rhs.columns;
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[=](const Run& r) {
              each_matrix(m.count, cost, [&](Dim i) {
                if (rhs.size() == 0) return;
                body(r, i, view(r.in<T>(0) + i * m.size(), m.rows, m.rows),
                     view(r.in<T>(1) + i * rhs.size(), rhs.rows, rhs.columns),
                     view(r.out<T>(0) + i * rhs.size(), rhs.rows, rhs.columns));
              });
            },
            0, cost * static_cast<double>(m.count)};
  });
}
Bound bind_solve(const BindArgs& a) {
  const bool transpose = attr_bool(a.attrs, "transpose", false);
  return bind_pair(a, [transpose](const Run& r, Dim i, const auto& x, const auto& y, auto out) {
    using T = typename std::decay_t<decltype(x)>::Scalar;
    const Eigen::PartialPivLU<Matrix<T>> lu(x);
    if (!is_regular<T>(lu)) r.failure->note(kSingular, i);
    if (transpose)
      out = lu.transpose().solve(y);
    else
      out = lu.solve(y);
  });
}
// The gradient of b solves the transposed system; that of a is its outer product with x.
Grads solve_rule(Builder& b, const VjpArgs& v, std::string_view op, Attrs attrs) {
  const bool transpose = attr_bool(attrs, "transpose", false);
  attrs["transpose"] = !transpose;
  const ValueId db = b.emit(op, {v.in[0], v.d_out[0]}, attrs);
  const ValueId da =
      transpose ? product(b, v.out[0], db, false, true) : product(b, db, v.out[0], false, true);
  return {b.neg(da), db};
}
Grads vjp_solve(Builder& b, const VjpArgs& v) { return solve_rule(b, v, "solve", v.attrs); }

// ---- solve_triangular(a, b; lower, transpose): only that half of a is read.
Bound bind_triangular(const BindArgs& a) {
  const bool transpose = attr_bool(a.attrs, "transpose", false);
  const bool lower = attr_bool(a.attrs, "lower", false);
  return bind_pair(a, [=](const Run& r, Dim i, const auto& x, const auto& y, auto out) {
    if ((x.diagonal().array() == 0).any()) r.failure->note(kSingular, i);
    out = y;
    if (lower && transpose)
      x.template triangularView<Eigen::Lower>().transpose().solveInPlace(out);
    else if (lower)
      x.template triangularView<Eigen::Lower>().solveInPlace(out);
    else if (transpose)
      x.template triangularView<Eigen::Upper>().transpose().solveInPlace(out);
    else
      x.template triangularView<Eigen::Upper>().solveInPlace(out);
  });
}
Grads vjp_triangular(Builder& b, const VjpArgs& v) {
  Grads d = solve_rule(b, v, "solve_triangular", v.attrs);
  d[0] = triangle(b, d[0], attr_bool(v.attrs, "lower", false));
  return d;
}

const Register ops{
    {.name = "cholesky", .infer = infer_same, .bind = bind_square<Cholesky>, .vjp = vjp_cholesky},
    {.name = "lu_factor", .infer = infer_lu, .bind = bind_square<Lu>},
    {.name = "det", .infer = infer_det, .bind = bind_square<Det>, .vjp = vjp_det},
    {.name = "slogdet", .infer = infer_slogdet, .bind = bind_square<Slogdet>, .vjp = vjp_slogdet},
    {.name = "inv", .infer = infer_same, .bind = bind_square<Inverse>, .vjp = vjp_inv},
    {.name = "solve", .infer = infer_solve, .bind = bind_solve, .vjp = vjp_solve},
    {.name = "solve_triangular",
     .infer = infer_solve,
     .bind = bind_triangular,
     .vjp = vjp_triangular},
};

}  // namespace
}  // namespace lamina
