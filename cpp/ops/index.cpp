// Ops that read or write at positions given by a tensor of indices. An index out of range is noted
// in the Failure and replaced by 0, so nothing is read or written outside.
#include <algorithm>
#include <cstring>

#include "base/even_parts.h"
#include "ops/layout.h"

namespace lamina {
namespace {

std::size_t index(int axis) { return static_cast<std::size_t>(axis); }

constexpr const char* kOutOfRange = "index %lld is out of range";
template <class I>
Dim checked(I id, Dim size, Failure* failure) {
  if (id >= 0 && static_cast<Dim>(id) < size) return static_cast<Dim>(id);
  failure->note(kOutOfRange, static_cast<long long>(id));
  return 0;
}

// ---- gather(x, ids; axis): the rows of x along an axis. x is [outer, rows, inner].
struct Rows {
  Dim outer = 1, rows = 0, inner = 1, ids = 0;
  Rows(const Shape& x, int axis, const Shape& id_shape)
      : rows(x[index(axis)]), ids(element_count(id_shape)) {
    for (std::size_t i = 0; i < x.size(); ++i)
      if (i != index(axis)) (i < index(axis) ? outer : inner) *= x[i];
  }
  double work() const {
    return static_cast<double>(outer) * static_cast<double>(ids) * static_cast<double>(inner);
  }
};
Shape gathered_shape(const Shape& x, int axis, const Shape& ids) {
  Shape out(x.begin(), x.begin() + axis);
  out.insert(out.end(), ids.begin(), ids.end());
  out.insert(out.end(), x.begin() + axis + 1, x.end());
  return out;
}
int gather_axis(const InferArgs& a) {
  return normalize_axis(attr_int(a.attrs, "axis", 0), a[0].shape.size());
}
std::vector<Spec> infer_gather(const InferArgs& a) {
  require_count(a, 2);
  require_integer(a[1], "indices");
  return {{a[0].dtype, gathered_shape(a[0].shape, gather_axis(a), a[1].shape)}};
}
std::vector<std::pair<std::size_t, Dim>> gather_ranges(const InferArgs& a) {
  return {{1, a[0].shape[index(gather_axis(a))]}};
}
template <class I>
Bound bind_gather_of(const Rows& g, std::size_t item) {
  const std::size_t bytes = static_cast<std::size_t>(g.inner) * item;
  const Dim grain = 65536 / static_cast<Dim>(bytes + 8) + 4;
  return {.run =
              [=](const Run& r) {
                const I* ids = r.in<I>(1);
                parallel_evenly(g.outer * g.ids, grain / 4, 1, grain, [&](Dim begin, Dim end) {
                  for (Dim i = begin; i < end; ++i) {
                    const Dim row = i / g.ids * g.rows + checked(ids[i % g.ids], g.rows, r.failure);
                    std::byte* to = r.out<std::byte>(0) + static_cast<std::size_t>(i) * bytes;
                    if (g.rows > 0)
                      std::memcpy(to, r.in<std::byte>(0) + static_cast<std::size_t>(row) * bytes,
                                  bytes);
                    else
                      std::memset(to, 0, bytes);
                  }
                });
              },
          .flops = g.work(),
          .bytes_read = static_cast<std::size_t>(g.outer * g.ids) * (bytes + sizeof(I))};
}
Bound bind_gather(const BindArgs& a) {
  const int axis = normalize_axis(attr_int(a.attrs, "axis", 0), a.in[0].shape.size());
  const Rows g(a.in[0].shape, axis, a.in[1].shape);
  return with_index(a.in[1].dtype, [&](auto tag) {
    return bind_gather_of<decltype(tag)>(g, item_size(a.in[0].dtype));
  });
}
Grads gather_vjp(Builder& b, const VjpArgs& a) {
  const Shape& shape = b.shape(a.in[0]);
  const Dim axis = normalize_axis(attr_int(a.attrs, "axis", 0), shape.size());
  return {b.emit("gather_grad", {a.in[1], a.d_out[0]},
                 {{"rows", shape[static_cast<std::size_t>(axis)]}, {"axis", axis}}),
          kNoValue};
}

// ---- gather_grad(ids, dy; rows, axis): dy's rows added where they came from, in the order of ids.
std::vector<Spec> infer_gather_grad(const InferArgs& a) {
  require_count(a, 2);
  require_integer(a[0], "indices");
  require_floating(a[1], "dy");
  const Shape &ids = a[0].shape, &dy = a[1].shape;
  const Dim axis = attr_int(a.attrs, "axis", 0);
  if (axis < 0 || static_cast<std::size_t>(axis) + ids.size() > dy.size())
    shape_error("dy must have the axes of the indices from axis " + std::to_string(axis));
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (dim_merge(ids[i], dy[static_cast<std::size_t>(axis) + i]) == -2)
      shape_error("dy must have the axes of the indices from axis " + std::to_string(axis));
  Shape out(dy.begin(), dy.begin() + axis);
  out.push_back(attr_int(a.attrs, "rows"));
  out.insert(out.end(), dy.begin() + axis + static_cast<Dim>(ids.size()), dy.end());
  return {{a[1].dtype, out}};
}
// A task owns a range of rows: it clears them and adds what belongs there. All tasks read all ids.
constexpr Dim kOwnedElements = 65536;
template <class I, class T>
void add_rows(const Rows& g, Dim task, Dim owned, const I* ids, const T* dy, T* dx,
              Failure* failure) {
  const Dim tasks = (g.rows + owned - 1) / owned;
  const Dim o = task / tasks, first = task % tasks * owned, last = std::min(g.rows, first + owned);
  std::fill(dx + (o * g.rows + first) * g.inner, dx + (o * g.rows + last) * g.inner, T{0});
  for (Dim k = 0; k < g.ids; ++k) {
    const auto id = static_cast<Dim>(ids[k]);
    if (id < first || id >= last) {
      if (first == 0) checked(ids[k], g.rows, failure);
      continue;
    }
    const T* from = dy + (o * g.ids + k) * g.inner;
    T* to = dx + (o * g.rows + id) * g.inner;
    for (Dim c = 0; c < g.inner; ++c) to[c] += from[c];
  }
}
Bound bind_gather_grad(const BindArgs& a) {
  const int axis = static_cast<int>(attr_int(a.attrs, "axis", 0));
  const Rows g(a.out[0].shape, axis, a.in[0].shape);
  const Dim owned = std::max<Dim>(1, kOwnedElements / std::max<Dim>(1, g.inner));
  const Dim tasks = g.outer * ((g.rows + owned - 1) / owned);
  return with_index(a.in[0].dtype, [&](auto id_tag) {
    return with_float(a.in[1].dtype, [&](auto tag) -> Bound {
      using I = decltype(id_tag);
      using T = decltype(tag);
      return {[=](const Run& r) {
                parallel_for(tasks, 1, [&](Dim begin, Dim end) {
                  for (Dim t = begin; t < end; ++t)
                    add_rows(g, t, owned, r.in<I>(0), r.in<T>(1), r.out<T>(0), r.failure);
                });
              },
              0, g.work() + static_cast<double>(element_count(a.out[0].shape))};
    });
  });
}
Grads gather_grad_vjp(Builder& b, const VjpArgs& a) {
  return {kNoValue,
          b.emit("gather", {a.d_out[0], a.in[0]}, {{"axis", attr_int(a.attrs, "axis", 0)}})};
}

// ---- embedding(table [rows, n], ids): gather along axis 0, with the trainer's check of the ids.
std::vector<Spec> infer_embedding(const InferArgs& a) {
  require_count(a, 2);
  require_rank(a[0], 2, "the table");
  return infer_gather(a);
}
Grads embedding_vjp(Builder& b, const VjpArgs& a) {
  return {b.emit("embedding_grad", {a.in[1], a.d_out[0]}, {{"rows", b.shape(a.in[0])[0]}}),
          kNoValue};
}

// ---- take_along_axis(x, ids; axis): one id for each element of the result.
std::vector<Spec> infer_take(const InferArgs& a) {
  require_count(a, 2);
  require_integer(a[1], "indices");
  require_rank(a[1], a[0].shape.size(), "indices");
  const int axis = normalize_axis(attr_int(a.attrs, "axis", -1), a[0].shape.size());
  Spec out{a[0].dtype, a[1].shape};
  for (std::size_t i = 0; i < out.shape.size(); ++i) {
    if (i == index(axis)) continue;
    out.shape[i] = dim_merge(a[0].shape[i], a[1].shape[i]);
    if (out.shape[i] == -2) shape_error("x and indices differ in axis " + std::to_string(i));
  }
  return {out};
}
// [outer, extent, inner] of the larger side, `taken` positions of the indices.
struct Lines {
  Dim outer = 1, extent = 0, inner = 1, taken = 0;
  Lines(const Shape& whole, const Shape& ids, int axis)
      : extent(whole[index(axis)]), taken(ids[index(axis)]) {
    for (std::size_t i = 0; i < whole.size(); ++i)
      if (i != index(axis)) (i < index(axis) ? outer : inner) *= whole[i];
  }
  double work() const {
    return static_cast<double>(outer * inner) * static_cast<double>(std::max(extent, taken));
  }
};
Bound bind_take(const BindArgs& a) {
  const Lines l(a.in[0].shape, a.in[1].shape,
                normalize_axis(attr_int(a.attrs, "axis", -1), a.in[0].shape.size()));
  return with_index(a.in[1].dtype, [&](auto id_tag) {
    return with_item(a.in[0].dtype, [&](auto tag) -> Bound {
      using I = decltype(id_tag);
      using T = decltype(tag);
      return {
          [=](const Run& r) {
            const I* ids = r.in<I>(1);
            T* out = r.out<T>(0);
            for (Dim o = 0; o < l.outer; ++o)
              for (Dim i = 0; i < l.taken; ++i)
                for (Dim c = 0; c < l.inner; ++c, ++ids)
                  *out++ =
                      l.extent == 0
                          ? T{0}
                          : r.in<T>(
                                0)[(o * l.extent + checked(*ids, l.extent, r.failure)) * l.inner +
                                   c];
          },
          0, l.work()};
    });
  });
}
Grads take_vjp(Builder& b, const VjpArgs& a) {
  const Shape& shape = b.shape(a.in[0]);
  const Dim axis = normalize_axis(attr_int(a.attrs, "axis", -1), shape.size());
  return {b.emit("take_along_axis_grad", {a.in[1], a.d_out[0]},
                 {{"size", shape[static_cast<std::size_t>(axis)]}, {"axis", axis}}),
          kNoValue};
}
// take_along_axis_grad(ids, dy; size, axis)
std::vector<Spec> infer_take_grad(const InferArgs& a) {
  require_count(a, 2);
  require_integer(a[0], "indices");
  require_floating(a[1], "dy");
  bool same = a[0].shape.size() == a[1].shape.size();
  for (std::size_t i = 0; same && i < a[0].shape.size(); ++i)
    same = dim_merge(a[0].shape[i], a[1].shape[i]) != -2;
  if (!same) shape_error("the indices and dy must have one shape");
  Spec out = a[1];
  out.shape[index(normalize_axis(attr_int(a.attrs, "axis", -1), out.shape.size()))] =
      attr_int(a.attrs, "size");
  return {out};
}
Bound bind_take_grad(const BindArgs& a) {
  const Lines l(a.out[0].shape, a.in[0].shape,
                normalize_axis(attr_int(a.attrs, "axis", -1), a.out[0].shape.size()));
  return with_index(a.in[0].dtype, [&](auto id_tag) {
    return with_float(a.in[1].dtype, [&](auto tag) -> Bound {
      using I = decltype(id_tag);
      using T = decltype(tag);
      return {[=, n = element_count(a.out[0].shape)](const Run& r) {
                const I* ids = r.in<I>(0);
                const T* dy = r.in<T>(1);
                T* dx = r.out<T>(0);
                std::fill_n(dx, n, T{0});
                if (n == 0) return;
                for (Dim o = 0; o < l.outer; ++o)
                  for (Dim i = 0; i < l.taken; ++i)
                    for (Dim c = 0; c < l.inner; ++c)
                      dx[(o * l.extent + checked(*ids++, l.extent, r.failure)) * l.inner + c] +=
                          *dy++;
              },
              0, l.work()};
    });
  });
}

const Register r{
    {.name = "gather",
     .traits = kAnyDtype,
     .infer = infer_gather,
     .bind = bind_gather,
     .vjp = gather_vjp,
     .index_ranges = gather_ranges},
    {.name = "gather_grad",
     .infer = infer_gather_grad,
     .bind = bind_gather_grad,
     .vjp = gather_grad_vjp},
    {.name = "embedding",
     .traits = kAnyDtype,
     .infer = infer_embedding,
     .bind = bind_gather,
     .vjp = embedding_vjp,
     .index_ranges = gather_ranges},
    {.name = "embedding_grad",
     .infer = infer_gather_grad,
     .bind = bind_gather_grad,
     .vjp = gather_grad_vjp},
    {.name = "take_along_axis", .infer = infer_take, .bind = bind_take, .vjp = take_vjp},
    {.name = "take_along_axis_grad", .infer = infer_take_grad, .bind = bind_take_grad},
};

}  // namespace
}  // namespace lamina
