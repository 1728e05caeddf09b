// Ops that move elements without computing: one input, another shape or order.
#include "ops/layout.h"

#include <algorithm>
#include <cstring>

#include "ops/elementwise.h"

namespace lamina {
namespace {

std::size_t index(int axis) { return static_cast<std::size_t>(axis); }

// ---- reshape(x; shape): one size may be -1.
std::vector<Spec> infer_reshape(const InferArgs& a) {
  require_count(a, 1);
  Shape to = attr_ints(a.attrs, "shape");
  const auto open = std::find(to.begin(), to.end(), -1);
  for (const Dim d : to)
    if (d < -1)
      shape_error("cannot reshape to " + to_string(Attr(to)) + ": sizes are not negative");
  if (!is_known(a[0].shape)) return {{a[0].dtype, to}};  // open sizes stay unknown
  if (open != to.end() && std::find(open + 1, to.end(), -1) != to.end())
    shape_error("cannot reshape to " + to_string(Attr(to)) + ": only one size may be -1");
  const Dim count = element_count(a[0].shape);
  Dim known = 1;
  for (const Dim d : to) known = dim_mul(known, d == -1 ? 1 : d);
  const bool fits = open == to.end() ? known == count : known != 0 && count % known == 0;
  if (!fits)
    shape_error("cannot reshape " + std::to_string(count) + " elements of shape " +
                to_string(a[0].shape) + " to " + to_string(Attr(to)));
  if (open != to.end()) *open = count / known;
  return {{a[0].dtype, to}};
}
Bound bind_reshape(const BindArgs& a) {
  return {[bytes = byte_size(a.in[0])](const Run& r) {
            if (r.ins[0] != r.outs[0]) std::memcpy(r.outs[0], r.ins[0], bytes);
          },
          0, static_cast<double>(element_count(a.in[0].shape))};
}
Grads reshape_vjp(Builder& b, const VjpArgs& a) {
  return {b.reshape(a.d_out[0], Shape(b.shape(a.in[0])))};
}

// ---- transpose(x; perm): axes reversed by default.
std::vector<int> permutation(const Attrs& attrs, std::size_t rank) {
  std::vector<std::int64_t> reversed;
  for (std::size_t i = rank; i-- > 0;) reversed.push_back(static_cast<std::int64_t>(i));
  const auto given = attr_ints(attrs, "perm", reversed);
  if (given.size() != rank)
    shape_error("axes " + to_string(Attr(given)) + " do not permute the axes of rank " +
                std::to_string(rank));
  std::vector<int> perm;
  for (const auto axis : given) perm.push_back(normalize_axis(axis, rank));
  normalize_axes(given, rank);  // no axis twice
  return perm;
}
std::vector<Spec> infer_transpose(const InferArgs& a) {
  require_count(a, 1);
  Shape out;
  for (const int p : permutation(a.attrs, a[0].shape.size())) out.push_back(a[0].shape[index(p)]);
  return {{a[0].dtype, out}};
}
Bound bind_transpose_op(const BindArgs& a) {
  return bind_transpose(a.in[0], permutation(a.attrs, a.in[0].shape.size()));
}
Grads transpose_vjp(Builder& b, const VjpArgs& a) {
  const auto perm = permutation(a.attrs, b.shape(a.in[0]).size());
  std::vector<std::int64_t> back(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i) back[index(perm[i])] = static_cast<std::int64_t>(i);
  return {b.emit("transpose", {a.d_out[0]}, {{"perm", back}})};
}

// ---- broadcast_to(x; shape): elementwise, so that chains read the small operand instead.
std::vector<Spec> infer_broadcast_to(const InferArgs& a) {
  require_count(a, 1);
  const Shape to = attr_ints(a.attrs, "shape");
  const Shape merged = broadcast(a[0].shape, to);
  for (std::size_t i = 0; i < merged.size(); ++i)
    if (merged.size() != to.size() || (merged[i] != to[i] && to[i] != kUnknown))
      shape_error("shape " + to_string(a[0].shape) + " cannot be broadcast to " + to_string(to));
  return {{a[0].dtype, merged}};
}
Tile copy_tile(const BindArgs& a) {
  return [item = item_size(a.out[0].dtype)](void* const* ins, void* out, std::int64_t n) {
    if (ins[0] != out) std::memcpy(out, ins[0], static_cast<std::size_t>(n) * item);
  };
}
Bound bind_broadcast_to(const BindArgs& a) { return bind_elementwise(a, copy_tile(a), 1); }
Grads broadcast_to_vjp(Builder& b, const VjpArgs& a) { return {sum_to_input(b, a, 0, a.d_out[0])}; }

// ---- flip(x; axes)
std::vector<Spec> infer_flip(const InferArgs& a) {
  require_count(a, 1);
  normalize_axes(attr_ints(a.attrs, "axes"), a[0].shape.size());
  return {a[0]};
}
Bound bind_flip(const BindArgs& a) {
  const Shape& shape = a.in[0].shape;
  const auto flipped = normalize_axes(attr_ints(a.attrs, "axes"), shape.size());
  const auto steps = contiguous_steps(shape);
  std::vector<Stride> axes;
  Dim offset = 0;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool back = std::binary_search(flipped.begin(), flipped.end(), static_cast<int>(i));
    axes.push_back({shape[i], back ? -steps[i] : steps[i]});
    if (back) offset += (shape[i] - 1) * steps[i];
  }
  return bind_strided_read(a.in[0].dtype, axes, offset);
}
Grads flip_vjp(Builder& b, const VjpArgs& a) { return {b.emit("flip", {a.d_out[0]}, a.attrs)}; }

// ---- repeat(x; repeats, axis): each element `repeats` times in a row.
std::vector<Spec> infer_repeat(const InferArgs& a) {
  require_count(a, 1);
  const Dim repeats = attr_int(a.attrs, "repeats");
  if (repeats < 0 || repeats > (Dim{1} << 40))
    throw Error("repeats must be between 0 and 2^40, got " + std::to_string(repeats));
  Spec out = a[0];
  Dim& size = out.shape[index(normalize_axis(attr_int(a.attrs, "axis"), out.shape.size()))];
  size = dim_mul(size, repeats);
  return {out};
}
Bound bind_repeat(const BindArgs& a) {
  const Shape& shape = a.in[0].shape;
  const int axis = normalize_axis(attr_int(a.attrs, "axis"), shape.size());
  const auto steps = contiguous_steps(shape);
  std::vector<Stride> axes;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    axes.push_back({shape[i], steps[i]});
    if (i == index(axis)) axes.push_back({attr_int(a.attrs, "repeats"), 0});
  }
  return bind_strided_read(a.in[0].dtype, axes, 0);
}
Grads repeat_vjp(Builder& b, const VjpArgs& a) {
  Shape apart = b.shape(a.in[0]);
  const int axis = normalize_axis(attr_int(a.attrs, "axis"), apart.size());
  apart.insert(apart.begin() + axis + 1, attr_int(a.attrs, "repeats"));
  const ValueId d = b.reshape(a.d_out[0], apart);
  return {b.emit("sum", {d}, {{"axes", std::vector<std::int64_t>{axis + 1}}})};
}

