// Ops of several inputs or outputs, and ops that add a border: concat, split, pack, pad.
#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "kernels/copy.h"
#include "ops/layout.h"

namespace lamina {
namespace {

std::size_t index(int axis) { return static_cast<std::size_t>(axis); }

// ---- A whole made of parts along an axis: concat writes it, split reads it.
struct Part {
  std::size_t bytes;  // of one row of the part
  std::size_t at;     // where it begins in a row of the whole
};
struct Parts {
  Dim rows = 1;
  std::size_t row_bytes = 0;
  std::vector<Part> parts;

  Parts(std::span<const Spec> specs, int axis) {
    for (int i = 0; i < axis; ++i) rows *= specs[0].shape[index(i)];
    for (const Spec& s : specs) {
      std::size_t bytes = item_size(s.dtype);
      for (std::size_t i = index(axis); i < s.shape.size(); ++i)
        bytes *= static_cast<std::size_t>(s.shape[i]);
      parts.push_back({bytes, row_bytes});
      row_bytes += bytes;
    }
  }
  // Calls body(part, first row, rows) part by part for blocks of rows: small ones, as memory is
  // written fastest line after line.
  template <class Body>
  void each_block(const Body& body) const {
    const Dim block = rows_of(1024);
    parallel_for(rows, rows_of(65536), [&](Dim begin, Dim end) {
      for (Dim row = begin; row < end; row += block)
        for (std::size_t k = 0; k < parts.size(); ++k)
          body(k, static_cast<std::size_t>(row),
               static_cast<std::size_t>(std::min(block, end - row)));
    });
  }
  double work() const { return static_cast<double>(rows) * static_cast<double>(row_bytes) / 4; }

