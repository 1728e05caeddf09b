// Matrix products and factorisations.
#include <Eigen/QR>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/gemm_slices.h"
#include "ops/dense.h"
#include "ops/spectral.h"

namespace lamina {
namespace {

// ---- matmul(a [..., m, k], b [..., k, n]; transpose_a, transpose_b): leading axes broadcast.

struct MatmulShape {
  Dim m, n, k;
  Shape batch;  // broadcast leading axes
  bool transpose_a, transpose_b;
};

Shape leading(const Shape& shape, std::size_t trailing) {
  return Shape(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(trailing));
}

MatmulShape matmul_shape(std::span<const Spec> in, const Attrs& attrs) {
  const Shape &a = in[0].shape, &b = in[1].shape;
  if (a.size() < 2 || b.size() < 2) shape_error("both operands need at least two axes");
  MatmulShape s;
  s.transpose_a = attr_bool(attrs, "transpose_a", false);
  s.transpose_b = attr_bool(attrs, "transpose_b", false);
  const Dim a_rows = a[a.size() - 2], a_columns = a[a.size() - 1];
  const Dim b_rows = b[b.size() - 2], b_columns = b[b.size() - 1];
  s.m = s.transpose_a ? a_columns : a_rows;
  s.n = s.transpose_b ? b_rows : b_columns;
  const Dim ka = s.transpose_a ? a_rows : a_columns, kb = s.transpose_b ? b_columns : b_rows;
  s.k = dim_merge(ka, kb);
  if (s.k == -2)
    shape_error("the inner sizes differ: " + std::to_string(ka) + " and " + std::to_string(kb));
  s.batch = broadcast(leading(a, 2), leading(b, 2));
  return s;
}

std::vector<Spec> infer_matmul(const InferArgs& a) {
  require_count(a, 2);
  require_floating(a[0], "a");
  require_same_dtype(a[0], a[1]);
  MatmulShape s = matmul_shape(a.in, a.attrs);
  s.batch.push_back(s.m);
  s.batch.push_back(s.n);
  return {{a[0].dtype, std::move(s.batch)}};
}

// Where the matrix of each batch index lies in an operand of `matrix` elements per matrix.
std::vector<Dim> batch_offsets(const Shape& operand, const Shape& batch, Dim matrix) {
  std::vector<Dim> offsets{0};
  Dim stride = matrix;
  Dim repeat = 1;  // offsets so far cover the axes to the right
  for (std::size_t i = batch.size(); i-- > 0;) {
    const std::size_t missing = batch.size() - operand.size();
    const Dim size = i < missing ? 1 : operand[i - missing];
    std::vector<Dim> wider;
    wider.reserve(static_cast<std::size_t>(repeat * batch[i]));
    for (Dim j = 0; j < batch[i]; ++j)
      for (const Dim o : offsets) wider.push_back(o + (size == 1 ? 0 : j * stride));
    offsets = std::move(wider);
    stride *= size;
    repeat *= batch[i];
  }
  return offsets;
}

template <class T>
Kernel matmul_kernel(const BindArgs& args, const MatmulShape& s, Dim count) {
  if (count == 0) return [](const Run&) {};
  const Dim m = s.m, n = s.n, k = s.k;
  const Dim a_row = s.transpose_a ? 1 : k, a_k = s.transpose_a ? m : 1;
  const Dim b_k = s.transpose_b ? 1 : n, b_col = s.transpose_b ? k : 1;
  if (count == 1 && s.transpose_a && !s.transpose_b && slices_of(m, n, k) > 1)
    return [=](const Run& r) { gemm_slices<T>(m, n, k, r.in<T>(0), r.in<T>(1), r.out<T>(0)); };
  const Shape a_batch = leading(args.in[0].shape, 2), b_batch = leading(args.in[1].shape, 2);
  if (element_count(b_batch) == 1 && (count == 1 || !s.transpose_a)) {
    // One b for all: the leading axes of a are more rows.
    const Dim rows = m * count;
    return [=](const Run& r) {
      gemm<T>(rows, n, k, r.in<T>(0), a_row, a_k, r.in<T>(1), b_k, b_col, r.out<T>(0), n, {});
    };
  }
  const std::vector<Dim> a_at = batch_offsets(a_batch, s.batch, m * k);
  const std::vector<Dim> b_at = batch_offsets(b_batch, s.batch, k * n);
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  if (work >= 1e6)
    return [=](const Run& r) {
      for (Dim i = 0; i < count; ++i)
        gemm<T>(m, n, k, r.in<T>(0) + a_at[i], a_row, a_k, r.in<T>(1) + b_at[i], b_k, b_col,
                r.out<T>(0) + i * m * n, n, {});
    };
  const Dim grain = static_cast<Dim>(5e5 / (work + 1)) + 1;
  return [=](const Run& r) {
    parallel_for(count, grain, [&](Dim begin, Dim end) {
      for (Dim i = begin; i < end; ++i)
        gemm_serial<T>(m, n, k, r.in<T>(0) + a_at[i], a_row, a_k, r.in<T>(1) + b_at[i], b_k, b_col,
                       r.out<T>(0) + i * m * n, n, {});
    });
  };
}

Bound bind_matmul(const BindArgs& a) {
  const MatmulShape s = matmul_shape(a.in, a.attrs);
  const Dim count = element_count(s.batch);
  Bound bound;
  bound.flops = 2.0 * static_cast<double>(count) * static_cast<double>(s.m) *
                static_cast<double>(s.n) * static_cast<double>(s.k);
  bound.run = with_float(a.in[0].dtype,
                         [&](auto tag) { return matmul_kernel<decltype(tag)>(a, s, count); });
  return bound;
}

// ---- matmul_relu_grad(a, b, y; transpose_a, transpose_b, scale) = relu_grad(y, matmul(a, b) *
// scale) for matrices a and b; y, and with it the result, may have other axes than the product.

std::vector<Spec> infer_matmul_relu_grad(const InferArgs& a) {
  require_count(a, 3);
  require_rank(a[0], 2, "a");
  require_rank(a[1], 2, "b");
  require_same_dtype(a[0], a[2]);
  const std::vector<Spec> product = infer_matmul({a.in.first(2), a.attrs});
  if (element_count(product[0].shape) != element_count(a[2].shape))
    shape_error("y must have as many elements as the product " + to_string(product[0].shape));
  return {a[2]};
}

Bound bind_matmul_relu_grad(const BindArgs& a) {
  const MatmulShape s = matmul_shape(a.in.first(2), a.attrs);
  Bound bound;
  bound.flops =
      2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    const Dim a_row = s.transpose_a ? 1 : s.k, a_k = s.transpose_a ? s.m : 1;
    const Dim b_k = s.transpose_b ? 1 : s.n, b_col = s.transpose_b ? s.k : 1;
    const T scale = static_cast<T>(attr_real(a.attrs, "scale", 1));
    return [=, m = s.m, n = s.n, k = s.k](const Run& r) {
      Epilogue<T> e;
      e.gate = r.in<T>(2);
      e.scale = scale;
      gemm<T>(m, n, k, r.in<T>(0), a_row, a_k, r.in<T>(1), b_k, b_col, r.out<T>(0), n, e);
    };
  });
  return bound;
}

