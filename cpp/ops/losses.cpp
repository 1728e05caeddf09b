// Cross entropies of logits, stable for any logits, each as one op.
//
// The gradient rules ask for softmax(logits) or sigmoid(logits) as a node of its own: a model that
// ends in that activation has computed it already, and equal nodes are merged.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/softmax.h"
#include "ops/elementwise.h"

namespace lamina {
namespace {

constexpr Dim kGrain = 16384;  // elements a chunk has at least
constexpr const char* kBadLabel = "label %lld is out of range";

// Rows of logits: the shape without its last axis.
struct RowsView {
  Dim rows = 1, classes;
  explicit RowsView(const Shape& logits) : classes(logits.back()) {
    for (std::size_t i = 0; i + 1 < logits.size(); ++i) rows *= logits[i];
  }
  double flops(double each) const { return each * static_cast<double>(rows * classes); }
  Dim grain() const {  // whole vectors of rows
    const Dim rows_of_work = std::max<Dim>(1, kGrain / std::max<Dim>(1, classes));
    return (rows_of_work + 15) / 16 * 16;
  }
};

const Spec& require_logits(const Spec& spec, const char* operand) {
  require_floating(spec, operand);
  if (spec.shape.empty())
    shape_error(std::string(operand) + " must have shape (..., classes), got a scalar");
  if (spec.shape.back() == 0) shape_error(std::string(operand) + " must have at least one class");
  return spec;
}

// Joins what two operands know about one shape.
Shape merge_shapes(const Shape& a, const Shape& b, const char* what) {
  Shape merged = a;
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) {
    merged[i] = dim_merge(a[i], b[i]);
    same = merged[i] != -2;
  }
  if (!same) shape_error(std::string(what) + ", got " + to_string(a) + " and " + to_string(b));
  return merged;
}

Shape without_last(Shape shape) {
  shape.pop_back();
  return shape;
}
Shape with_last(Shape shape, Dim last) {
  shape.push_back(last);
  return shape;
}

Shape merge_dense(const InferArgs& a) {
  require_logits(a[0], "logits");
  require_same_dtype(a[0], a[1]);
  return merge_shapes(a[0].shape, a[1].shape, "logits and targets must have one shape");
}
Shape merge_sparse(const InferArgs& a) {
  require_logits(a[0], "logits");
  require_integer(a[1], "labels");
  const Shape rows = without_last(a[0].shape);
  return with_last(merge_shapes(rows, a[1].shape,
                                "labels must have the shape of the logits without "
                                "their last axis"),
                   a[0].shape.back());
}

// The last operand of a grad op: the gradient of every row's loss.
std::vector<Spec> with_row_gradient(const InferArgs& a, const Shape& logits) {
  require_count(a, 3);
  require_same_dtype(a[0], a[2]);
  merge_shapes(without_last(logits), a[2].shape, "the gradient must have one element a row");
  return {Spec{a[0].dtype, logits}};
}

std::vector<Spec> infer_dense(const InferArgs& a) {
  require_count(a, 2);
  return {Spec{a[0].dtype, without_last(merge_dense(a))}};
}
std::vector<Spec> infer_sparse(const InferArgs& a) {
  require_count(a, 2);
  return {Spec{a[0].dtype, without_last(merge_sparse(a))}};
}
std::vector<Spec> infer_dense_grad(const InferArgs& a) {
  return with_row_gradient(a, merge_dense(a));
}
std::vector<Spec> infer_sparse_grad(const InferArgs& a) {
  return with_row_gradient(a, merge_sparse(a));
}

// Losses of the rows [begin, end): of_row(row, offset, i) gives the parts of row i's loss; their
// logarithms are taken for a vector of rows at once.
template <class T, class OfRow>
void row_losses(const RowsView& v, Dim begin, Dim end, T* loss, const OfRow& of_row) {
  constexpr Dim kBlock = kLanes<T>;
  for (Dim first = begin; first < end; first += kBlock) {
    const Dim count = std::min(kBlock, end - first);
    T sum[kBlock], weight[kBlock], dot[kBlock];
    for (Dim k = 0; k < count; ++k) {
      const Dim i = first + k;
      const softmax::Row<T> row(v.classes, (end - i) * v.classes);
      const softmax::CrossEntropy<T> parts = of_row(row, i * v.classes, i);
      sum[k] = parts.sum;
      weight[k] = parts.weight;
      dot[k] = parts.dot;
    }
    apply<T>(
        loss + first, count, [](Vec<T> s, Vec<T> w, Vec<T> d) { return log(s) * w - d; }, sum,
        weight, dot);
  }
}

Bound bind_dense(const BindArgs& a) {
  const RowsView v(a.in[0].shape);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto run = [v](const Run& r) {
      const T *z = r.in<T>(0), *t = r.in<T>(1);
      parallel_for(v.rows, v.grain(), [&](Dim begin, Dim end) {
        row_losses<T>(v, begin, end, r.out<T>(0), [&](const auto& row, Dim at, Dim) {
          return softmax::cross_entropy(row, z + at, t + at);
        });
      });
    };
    return {.run = run, .flops = v.flops(25)};
  });
}