 private:
  Dim rows_of(Dim bytes) const {
    return bytes / static_cast<Dim>(std::max<std::size_t>(1, row_bytes)) + 1;
  }
};

std::vector<Spec> infer_concat(const InferArgs& a) {
  if (a.in.empty()) throw Error("needs at least one input");
  const std::size_t rank = a[0].shape.size();
  const int axis = normalize_axis(attr_int(a.attrs, "axis", -1), rank);
  Spec out = a[0];
  for (std::size_t k = 1; k < a.in.size(); ++k) {
    require_same_dtype(a[0], a[k]);
    if (a[k].shape.size() != rank)
      shape_error("inputs must have one rank, got shapes " + to_string(a[0].shape) + " and " +
                  to_string(a[k].shape));
    for (std::size_t i = 0; i < rank; ++i) {
      if (i == index(axis)) {
        out.shape[i] = dim_add(out.shape[i], a[k].shape[i]);
        continue;
      }
      const Dim merged = dim_merge(out.shape[i], a[k].shape[i]);
      if (merged == -2)
        shape_error("shapes " + to_string(a[0].shape) + " and " + to_string(a[k].shape) +
                    " differ in axis " + std::to_string(i) + "; only axis " + std::to_string(axis) +
                    " may differ");
      out.shape[i] = merged;
    }
  }
  return {out};
}
Bound bind_concat(const BindArgs& a) {
  const Parts p(a.in, normalize_axis(attr_int(a.attrs, "axis", -1), a.in[0].shape.size()));
  if (p.rows == 1)  // of any length
    return {[p](const Run& r) {
              for (std::size_t k = 0; k < p.parts.size(); ++k)
                parallel_for(static_cast<Dim>(p.parts[k].bytes), 65536, [&](Dim begin, Dim end) {
                  std::memcpy(r.out<std::byte>(0) + p.parts[k].at + begin,
                              r.in<std::byte>(k) + begin, static_cast<std::size_t>(end - begin));
                });
            },
            0, p.work()};
  return {[p](const Run& r) {
            p.each_block([&](std::size_t k, std::size_t row, std::size_t rows) {
              const Part& part = p.parts[k];
              kernels::copy_runs(r.out<std::byte>(0) + row * p.row_bytes + part.at, p.row_bytes,
                                 r.in<std::byte>(k) + row * part.bytes, part.bytes, rows,
                                 part.bytes);
            });
          },
          0, p.work()};
}
Grads concat_vjp(Builder& b, const VjpArgs& a) {
  const int axis = normalize_axis(attr_int(a.attrs, "axis", -1), b.shape(a.in[0]).size());
  std::vector<std::int64_t> sizes;
  for (const ValueId in : a.in) sizes.push_back(b.shape(in)[index(axis)]);
  return b.emit_all("split", {a.d_out[0]}, {{"axis", std::int64_t{axis}}, {"sizes", sizes}});
}

// ---- split(x; axis, sizes): one output for each size.
std::vector<Spec> infer_split(const InferArgs& a) {
  require_count(a, 1);
  const int axis = normalize_axis(attr_int(a.attrs, "axis", -1), a[0].shape.size());
  const auto sizes = attr_ints(a.attrs, "sizes");
  std::vector<Spec> out;
  Dim total = 0;
  for (const Dim size : sizes) {
    if (size < 0) throw Error("sizes must not be negative, got " + to_string(Attr(sizes)));
    total = dim_add(total, size);
    out.push_back(a[0]);
    out.back().shape[index(axis)] = size;
  }
  if (dim_merge(a[0].shape[index(axis)], total) == -2)
    shape_error("sizes " + to_string(Attr(sizes)) + " add up to " + std::to_string(total) +
                ", but axis " + std::to_string(axis) + " has " +
                std::to_string(a[0].shape[index(axis)]));
  return out;
}
Bound bind_split(const BindArgs& a) {
  const Parts p(a.out, normalize_axis(attr_int(a.attrs, "axis", -1), a.in[0].shape.size()));
  return {[p](const Run& r) {
            p.each_block([&](std::size_t k, std::size_t row, std::size_t rows) {
              if (r.outs[k] == nullptr) return;  // nobody reads this part
              const Part& part = p.parts[k];
              kernels::copy_runs(r.out<std::byte>(k) + row * part.bytes, part.bytes,
                                 r.in<std::byte>(0) + row * p.row_bytes + part.at, p.row_bytes,
                                 rows, part.bytes);
            });
          },
          0, p.work()};
}
Grads split_vjp(Builder& b, const VjpArgs& a) {
  std::vector<ValueId> d(a.d_out.begin(), a.d_out.end());
  for (std::size_t k = 0; k < d.size(); ++k)
    if (d[k] == kNoValue) d[k] = b.zeros_like(a.out[k]);
  return {b.emit("concat", std::span<const ValueId>(d), {{"axis", attr_int(a.attrs, "axis", -1)}})};
}

// ---- pack(inputs): one flat buffer, every input at its packed offset, zeros between.
std::vector<Spec> infer_pack(const InferArgs& a) {
  if (a.in.empty()) throw Error("needs at least one input");
  require_floating(a[0], "inputs");
  for (const Spec& s : a.in) {
    require_same_dtype(a[0], s);
    if (!is_known(s.shape)) return {{a[0].dtype, {kUnknown}}};
  }
  return {{a[0].dtype, {static_cast<Dim>(packed_offsets(a.in).back() / item_size(a[0].dtype))}}};
}
Bound bind_pack(const BindArgs& a) {
  const auto offsets = packed_offsets(a.in);
  std::vector<std::size_t> bytes;
  for (const Spec& s : a.in) bytes.push_back(byte_size(s));
  return {[offsets, bytes](const Run& r) {
            for (std::size_t k = 0; k < bytes.size(); ++k) {
              std::byte* to = r.out<std::byte>(0) + offsets[k];
              if (r.ins[k] != to) std::memcpy(to, r.ins[k], bytes[k]);
              std::memset(to + bytes[k], 0, offsets[k + 1] - offsets[k] - bytes[k]);
            }
          },
          0, static_cast<double>(offsets.back()) / 4};
}

// ---- pad(x; low, high, mode, value)
struct Border {
  std::vector<std::int64_t> low, high;
  std::string mode;
  explicit Border(const Attrs& attrs)
      : low(attr_ints(attrs, "low")),
        high(attr_ints(attrs, "high")),
        mode(attr_str(attrs, "mode", "constant")) {}
  bool constant() const { return mode == "constant"; }
};
// The spec of `in` with its border; throws what does not fit.
Spec bordered(const Spec& in, const Border& p) {
  Spec out = in;
  if (p.mode != "constant" && p.mode != "reflect" && p.mode != "symmetric")
    throw Error("mode must be 'constant', 'reflect' or 'symmetric', got '" + p.mode + "'");
  if (p.low.size() != out.shape.size() || p.high.size() != out.shape.size())
    shape_error("low and high must have one entry for each of the " +
                std::to_string(out.shape.size()) + " axes");
  for (std::size_t i = 0; i < out.shape.size(); ++i) {
    const Dim most = std::max(p.low[i], p.high[i]);
    if (std::min(p.low[i], p.high[i]) < 0) throw Error("a border must not be negative");
    const Dim room = std::max<Dim>(0, out.shape[i] - (p.mode == "reflect" ? 1 : 0));
    if (!p.constant() && out.shape[i] != kUnknown && most > room)
      shape_error("mode '" + p.mode + "' can add at most " + std::to_string(room) + " to axis " +
                  std::to_string(i) + ", asked for " + std::to_string(most));
    out.shape[i] = dim_add(out.shape[i], p.low[i] + p.high[i]);
  }
  return out;
}
std::vector<Spec> infer_pad(const InferArgs& a) {
  require_count(a, 1);
  return {bordered(a[0], Border(a.attrs))};
}

Bound bind_constant_pad(const BindArgs& a, const Border& p) {
  const auto steps = contiguous_steps(a.out[0].shape);
  std::vector<Stride> axes;
  Dim offset = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    axes.push_back({a.in[0].shape[i], steps[i]});
    offset += p.low[i] * steps[i];
  }
  return bind_strided_write(a.out[0], axes, offset, attr_real(a.attrs, "value", 0));
}

// Mirrored borders: for each axis, where each position of the result lies in the source.
std::vector<std::vector<Dim>> mirror_tables(const Shape& in, const Border& p) {
  const auto steps = contiguous_steps(in);
  const Dim edge = p.mode == "symmetric" ? 1 : 0;  // is the border element repeated?
  std::vector<std::vector<Dim>> tables;
  for (std::size_t i = 0; i < in.size(); ++i) {
    std::vector<Dim> table;
    for (Dim k = -p.low[i]; k < in[i] + p.high[i]; ++k) {
      const Dim at = k < 0 ? -k - edge : k >= in[i] ? 2 * (in[i] - 1) - k + edge : k;
      table.push_back(at * steps[i]);
    }
    tables.push_back(std::move(table));
  }
  return tables;
}
// Calls f(position in the result, position in the source) for every element, in order.
template <class F>
void each_mirrored(const std::vector<std::vector<Dim>>& tables, std::size_t axis, Dim& out, Dim in,
                   const F& f) {
  for (const Dim step : tables[axis]) {
    if (axis + 1 == tables.size())
      f(out++, in + step);
    else
      each_mirrored(tables, axis + 1, out, in + step, f);
  }
}
Bound bind_mirror_pad(const BindArgs& a, const Border& p) {
  return with_item(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[tables = mirror_tables(a.in[0].shape, p)](const Run& r) {
              const T* x = r.in<T>(0);
              T* out = r.out<T>(0);
              Dim at = 0;
              each_mirrored(tables, 0, at, 0, [&](Dim to, Dim from) { out[to] = x[from]; });
            },
            0, static_cast<double>(element_count(a.out[0].shape))};
  });
}
Bound bind_pad(const BindArgs& a) {
  const Border p(a.attrs);
  return p.constant() || a.in[0].shape.empty() ? bind_constant_pad(a, p) : bind_mirror_pad(a, p);
}
Grads pad_vjp(Builder& b, const VjpArgs& a) {
  const Shape shape = b.shape(a.in[0]);
  const Border p(a.attrs);
  if (!p.constant()) {
    Attrs attrs = a.attrs;
    attrs["shape"] = shape;
    return {b.emit("pad_grad", {a.d_out[0]}, attrs)};
  }
  std::vector<std::int64_t> end;
  for (std::size_t i = 0; i < shape.size(); ++i) end.push_back(p.low[i] + shape[i]);
  return {b.emit("slice", {a.d_out[0]}, {{"begin", p.low}, {"end", end}})};
}