// ---- slice(x; begin, end, strides), slice_scatter(dy; shape, begin, end, strides)
struct Slices {
  std::vector<std::int64_t> begin, end, strides;
  explicit Slices(const Attrs& attrs)
      : begin(attr_ints(attrs, "begin")),
        end(attr_ints(attrs, "end")),
        strides(attr_ints(attrs, "strides", std::vector<std::int64_t>(begin.size(), 1))) {}

  Shape shape_of(const Shape& in) const {
    if (begin.size() != in.size() || end.size() != in.size() || strides.size() != in.size())
      shape_error("begin, end and strides must have one entry for each of the " +
                  std::to_string(in.size()) + " axes");
    Shape out;
    for (std::size_t i = 0; i < in.size(); ++i) out.push_back(size_of(i, in[i]));
    return out;
  }
  std::vector<Stride> walk(const Shape& in) const {
    const Shape out = shape_of(in);
    const auto steps = contiguous_steps(in);
    std::vector<Stride> axes;
    for (std::size_t i = 0; i < in.size(); ++i)
      axes.push_back({out[i], out[i] > 1 ? steps[i] * strides[i] : 0});
    return axes;
  }
  Dim offset(const Shape& in) const {
    const Shape out = shape_of(in);
    const auto steps = contiguous_steps(in);
    Dim at = 0;
    for (std::size_t i = 0; i < in.size(); ++i) at += out[i] > 0 ? begin[i] * steps[i] : 0;
    return at;
  }

