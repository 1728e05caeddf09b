// scatter_rows(x [rows, n], ids [m], updates [m, n]; reduction): x with each update written into,
// or combined with, its row. In the order of ids. Ids out of range fail, or with drop=true are left
// out.
#include <algorithm>

#include "base/parallel.h"
#include "ops/op.h"

namespace lamina {
namespace {

enum class Reduction : std::uint8_t { set, add, max, min, mul };

Reduction reduction_of(const Attrs& attrs) {
  const std::string name = attr_str(attrs, "reduction", "set");
  if (name == "set") return Reduction::set;
  if (name == "add") return Reduction::add;
  if (name == "max") return Reduction::max;
  if (name == "min") return Reduction::min;
  if (name == "mul") return Reduction::mul;
  throw Error("reduction '" + name + "' is not one of set, add, max, min, mul");
}

std::vector<Spec> infer_scatter(const InferArgs& a) {
  require_count(a, 3);
  require_rank(a[0], 2, "x");
  require_integer(a[1], "ids");
  require_rank(a[1], 1, "ids");
  require_rank(a[2], 2, "updates");
  require_same_dtype(a[0], a[2]);
  if (dim_merge(a[0].shape[1], a[2].shape[1]) == -2 ||
      dim_merge(a[1].shape[0], a[2].shape[0]) == -2)
    shape_error("updates must be (ids, columns of x), got " + to_string(a[2].shape));
  if (reduction_of(a.attrs) != Reduction::set && a[0].dtype == DType::boolean)
    type_error("bool takes reduction 'set' only");
  return {a[0]};
}

template <class T>
T combine(Reduction how, T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    return b;
  } else {
    using U = std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                 std::type_identity<T>>::type;
    switch (how) {
      case Reduction::set:
        return b;
      case Reduction::add:
        return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
      case Reduction::mul:
        return static_cast<T>(static_cast<U>(a) * static_cast<U>(b));
      case Reduction::max:
        return a != a || a > b ? a : b;
      case Reduction::min:
        return a != a || a < b ? a : b;
    }
  }
  return b;
}

Bound bind_scatter(const BindArgs& a) {
  const Reduction how = reduction_of(a.attrs);
  const bool drop = attr_bool(a.attrs, "drop", false);
  const Dim rows = a.in[0].shape[0], n = a.in[0].shape[1], m = a.in[1].shape[0];
  const auto bound = with_any(a.in[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    return with_index(a.in[1].dtype, [&](auto index_tag) -> Kernel {
      using I = decltype(index_tag);
      return [=](const Run& r) {
        T* out = r.out<T>(0);
        std::copy_n(r.in<T>(0), rows * n, out);
        // Split by columns: every element sees its updates in order, whatever the threads.
        parallel_for(n, m > 0 ? 32768 / m + 1 : n, [&](Dim begin, Dim end) {
          for (Dim i = 0; i < m; ++i) {
            const I id = r.in<I>(1)[i];
            if (id < 0 || id >= rows) {
              if (!drop) r.failure->note("index %lld is out of range", id);
              continue;
            }
            T* to = out + static_cast<Dim>(id) * n;
            const T* from = r.in<T>(2) + i * n;
            for (Dim j = begin; j < end; ++j) to[j] = combine(how, to[j], from[j]);
          }
        });
      };
    });
  });
  return {bound, 0, static_cast<double>(m) * static_cast<double>(n)};
}

// The rows of x at ids; zeros where an id is left out.
ValueId rows_at(Builder& b, ValueId x, ValueId ids) {
  const DType t = b.dtype(ids);
  const ValueId last = b.scalar(t, static_cast<double>(b.shape(x)[0] - 1));
  const ValueId zero = b.scalar(t, 0);
  const ValueId inside = b.emit(
      "logical_and", {b.emit("greater_equal", {ids, zero}), b.emit("less_equal", {ids, last})});
  const ValueId safe = b.emit("select", {inside, ids, zero});
  const ValueId rows = b.emit("gather", {x, safe}, {{"axis", std::int64_t{0}}});
  const ValueId column = b.reshape(inside, {b.shape(ids)[0], 1});
  return b.emit("select", {column, rows, b.scalar(b.dtype(x), 0)});
}
ValueId where_equal(Builder& b, ValueId x, ValueId y, ValueId value) {
  return b.emit("select", {b.emit("equal", {x, y}), value, b.scalar(b.dtype(value), 0)});
}

Grads vjp_set(Builder& b, const VjpArgs& v) {
  const ValueId ids = v.in[1], d = v.d_out[0];
  const Dim rows = b.shape(v.in[0])[0], m = b.shape(ids)[0];
  const ValueId kept = b.emit("scatter_rows", {d, ids, b.zeros_like(v.in[2])}, v.attrs);
  // Of several updates of a row the last one counts.
  Tensor order(Spec{DType::i64, {m, 1}});
  for (Dim i = 0; i < m; ++i) order.data<std::int64_t>()[i] = i + 1;
  const ValueId numbers = b.constant(std::move(order));
  const ValueId none = b.broadcast_to(b.scalar(DType::i64, 0), {rows, 1});
  const ValueId last = rows_at(b, b.emit("scatter_rows", {none, ids, numbers}, v.attrs), ids);
  return {kept, kNoValue, where_equal(b, last, numbers, rows_at(b, d, ids))};
}

Grads vjp_scatter(Builder& b, const VjpArgs& v) {
  const Reduction how = reduction_of(v.attrs);
  const ValueId x = v.in[0], ids = v.in[1], updates = v.in[2], y = v.out[0], d = v.d_out[0];
  if (how == Reduction::set) return vjp_set(b, v);
  if (how == Reduction::add) return {d, kNoValue, rows_at(b, d, ids)};
  if (how == Reduction::mul) {
    const ValueId dy = b.mul(d, y);
    return {b.div(dy, x), kNoValue, b.div(rows_at(b, dy, ids), updates)};
  }
  // Equal extremes share the gradient.
  Attrs add = v.attrs;
  add["reduction"] = std::string("add");
  const ValueId one = b.scalar(b.dtype(x), 1);
  const ValueId hits = where_equal(b, rows_at(b, y, ids), updates, one);
  const ValueId own = where_equal(b, x, y, one);
  const ValueId share = b.div(d, b.emit("scatter_rows", {own, ids, hits}, add));
  return {b.mul(share, own), kNoValue, b.mul(rows_at(b, share, ids), hits)};
}

const Register ops{
    {.name = "scatter_rows", .infer = infer_scatter, .bind = bind_scatter, .vjp = vjp_scatter}};

}  // namespace
}  // namespace lamina