// pad_grad(dy; shape, low, high, mode): mirrored elements add up in their source.
std::vector<Spec> infer_pad_grad(const InferArgs& a) {
  require_count(a, 1);
  require_floating(a[0], "dy");
  const Border p(a.attrs);
  if (p.constant()) throw Error("mode must be 'reflect' or 'symmetric'");
  const Spec dx{a[0].dtype, attr_ints(a.attrs, "shape")}, dy = bordered(dx, p);
  bool fits = dy.shape.size() == a[0].shape.size() && !dy.shape.empty();
  for (std::size_t i = 0; fits && i < dy.shape.size(); ++i)
    fits = dim_merge(dy.shape[i], a[0].shape[i]) != -2;
  if (!fits) shape_error("dy must have shape " + to_string(dy.shape));
  return {dx};
}
Bound bind_pad_grad(const BindArgs& a) {
  return with_float(a.out[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[tables = mirror_tables(a.out[0].shape, Border(a.attrs)),
             n = element_count(a.out[0].shape)](const Run& r) {
              const T* dy = r.in<T>(0);
              T* dx = r.out<T>(0);
              std::fill_n(dx, n, T{0});
              Dim at = 0;
              each_mirrored(tables, 0, at, 0, [&](Dim from, Dim to) { dx[to] += dy[from]; });
            },
            0, static_cast<double>(element_count(a.in[0].shape))};
  });
}

const Register r{
    {.name = "concat",
     .traits = kAnyDtype,
     .infer = infer_concat,
     .bind = bind_concat,
     .vjp = concat_vjp},
    {.name = "split",
     .traits = kAnyDtype,
     .infer = infer_split,
     .bind = bind_split,
     .vjp = split_vjp},
    {.name = "pack", .traits = kPack | kAnyDtype, .infer = infer_pack, .bind = bind_pack},
    {.name = "pad", .infer = infer_pad, .bind = bind_pad, .vjp = pad_vjp},
    {.name = "pad_grad", .infer = infer_pad_grad, .bind = bind_pad_grad},
};

}  // namespace
}  // namespace lamina