 private:
  Dim size_of(std::size_t i, Dim in) const {
    const Dim b = begin[i], e = end[i], s = strides[i];
    if (s == 0) throw Error("the stride of axis " + std::to_string(i) + " must not be 0");
    if (in == kUnknown) return s == 1 && b >= 0 && e == b + 1 ? 1 : kUnknown;
    const Dim size = s > 0 ? (e - b + s - 1) / s : (b - e - s - 1) / -s;
    if (size <= 0) return 0;
    const Dim last = b + (size - 1) * s;
    if (std::min(b, last) < 0 || std::max(b, last) >= in)
      shape_error(std::to_string(b) + ":" + std::to_string(e) + ":" + std::to_string(s) +
                  " reaches beyond axis " + std::to_string(i) + " of size " + std::to_string(in));
    return size;
  }
};
std::vector<Spec> infer_slice(const InferArgs& a) {
  require_count(a, 1);
  return {{a[0].dtype, Slices(a.attrs).shape_of(a[0].shape)}};
}
Bound bind_slice(const BindArgs& a) {
  const Slices s(a.attrs);
  Bound bound = bind_strided_read(a.in[0].dtype, s.walk(a.in[0].shape), s.offset(a.in[0].shape));
  bound.bytes_read = byte_size(a.out[0]);
  return bound;
}
Grads slice_vjp(Builder& b, const VjpArgs& a) {
  Attrs attrs = a.attrs;
  attrs["shape"] = Shape(b.shape(a.in[0]));
  return {b.emit("slice_scatter", {a.d_out[0]}, attrs)};
}
std::vector<Spec> infer_slice_scatter(const InferArgs& a) {
  require_count(a, 1);
  const Shape whole = attr_ints(a.attrs, "shape");
  const Shape part = Slices(a.attrs).shape_of(whole);
  bool fits = part.size() == a[0].shape.size();
  for (std::size_t i = 0; fits && i < part.size(); ++i)
    fits = dim_merge(part[i], a[0].shape[i]) != -2;
  if (!fits)
    shape_error("the slice has shape " + to_string(part) + ", not " + to_string(a[0].shape));
  return {{a[0].dtype, whole}};
}
Bound bind_slice_scatter(const BindArgs& a) {
  const Slices s(a.attrs);
  return bind_strided_write(a.out[0], s.walk(a.out[0].shape), s.offset(a.out[0].shape));
}
Grads slice_scatter_vjp(Builder& b, const VjpArgs& a) {
  Attrs attrs = a.attrs;
  attrs.erase("shape");
  return {b.emit("slice", {a.d_out[0]}, attrs)};
}

// Which diagonal; bounded so that a row or column may be added.
Dim diagonal_number(const Attrs& attrs) {
  constexpr Dim kMost = Dim{1} << 60;
  const Dim k = attr_int(attrs, "k", 0);
  if (k < -kMost || k > kMost) throw Error("k is too large: " + std::to_string(k));
  return k;
}

// ---- tril, triu(x; k): the last two axes, zero above or below the k-th diagonal.
std::vector<Spec> infer_triangle(const InferArgs& a) {
  require_count(a, 1);
  diagonal_number(a.attrs);
  if (a[0].shape.size() < 2)
    shape_error("needs at least two axes, got shape " + to_string(a[0].shape));
  return {a[0]};
}
template <bool kLower>
Bound bind_triangle(const BindArgs& a) {
  const Shape& shape = a.in[0].shape;
  const Dim columns = shape.back(), rows = shape[shape.size() - 2], k = diagonal_number(a.attrs);
  const Dim all = columns == 0 ? 0 : element_count(shape) / columns;
  return with_item(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[=](const Run& r) {
              for (Dim row = 0; row < all; ++row) {
                const T* x = r.in<T>(0) + row * columns;
                T* out = r.out<T>(0) + row * columns;
                // The lower part ends, the upper part begins, at this column.
                const Dim cut = std::clamp<Dim>(row % rows + k + (kLower ? 1 : 0), 0, columns);
                std::fill(out + (kLower ? cut : 0), out + (kLower ? columns : cut), T{0});
                if (kLower)
                  std::copy(x, x + cut, out);
                else
                  std::copy(x + cut, x + columns, out + cut);
              }
            },
            0, static_cast<double>(all * columns)};
  });
}
Grads tril_vjp(Builder& b, const VjpArgs& a) { return {b.emit("tril", {a.d_out[0]}, a.attrs)}; }
Grads triu_vjp(Builder& b, const VjpArgs& a) { return {b.emit("triu", {a.d_out[0]}, a.attrs)}; }