// The label, or 0 and a note when it is no class.
template <class Label>
Dim checked_label(Label label, Dim classes, Failure* failure) {
  const auto value = static_cast<Dim>(label);
  if (value >= 0 && value < classes) return value;
  failure->note(kBadLabel, value);
  return 0;
}

// f(tag of the floating type, tag of the label type).
template <class F>
Bound with_types(const BindArgs& a, const F& f) {
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    return with_index(a.in[1].dtype, [&](auto label_tag) -> Bound { return f(tag, label_tag); });
  });
}

Bound bind_sparse(const BindArgs& a) {
  const RowsView v(a.in[0].shape);
  return with_types(a, [&](auto tag, auto label_tag) -> Bound {
    using T = decltype(tag);
    using Label = decltype(label_tag);
    const auto run = [v](const Run& r) {
      const T* z = r.in<T>(0);
      const Label* labels = r.in<Label>(1);
      parallel_for(v.rows, v.grain(), [&](Dim begin, Dim end) {
        row_losses<T>(v, begin, end, r.out<T>(0), [&](const auto& row, Dim at, Dim i) {
          return softmax::sparse_cross_entropy(row, z + at,
                                               checked_label(labels[i], v.classes, r.failure));
        });
      });
    };
    return {.run = run, .flops = v.flops(25)};
  });
}

Bound bind_dense_grad(const BindArgs& a) {
  const RowsView v(a.in[0].shape);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto run = [v](const Run& r) {
      const T *p = r.in<T>(0), *t = r.in<T>(1), *d = r.in<T>(2);
      T* dz = r.out<T>(0);
      parallel_for(v.rows, v.grain(), [&](Dim begin, Dim end) {
        for (Dim i = begin; i < end; ++i) {
          const Dim at = i * v.classes;
          const softmax::Row<T> row(v.classes, (end - i) * v.classes);
          softmax::cross_entropy_backward(row, p + at, t + at, d[i], dz + at);
        }
      });
    };
    return {.run = run, .flops = v.flops(6)};
  });
}

Bound bind_sparse_grad(const BindArgs& a) {
  const RowsView v(a.in[0].shape);
  return with_types(a, [&](auto tag, auto label_tag) -> Bound {
    using T = decltype(tag);
    using Label = decltype(label_tag);
    const auto run = [v](const Run& r) {
      const T *p = r.in<T>(0), *d = r.in<T>(2);
      const Label* labels = r.in<Label>(1);
      T* dz = r.out<T>(0);
      parallel_for(v.rows, v.grain(), [&](Dim begin, Dim end) {
        for (Dim i = begin; i < end; ++i) {
          const Dim at = i * v.classes, label = checked_label(labels[i], v.classes, r.failure);
          const softmax::Row<T> row(v.classes, (end - i) * v.classes);
          softmax::sparse_cross_entropy_backward(row, p + at, label, d[i], dz + at);
        }
      });
    };
    return {.run = run, .flops = v.flops(4)};
  });
}