ValueId emit_matmul(Builder& b, ValueId x, ValueId y, bool transpose_x, bool transpose_y) {
  return b.emit("matmul", {x, y}, {{"transpose_a", transpose_x}, {"transpose_b", transpose_y}});
}

// [..., n] as [rows, n].
ValueId as_rows(Builder& b, ValueId x) {
  const Shape shape = b.shape(x);
  return b.reshape(x, {dim_product(std::span(shape).first(shape.size() - 1)), shape.back()});
}

Grads vjp_matmul(Builder& b, const VjpArgs& v) {
  const bool ta = attr_bool(v.attrs, "transpose_a", false);
  const bool tb = attr_bool(v.attrs, "transpose_b", false);
  const ValueId x = v.in[0], y = v.in[1], d = v.d_out[0];
  Grads grads(2, kNoValue);
  if (v.wanted[0]) {
    const ValueId dx = ta ? emit_matmul(b, y, d, tb, true) : emit_matmul(b, d, y, false, !tb);
    grads[0] = b.sum_to(dx, Shape(b.shape(x)));
  }
  if (v.wanted[1]) {
    // One matrix for a whole batch: the sum over the batch is part of the product's own sum.
    const bool flat = b.shape(y).size() == 2 && b.shape(x).size() > 2 && !ta;
    const ValueId x2 = flat ? as_rows(b, x) : x, d2 = flat ? as_rows(b, d) : d;
    const ValueId dy = tb ? emit_matmul(b, d2, x2, true, ta) : emit_matmul(b, x2, d2, !ta, false);
    grads[1] = b.sum_to(dy, Shape(b.shape(y)));
  }
  return grads;
}

