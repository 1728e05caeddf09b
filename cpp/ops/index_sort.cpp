// Ops that make indices from values, or tensors from indices: top_k, argsort, one_hot, and the
// gather and scatter by whole coordinates.
#include <algorithm>
#include <limits>

#include "base/parallel.h"
#include "ops/layout.h"

namespace lamina {
namespace {

std::size_t index(int axis) { return static_cast<std::size_t>(axis); }

// ---- one_hot(ids; classes, axis=-1, dtype): an id out of range gives zeros.
int hot_axis(const InferArgs& a) {
  return normalize_axis(attr_int(a.attrs, "axis", -1), a[0].shape.size() + 1);
}
std::vector<Spec> infer_one_hot(const InferArgs& a) {
  require_count(a, 1);
  require_integer(a[0], "indices");
  const Dim classes = attr_int(a.attrs, "classes");
  if (classes < 0) throw Error("classes must not be negative, got " + std::to_string(classes));
  Spec out{parse_dtype(attr_str(a.attrs, "dtype", "float32")), a[0].shape};
  out.shape.insert(out.shape.begin() + hot_axis(a), classes);
  return {out};
}
Bound bind_one_hot(const BindArgs& a) {
  const int axis = hot_axis({a.in, a.attrs});
  Dim inner = 1;
  for (std::size_t i = index(axis); i < a.in[0].shape.size(); ++i) inner *= a.in[0].shape[i];
  const Dim ids = element_count(a.in[0].shape), count = element_count(a.out[0].shape);
  return with_index(a.in[0].dtype, [&](auto id_tag) {
    return with_any(a.out[0].dtype, [&](auto tag) -> Bound {
      using I = decltype(id_tag);
      using T = decltype(tag);
      return {[=, classes = attr_int(a.attrs, "classes")](const Run& r) {
                T* out = r.out<T>(0);
                std::fill_n(out, count, T{0});
                for (Dim i = 0; i < ids; ++i) {
                  const I id = r.in<I>(0)[i];
                  if (id >= 0 && id < classes)
                    out[(i / inner * classes + id) * inner + i % inner] = T{1};
                }
              },
              0, static_cast<double>(count)};
    });
  });
}

// ---- Orders. Equal values keep their order, NaN is larger than every number.
template <class T>
bool less_nan_last(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    if (b != b) return a == a;
  return a < b;
}
template <class T, class I>
struct Ascending {
  const T* x;
  bool operator()(I i, I j) const {
    if (less_nan_last(x[i], x[j])) return true;
    return !less_nan_last(x[j], x[i]) && i < j;
  }
};
template <class T, class I>
struct Descending {
  const T* x;
  bool operator()(I i, I j) const {
    if (less_nan_last(x[j], x[i])) return true;
    return !less_nan_last(x[i], x[j]) && i < j;
  }
};
double sort_work(Dim lines, Dim n) {
  return static_cast<double>(lines) * static_cast<double>(n) * 20;
}
Dim sort_grain(Dim n) { return 1024 / (n + 1) + 1; }

// top_k(x; k) -> values, indices int32: the largest of the last axis, largest first.
std::vector<Spec> infer_top_k(const InferArgs& a) {
  require_count(a, 1);
  if (a[0].shape.empty()) shape_error("needs at least one axis");
  const Dim k = attr_int(a.attrs, "k"), n = a[0].shape.back();
  if (k < 0 || (n != kUnknown && k > n))
    throw Error("k must be between 0 and the size of the last axis, " + std::to_string(n) +
                ", got " + std::to_string(k));
  if (n > std::numeric_limits<std::int32_t>::max())
    shape_error("the last axis is too long for int32 positions");
  Shape out = a[0].shape;
  out.back() = k;
  return {{a[0].dtype, out}, {DType::i32, out}};
}
Bound bind_top_k(const BindArgs& a) {
  const Dim n = a.in[0].shape.back(), k = attr_int(a.attrs, "k");
  const Dim lines = element_count(Shape(a.in[0].shape.begin(), a.in[0].shape.end() - 1));
  return with_any(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[=](const Run& r) {
              parallel_for(lines, sort_grain(n), [&](Dim begin, Dim end) {
                auto* order = workspace<std::int32_t>(0, static_cast<std::size_t>(n));
                for (Dim l = begin; l < end; ++l) {
                  const T* x = r.in<T>(0) + l * n;
                  for (Dim i = 0; i < n; ++i) order[i] = static_cast<std::int32_t>(i);
                  std::partial_sort(order, order + k, order + n, Descending<T, std::int32_t>{x});
                  for (Dim i = 0; i < k; ++i) {
                    if (r.outs[0] != nullptr) r.out<T>(0)[l * k + i] = x[order[i]];
                    if (r.outs[1] != nullptr) r.out<std::int32_t>(1)[l * k + i] = order[i];
                  }
                }
              });
            },
            0, sort_work(lines, n)};
  });
}
Grads top_k_vjp(Builder& b, const VjpArgs& a) {
  if (a.d_out[0] == kNoValue) return {kNoValue};
  return {b.emit("take_along_axis_grad", {a.out[1], a.d_out[0]},
                 {{"size", b.shape(a.in[0]).back()}, {"axis", std::int64_t{-1}}})};
}