std::vector<std::pair<std::size_t, Dim>> label_ranges(const InferArgs& a) {
  return {{1, a[0].shape.back()}};
}

// The same node as the model's own softmax over the last axis: the two are merged.
ValueId emit_softmax(Builder& b, ValueId logits) {
  const auto last = static_cast<std::int64_t>(b.shape(logits).size()) - 1;
  return b.emit("softmax", {logits}, {{"axis", last}});
}

Grads vjp_dense(Builder& b, const VjpArgs& v) {
  const ValueId z = v.in[0], t = v.in[1], d = v.d_out[0];
  Grads grads(2, kNoValue);
  if (v.wanted[0]) grads[0] = b.emit("softmax_cross_entropy_grad", {emit_softmax(b, z), t, d});
  if (v.wanted[1]) {
    const ValueId column = b.reshape(d, with_last(b.shape(d), 1));
    grads[1] = b.neg(b.mul(b.emit("log_softmax", {z}), column));
  }
  return grads;
}

Grads vjp_sparse(Builder& b, const VjpArgs& v) {
  const ValueId p = emit_softmax(b, v.in[0]);
  return {b.emit("sparse_softmax_cross_entropy_grad", {p, v.in[1], v.d_out[0]}), kNoValue};
}

// ---- Sigmoid cross entropy: one element, one loss.
struct SigmoidCrossEntropy {
  static constexpr double kCost = 25;
  template <class V>
  V operator()(V z, V t) const {  // -t log p - (1 - t) log(1 - p)
    return (at_least(z, V{}) - z * t) + log1p(exp(-abs(z)));
  }
};
struct SigmoidCrossEntropyGrad {
  static constexpr double kCost = 2;
  template <class V>
  V operator()(V p, V t, V d) const {
    return (p - t) * d;
  }
};

std::vector<Spec> infer_sigmoid_grad(const InferArgs& a) {
  require_count(a, 3);
  require_floating(a[0], "p");
  require_same_dtype(a[0], a[1]);
  require_same_dtype(a[0], a[2]);
  return {Spec{a[0].dtype, broadcast(broadcast(a[0].shape, a[1].shape), a[2].shape)}};
}

Grads vjp_sigmoid(Builder& b, const VjpArgs& v) {
  const ValueId z = v.in[0], t = v.in[1], d = v.d_out[0];
  Grads grads(2, kNoValue);
  if (v.wanted[0]) {
    const ValueId p = b.emit("sigmoid", {z});
    grads[0] = sum_to_input(b, v, 0, b.emit("sigmoid_cross_entropy_grad", {p, t, d}));
  }
  if (v.wanted[1]) grads[1] = sum_to_input(b, v, 1, b.neg(b.mul(z, d)));
  return grads;
}

const Register registered{
    {.name = "softmax_cross_entropy", .infer = infer_dense, .bind = bind_dense, .vjp = vjp_dense},
    {.name = "sparse_softmax_cross_entropy",
     .infer = infer_sparse,
     .bind = bind_sparse,
     .vjp = vjp_sparse,
     .index_ranges = label_ranges},
    {.name = "softmax_cross_entropy_grad",
     .traits = kInPlace,
     .infer = infer_dense_grad,
     .bind = bind_dense_grad},
    {.name = "sparse_softmax_cross_entropy_grad",
     .traits = kInPlace,
     .infer = infer_sparse_grad,
     .bind = bind_sparse_grad,
     .index_ranges = label_ranges},
    floating_binary<SigmoidCrossEntropy>("sigmoid_cross_entropy", vjp_sigmoid),
    {.name = "sigmoid_cross_entropy_grad",
     .traits = kElementwise | kInPlace,
     .infer = infer_sigmoid_grad,
     .bind = bind_of<3, SigmoidCrossEntropyGrad, plain<SigmoidCrossEntropyGrad>>,
     .tile = tile_of<3, SigmoidCrossEntropyGrad, plain<SigmoidCrossEntropyGrad>>},
};

}  // namespace
}  // namespace lamina