// ---- dense(x [..., k], w [k, n], optional bias [n]; activation): one product with its epilogue.

std::vector<Spec> infer_dense(const InferArgs& a) {
  require_rank(a[1], 2, "w");
  if (const std::int64_t slices = attr_int(a.attrs, "slices", 1);
      slices != 1 && slices != 2 && slices != 4)
    throw Error("slices must be 1, 2 or 4, got " + std::to_string(slices));
  return infer_dense_result(a, a[1].shape[0], a[1].shape[1]);
}

Bound bind_dense(const BindArgs& a) {
  const Dim k = a.in[1].shape[0], n = a.in[1].shape[1];
  const Shape& x = a.in[0].shape;
  const Dim m = dim_product(std::span(x).first(x.size() - 1));
  const Activation activation = activation_of(a.attrs);
  const bool has_bias = a.in.size() == 3;
  const Dim slices = attr_int(a.attrs, "slices", 1);
  Bound bound;
  bound.flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& r) {
      Epilogue<T> e;
      e.bias = has_bias ? r.in<T>(2) : nullptr;
      e.activation = activation;
      gemm_in_slices<T>(slices, m, n, k, r.in<T>(0), k, Dim{1}, r.in<T>(1), n, Dim{1}, r.out<T>(0),
                        e);
    };
  });
  return bound;
}

Grads vjp_dense(Builder& b, const VjpArgs& v) {
  const std::string activation = attr_str(v.attrs, "activation", "linear");
  const ValueId x = v.in[0], w = v.in[1];
  ValueId dz = v.d_out[0];
  if (activation != "linear") dz = b.emit(activation + "_grad", {v.out[0], dz});
  const ValueId rows = as_rows(b, dz);
  Grads grads(v.in.size(), kNoValue);
  if (v.wanted[0]) {
    const ValueId dx = emit_matmul(b, rows, w, false, true);
    grads[0] = b.reshape(dx, Shape(b.shape(x)));
  }
  if (v.wanted[1]) grads[1] = emit_matmul(b, as_rows(b, x), rows, true, false);
  if (v.in.size() == 3 && v.wanted[2]) grads[2] = b.sum_to(rows, Shape(b.shape(v.in[2])));
  return grads;
}

// ---- qr(a [..., m, n]; mode): q r = a with orthonormal columns of q, r upper triangular.