// ---- diag(x; k): a vector becomes the k-th diagonal of a square matrix, a matrix gives its own.
struct Diagonal {
  Dim size, offset, step;
};
Diagonal diagonal_of(Dim rows, Dim columns, Dim k) {
  const Dim row = std::max<Dim>(0, -k), column = std::max<Dim>(0, k);
  const Dim size = std::max<Dim>(0, std::min(rows - row, columns - column));
  return {size, size == 0 ? 0 : row * columns + column, columns + 1};
}
std::vector<Spec> infer_diag(const InferArgs& a) {
  require_count(a, 1);
  const Shape& s = a[0].shape;
  const Dim k = diagonal_number(a.attrs);
  if (s.size() == 1) {
    const Dim side = dim_add(s[0], std::abs(k));
    return {{a[0].dtype, {side, side}}};
  }
  require_rank(a[0], 2, "the operand");
  return {{a[0].dtype, {is_known(s) ? diagonal_of(s[0], s[1], k).size : kUnknown}}};
}
Bound bind_diag(const BindArgs& a) {
  const bool to_matrix = a.in[0].shape.size() == 1;
  const Shape& matrix = to_matrix ? a.out[0].shape : a.in[0].shape;
  const Diagonal d = diagonal_of(matrix[0], matrix[1], diagonal_number(a.attrs));
  return to_matrix ? bind_strided_write(a.out[0], {{d.size, d.step}}, d.offset)
                   : bind_strided_read(a.in[0].dtype, {{d.size, d.step}}, d.offset);
}
Grads diag_vjp(Builder& b, const VjpArgs& a) {
  const Shape shape = b.shape(a.in[0]);
  if (shape.size() == 1) return {b.emit("diag", {a.d_out[0]}, a.attrs)};
  Attrs attrs = a.attrs;
  attrs["shape"] = shape;
  return {b.emit("diag_scatter", {a.d_out[0]}, attrs)};
}
std::vector<Spec> infer_diag_scatter(const InferArgs& a) {
  require_count(a, 1);
  require_rank(a[0], 1, "the diagonal");
  const Spec matrix{a[0].dtype, attr_ints(a.attrs, "shape")};
  require_rank(matrix, 2, "the matrix");
  const Dim size =
      is_known(matrix.shape)
          ? diagonal_of(matrix.shape[0], matrix.shape[1], diagonal_number(a.attrs)).size
          : kUnknown;
  if (dim_merge(a[0].shape[0], size) == -2)
    shape_error("the diagonal of " + to_string(matrix.shape) + " has " + std::to_string(size) +
                " elements, got " + std::to_string(a[0].shape[0]));
  return {matrix};
}
Bound bind_diag_scatter(const BindArgs& a) {
  const Shape& matrix = a.out[0].shape;
  const Diagonal d = diagonal_of(matrix[0], matrix[1], diagonal_number(a.attrs));
  return bind_strided_write(a.out[0], {{d.size, d.step}}, d.offset);
}

const Register r{
    {.name = "reshape",
     .traits = kView | kAnyDtype,
     .infer = infer_reshape,
     .bind = bind_reshape,
     .vjp = reshape_vjp},
    {.name = "transpose",
     .traits = kAnyDtype,
     .infer = infer_transpose,
     .bind = bind_transpose_op,
     .vjp = transpose_vjp},
    {.name = "broadcast_to",
     .traits = kElementwise | kAnyDtype,
     .infer = infer_broadcast_to,
     .bind = bind_broadcast_to,
     .vjp = broadcast_to_vjp,
     .tile = copy_tile},
    {.name = "flip", .traits = kAnyDtype, .infer = infer_flip, .bind = bind_flip, .vjp = flip_vjp},
    {.name = "repeat",
     .traits = kAnyDtype,
     .infer = infer_repeat,
     .bind = bind_repeat,
     .vjp = repeat_vjp},
    {.name = "slice",
     .traits = kAnyDtype,
     .infer = infer_slice,
     .bind = bind_slice,
     .vjp = slice_vjp},
    {.name = "slice_scatter",
     .infer = infer_slice_scatter,
     .bind = bind_slice_scatter,
     .vjp = slice_scatter_vjp},
    {.name = "tril", .infer = infer_triangle, .bind = bind_triangle<true>, .vjp = tril_vjp},
    {.name = "triu", .infer = infer_triangle, .bind = bind_triangle<false>, .vjp = triu_vjp},
    {.name = "diag", .infer = infer_diag, .bind = bind_diag, .vjp = diag_vjp},
    {.name = "diag_scatter", .infer = infer_diag_scatter, .bind = bind_diag_scatter},
};

}  // namespace
}  // namespace lamina
