// Decompositions into orthogonal factors: eigenvalues (eigh, eig), singular values, and the
// gradient rule of qr (whose record is in linalg.cpp).
#include "ops/spectral.h"

#include <Eigen/Eigenvalues>
#include <Eigen/SVD>

#include "ops/factor.h"

namespace lamina {
namespace {

// Computed in double whatever the dtype: it costs little beside what it saves in accuracy, and in
// instantiations of Eigen's largest templates.
using Matrix = Eigen::MatrixXd;
template <class T>
using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
struct Store {  // writes the i-th matrix of an output, if anyone reads it
  const Run& r;
  Dim i;
  void operator()(std::size_t output, const Matrix& value) const {
    if (T* out = r.out<T>(output))
      Eigen::Map<Rows<T>>(out + i * value.size(), value.rows(), value.cols()) =
          value.template cast<T>();
  }
};

using Body = void (*)(const Matrix& x, Dim i, Failure& failure,
                      const std::function<void(std::size_t, const Matrix&)>& store);

// body(matrix, its place, failure, store) for each matrix of the batch.
Bound bind_each(const BindArgs& a, double factor, Body body) {
  const Matrices m = matrices_of(a.in[0]);
  const double cost =
      factor * static_cast<double>(m.size()) * static_cast<double>(std::min(m.rows, m.columns));
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[=](const Run& r) {
              each_matrix(m.count, cost, [&](Dim i) {
                if (m.size() == 0) return;
                const Eigen::Map<const Rows<T>> x(r.in<T>(0) + i * m.size(), m.rows, m.columns);
                body(x.template cast<double>(), i, *r.failure, Store<T>{r, i});
              });
            },
            0, cost * static_cast<double>(m.count)};
  });
}

constexpr const char* kNoConvergence = "the decomposition of matrix %lld did not converge";

// 1 / (w_j - w_i) off the diagonal, 0 on it.
ValueId reciprocal_gaps(Builder& b, ValueId w) {
  const Dim n = b.shape(w).back();
  const ValueId gaps = b.sub(with_axes(b, w, 1, 0), with_axes(b, w, 0, 1));
  const ValueId mask = identity_mask(b, n);
  const ValueId one = b.scalar(b.dtype(w), 1), zero = b.scalar(b.dtype(w), 0);
  const ValueId inverse = b.emit("reciprocal", {b.emit("select", {mask, one, gaps})});
  return b.emit("select", {mask, zero, inverse});
}
ValueId on_diagonal(Builder& b, ValueId w) {
  const ValueId mask = identity_mask(b, b.shape(w).back());
  return b.emit("select", {mask, with_axes(b, w, 1, 0), b.scalar(b.dtype(w), 0)});
}

// ---- eigh(a) -> w ascending, v (columns) of (a + a^T) / 2.
std::vector<Spec> infer_eigh(const InferArgs& a) {
  require_count(a, 1);
  require_square(a[0], "a");
  return {{a[0].dtype, with_tail(a[0], {a[0].shape.back()})}, a[0]};
}
Bound bind_eigh(const BindArgs& a) {
  return bind_each(a, 9, [](const Matrix& x, Dim i, Failure& failure, const auto& store) {
    const Eigen::SelfAdjointEigenSolver<Matrix> solver((x + x.transpose()) * 0.5);
    if (solver.info() != Eigen::Success) failure.note(kNoConvergence, i);
    store(0, solver.eigenvalues());
    store(1, solver.eigenvectors());
  });
}
Grads vjp_eigh(Builder& b, const VjpArgs& v) {
  const ValueId w = v.out[0], vectors = v.out[1];
  ValueId inner = kNoValue;
  if (v.d_out[0] != kNoValue) inner = on_diagonal(b, v.d_out[0]);
  if (v.d_out[1] != kNoValue)
    inner = sum_or(b, inner,
                   b.mul(reciprocal_gaps(b, w), product(b, vectors, v.d_out[1], true, false)));
  if (inner == kNoValue) return {kNoValue};
  const ValueId d = product(b, product(b, vectors, inner), vectors, false, true);
  return {b.scale(b.add(d, transposed(b, d)), 0.5)};
}

// ---- eig(a) -> real and imaginary parts of w, of v.
std::vector<Spec> infer_eig(const InferArgs& a) {
  std::vector<Spec> out = infer_eigh(a);
  return {out[0], out[0], out[1], out[1]};
}
Bound bind_eig(const BindArgs& a) {
  return bind_each(a, 25, [](const Matrix& x, Dim i, Failure& failure, const auto& store) {
    const Eigen::EigenSolver<Matrix> solver(x);
    if (solver.info() != Eigen::Success) {
      failure.note(kNoConvergence, i);
      return;
    }
    const auto values = solver.eigenvalues();
    store(0, Matrix(values.real()));
    store(1, Matrix(values.imag()));
    const auto vectors = solver.eigenvectors();
    store(2, Matrix(vectors.real()));
    store(3, Matrix(vectors.imag()));
  });
}