struct QrShape {
  Dim m, n, inner;  // inner: columns of q and rows of r
};
QrShape qr_shape(const Spec& a, const Attrs& attrs) {
  if (a.shape.size() < 2) shape_error("a needs at least two axes");
  const std::string mode = attr_str(attrs, "mode", "reduced");
  if (mode != "reduced" && mode != "complete")
    throw Error("mode '" + mode + "' is neither 'reduced' nor 'complete'");
  const Dim m = a.shape[a.shape.size() - 2], n = a.shape.back();
  const bool known = m != kUnknown && n != kUnknown;
  return {m, n, mode == "complete" ? m : known ? std::min(m, n) : kUnknown};
}

std::vector<Spec> infer_qr(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "a");
  const QrShape s = qr_shape(a[0], a.attrs);
  Shape q = a[0].shape, r = a[0].shape;
  q.back() = s.inner;
  r[r.size() - 2] = s.inner;
  return {{a[0].dtype, std::move(q)}, {a[0].dtype, std::move(r)}};
}

// Used by initializers, not by training steps: Eigen's own temporaries do not matter.
template <class T>
void factorise(const T* a, T* q, T* r, const QrShape& s) {
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::HouseholderQR<Matrix> qr(Eigen::Map<const Matrix>(a, s.m, s.n));
  if (q != nullptr)
    Eigen::Map<Matrix>(q, s.m, s.inner) = qr.householderQ() * Matrix::Identity(s.m, s.inner);
  if (r != nullptr)
    Eigen::Map<Matrix>(r, s.inner, s.n) =
        Matrix(qr.matrixQR().template triangularView<Eigen::Upper>()).topRows(s.inner);
}

Bound bind_qr(const BindArgs& a) {
  const QrShape s = qr_shape(a.in[0], a.attrs);
  const Dim count = element_count(leading(a.in[0].shape, 2));
  Bound bound;
  bound.flops = 4.0 * static_cast<double>(count) * static_cast<double>(s.m) *
                static_cast<double>(s.n) * static_cast<double>(s.inner);
  bound.run = with_float(a.in[0].dtype, [&](auto tag) -> Kernel {
    using T = decltype(tag);
    return [=](const Run& run) {
      T* const q = run.out<T>(0);
      T* const r = run.out<T>(1);
      for (Dim i = 0; i < count; ++i)
        factorise<T>(run.in<T>(0) + i * s.m * s.n, q == nullptr ? q : q + i * s.m * s.inner,
                     r == nullptr ? r : r + i * s.inner * s.n, s);
    };
  });
  return bound;
}

const Register ops{
    {.name = "matmul", .infer = infer_matmul, .bind = bind_matmul, .vjp = vjp_matmul},
    {.name = "matmul_relu_grad", .infer = infer_matmul_relu_grad, .bind = bind_matmul_relu_grad},
    {.name = "dense",
     .traits = kEpilogue,
     .infer = infer_dense,
     .bind = bind_dense,
     .vjp = vjp_dense},
    {.name = "qr", .infer = infer_qr, .bind = bind_qr, .vjp = vjp_qr},
};

}  // namespace

std::vector<Spec> infer_dense_result(const InferArgs& a, Dim rows, Dim columns) {
  if (a.in.size() != 3) require_count(a, 2);
  require_floating(a[0], "x");
  for (std::size_t i = 1; i < a.in.size(); ++i) require_same_dtype(a[0], a[i]);
  if (a[0].shape.empty()) shape_error("x needs at least one axis");
  const Dim k = a[0].shape.back();
  if (dim_merge(k, rows) == -2)
    shape_error("the last axis of x has size " + std::to_string(k) + ", the kernel has " +
                std::to_string(rows) + " rows");
  if (a.in.size() == 3) {
    require_rank(a[2], 1, "bias");
    if (dim_merge(a[2].shape[0], columns) == -2)
      shape_error("the bias has size " + std::to_string(a[2].shape[0]) + ", the kernel " +
                  std::to_string(columns) + " columns");
  }
  activation_of(a.attrs);
  Shape shape = a[0].shape;
  shape.back() = columns;
  return {{a[0].dtype, std::move(shape)}};
}

}  // namespace lamina