// argsort(x; axis=-1, descending=false) -> int64
std::vector<Spec> infer_argsort(const InferArgs& a) {
  require_count(a, 1);
  normalize_axis(attr_int(a.attrs, "axis", -1), a[0].shape.size());
  return {{DType::i64, a[0].shape}};
}
template <class T>
void sort_line(const T* x, Dim n, Dim step, bool descending, std::int64_t* out) {
  T* line = workspace<T>(0, static_cast<std::size_t>(n));
  auto* order = workspace<std::int64_t>(1, static_cast<std::size_t>(n));
  for (Dim i = 0; i < n; ++i) line[i] = x[i * step], order[i] = i;
  if (descending)
    std::sort(order, order + n, Descending<T, std::int64_t>{line});
  else
    std::sort(order, order + n, Ascending<T, std::int64_t>{line});
  for (Dim i = 0; i < n; ++i) out[i * step] = order[i];
}
Bound bind_argsort(const BindArgs& a) {
  const Shape& shape = a.in[0].shape;
  const int axis = normalize_axis(attr_int(a.attrs, "axis", -1), shape.size());
  const Dim n = shape[index(axis)];
  Dim outer = 1, inner = 1;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (i != index(axis)) (i < index(axis) ? outer : inner) *= shape[i];
  const bool descending = attr_bool(a.attrs, "descending", false);
  return with_any(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[=](const Run& r) {
              if (n == 0) return;
              parallel_for(outer * inner, sort_grain(n), [&](Dim begin, Dim end) {
                for (Dim l = begin; l < end; ++l) {
                  const Dim at = l / inner * n * inner + l % inner;
                  sort_line(r.in<T>(0) + at, n, inner, descending, r.out<std::int64_t>(0) + at);
                }
              });
            },
            0, sort_work(outer * inner, n)};
  });
}