// ---- svd(a [..., m, n]; full_matrices) -> u, s descending, v^T
std::vector<Spec> infer_svd(const InferArgs& a) {
  require_count(a, 1);
  require_matrices(a[0], "a");
  const Matrices m = matrices_of(a[0]);
  const Dim k = smaller(m.rows, m.columns);
  const bool full = attr_bool(a.attrs, "full_matrices", false);
  if (full && (m.rows == 0) != (m.columns == 0))
    shape_error("an empty matrix has no full factors, got shape " + to_string(a[0].shape));
  const DType t = a[0].dtype;
  return {{t, with_tail(a[0], {m.rows, full ? m.rows : k})},
          {t, with_tail(a[0], {k})},
          {t, with_tail(a[0], {full ? m.columns : k, m.columns})}};
}
template <unsigned kOptions>
void decompose(const Matrix& x, Dim i, Failure& failure,
               const std::function<void(std::size_t, const Matrix&)>& store) {
  if (!x.allFinite()) {
    failure.note("matrix %lld has elements that are not finite", i);
    return;
  }
  const Eigen::BDCSVD<Matrix> svd(x, kOptions);
  store(0, svd.matrixU());
  store(1, svd.singularValues());
  store(2, svd.matrixV().transpose());
}
Bound bind_svd(const BindArgs& a) {
  const bool full = attr_bool(a.attrs, "full_matrices", false);
  return bind_each(a, 20,
                   full ? decompose<Eigen::ComputeFullU | Eigen::ComputeFullV>
                        : decompose<Eigen::ComputeThinU | Eigen::ComputeThinV>);
}

// x minus its projection on the orthonormal columns of q.
ValueId outside(Builder& b, ValueId q, ValueId x) {
  return b.sub(x, product(b, q, product(b, q, x, true, false)));
}
// f * (q^T d - d^T q)
ValueId turning(Builder& b, ValueId f, ValueId q, ValueId d) {
  const ValueId p = product(b, q, d, true, false);
  return b.mul(f, b.sub(p, transposed(b, p)));
}
Grads vjp_svd(Builder& b, const VjpArgs& v) {
  const ValueId u = v.out[0], s = v.out[1], vt = v.out[2];
  const ValueId du = v.d_out[0], ds = v.d_out[1], dvt = v.d_out[2];
  const Dim k = b.shape(s).back();
  if (b.shape(u).back() != k || b.shape(vt)[b.shape(vt).size() - 2] != k) {
    if (du != kNoValue || dvt != kNoValue)
      throw Error("svd: the gradient of u and v exists with full_matrices=False only");
    if (ds == kNoValue) return {kNoValue};
    const std::vector<ValueId> thin = b.emit_all("svd", {v.in[0]}, {{"full_matrices", false}});
    return {product(b, b.mul(thin[0], with_axes(b, ds, 1, 0)), thin[2])};
  }
  const ValueId row_s = with_axes(b, s, 1, 0), column_s = with_axes(b, s, 0, 1);
  ValueId inner = ds == kNoValue ? kNoValue : on_diagonal(b, ds);
  ValueId d = kNoValue;
  const bool turns = du != kNoValue || dvt != kNoValue;
  const ValueId f = turns ? reciprocal_gaps(b, b.emit("square", {s})) : kNoValue;
  if (du != kNoValue) {
    inner = sum_or(b, inner, b.mul(turning(b, f, u, du), row_s));
    d = sum_or(b, d, product(b, b.div(outside(b, u, du), row_s), vt));
  }
  if (dvt != kNoValue) {
    const ValueId right = transposed(b, vt), dv = transposed(b, dvt);
    inner = sum_or(b, inner, b.mul(column_s, turning(b, f, right, dv)));
    d = sum_or(b, d, product(b, b.div(u, row_s), transposed(b, outside(b, right, dv))));
  }
  if (inner != kNoValue) d = sum_or(b, d, product(b, product(b, u, inner), vt));
  return {d};
}

const Register ops{
    {.name = "eigh", .infer = infer_eigh, .bind = bind_eigh, .vjp = vjp_eigh},
    {.name = "eig", .infer = infer_eig, .bind = bind_eig},
    {.name = "svd", .infer = infer_svd, .bind = bind_svd, .vjp = vjp_svd},
};

}  // namespace

Grads vjp_qr(Builder& b, const VjpArgs& v) {
  const ValueId q = v.out[0], r = v.out[1];
  const Shape shape = b.shape(r);
  if (shape[shape.size() - 2] != shape.back() || b.shape(q).back() != shape.back())
    throw Error("qr: the gradient exists in reduced mode for at least as many rows as columns");
  ValueId m = kNoValue;
  if (v.d_out[1] != kNoValue) m = product(b, r, v.d_out[1], false, true);
  if (v.d_out[0] != kNoValue) m = sum_or(b, m, b.neg(product(b, v.d_out[0], q, true, false)));
  if (m == kNoValue) return {kNoValue};
  const ValueId symmetric = b.add(triangle(b, m, true), transposed(b, triangle(b, m, true, -1)));
  const ValueId d = sum_or(b, product(b, q, symmetric), v.d_out[0]);
  // d r^-T: its transpose solves r x = d^T.
  const ValueId x =
      b.emit("solve_triangular", {r, transposed(b, d)}, {{"lower", false}, {"transpose", false}});
  return {transposed(b, x)};
}

}  // namespace lamina