// ---- gather_nd(x, ids [..., depth]) and scatter_add(ids, updates; shape): the last axis of ids
// holds coordinates in the first `depth` axes; the rest of x is the block that moves.
struct Coordinates {
  std::vector<Dim> sizes, steps;
  Dim count, block = 1;
  Coordinates(const Shape& whole, const Shape& ids)
      : count(element_count(Shape(ids.begin(), ids.end() - 1))) {
    const auto all = contiguous_steps(whole);
    const auto depth = static_cast<std::size_t>(ids.back());
    sizes.assign(whole.begin(), whole.begin() + static_cast<Dim>(depth));
    steps.assign(all.begin(), all.begin() + static_cast<Dim>(depth));
    for (std::size_t i = depth; i < whole.size(); ++i) block *= whole[i];
  }
  // Where the block of the i-th coordinates lies, or -1.
  template <class I>
  Dim offset(const I* ids, Dim i, Failure* failure) const {
    Dim at = 0;
    for (std::size_t k = 0; k < sizes.size(); ++k) {
      const auto id =
          static_cast<Dim>(ids[i * static_cast<Dim>(sizes.size()) + static_cast<Dim>(k)]);
      if (id < 0 || id >= sizes[k]) {
        failure->note("index %lld is out of range", id);
        return -1;
      }
      at += id * steps[k];
    }
    return at;
  }
};
Shape block_shape(const Shape& whole, const Shape& ids) {
  if (ids.empty()) shape_error("indices must have at least one axis");
  const Dim depth = ids.back();
  if (depth < 0 || depth > static_cast<Dim>(whole.size()))
    shape_error("the last axis of the indices has " + std::to_string(depth) +
                " coordinates, shape " + to_string(whole) + " has " + std::to_string(whole.size()) +
                " axes");
  Shape out(ids.begin(), ids.end() - 1);
  out.insert(out.end(), whole.begin() + depth, whole.end());
  return out;
}
std::vector<Spec> infer_gather_nd(const InferArgs& a) {
  require_count(a, 2);
  require_integer(a[1], "indices");
  return {{a[0].dtype, block_shape(a[0].shape, a[1].shape)}};
}
Bound bind_gather_nd(const BindArgs& a) {
  const Coordinates c(a.in[0].shape, a.in[1].shape);
  return with_index(a.in[1].dtype, [&](auto id_tag) {
    return with_item(a.in[0].dtype, [&](auto tag) -> Bound {
      using T = decltype(tag);
      using I = decltype(id_tag);
      return {[c](const Run& r) {
                for (Dim i = 0; i < c.count; ++i) {
                  const Dim at = c.offset(r.in<I>(1), i, r.failure);
                  T* to = r.out<T>(0) + i * c.block;
                  if (at < 0)
                    std::fill_n(to, c.block, T{0});
                  else
                    std::copy_n(r.in<T>(0) + at, c.block, to);
                }
              },
              0, static_cast<double>(c.count * c.block)};
    });
  });
}
Grads gather_nd_vjp(Builder& b, const VjpArgs& a) {
  return {b.emit("scatter_add", {a.in[1], a.d_out[0]}, {{"shape", Shape(b.shape(a.in[0]))}}),
          kNoValue};
}
std::vector<Spec> infer_scatter_add(const InferArgs& a) {
  require_count(a, 2);
  require_integer(a[0], "indices");
  if (a[1].dtype == DType::boolean) type_error("does not take bool; cast it first");
  const Shape whole = attr_ints(a.attrs, "shape"), wanted = block_shape(whole, a[0].shape);
  bool fits = wanted.size() == a[1].shape.size();
  for (std::size_t i = 0; fits && i < wanted.size(); ++i)
    fits = dim_merge(wanted[i], a[1].shape[i]) != -2;
  if (!fits)
    shape_error("updates must have shape " + to_string(wanted) + ", got " + to_string(a[1].shape));
  return {{a[1].dtype, whole}};
}
// Integers wrap around.
template <class T>
T wrapping_sum(T a, T b) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) +
                          static_cast<std::make_unsigned_t<T>>(b));
  else
    return static_cast<T>(a + b);
}
Bound bind_scatter_add(const BindArgs& a) {
  const Coordinates c(a.out[0].shape, a.in[0].shape);
  const Dim n = element_count(a.out[0].shape);
  return with_index(a.in[0].dtype, [&](auto id_tag) {
    return with_any(a.in[1].dtype, [&](auto tag) -> Bound {
      using T = decltype(tag);
      using I = decltype(id_tag);
      return {[c, n](const Run& r) {
                T* out = r.out<T>(0);
                std::fill_n(out, n, T{0});
                for (Dim i = 0; i < c.count; ++i) {
                  const Dim at = c.offset(r.in<I>(0), i, r.failure);
                  const T* from = r.in<T>(1) + i * c.block;
                  if (at >= 0)
                    for (Dim k = 0; k < c.block; ++k)
                      out[at + k] = wrapping_sum(out[at + k], from[k]);
                }
              },
              0, static_cast<double>(n + c.count * c.block)};
    });
  });
}
Grads scatter_add_vjp(Builder& b, const VjpArgs& a) {
  return {kNoValue, b.emit("gather_nd", {a.d_out[0], a.in[0]})};
}

const Register r{
    {.name = "one_hot", .infer = infer_one_hot, .bind = bind_one_hot},
    {.name = "top_k", .infer = infer_top_k, .bind = bind_top_k, .vjp = top_k_vjp},
    {.name = "argsort", .infer = infer_argsort, .bind = bind_argsort},
    {.name = "gather_nd", .infer = infer_gather_nd, .bind = bind_gather_nd, .vjp = gather_nd_vjp},
    {.name = "scatter_add",
     .infer = infer_scatter_add,
     .bind = bind_scatter_add,
     .vjp = scatter_add_vjp},
};

}  // namespace
}  // namespace lamina
