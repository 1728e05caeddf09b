// Reductions over axes. Every set of axes becomes one of three pictures: rows [outer, extent],
// columns [outer, extent, inner], or, for what alternates more often, a transposed copy and rows.
#include "kernels/reduce.h"

#include <algorithm>
#include <numeric>

#include "base/parallel.h"
#include "ops/elementwise.h"
#include "ops/layout.h"
#include "ops/reduce.h"

namespace lamina {

std::vector<int> reduced_axes(const Attrs& attrs, std::size_t rank) {
  if (attrs.find("axes") != attrs.end()) return normalize_axes(attr_ints(attrs, "axes"), rank);
  std::vector<int> all(rank);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Shape reduced_shape(const Shape& shape, const std::vector<int>& axes, bool keepdims) {
  Shape out;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool reduced = std::binary_search(axes.begin(), axes.end(), static_cast<int>(i));
    if (!reduced)
      out.push_back(shape[i]);
    else if (keepdims)
      out.push_back(1);
  }
  return out;
}

namespace {

using namespace kernels;

constexpr Dim kChunkElements = 16384;
constexpr Dim kSlabSlices = 8;       // row slices of a column that one task sums
constexpr Dim kStripColumns = 1024;  // columns of a task

struct Picture {
  Dim outer = 1, extent = 1, inner = 1;
  bool transposed = false;
};

Picture make_picture(const Shape& shape, const std::vector<int>& axes) {
  std::vector<std::pair<Dim, bool>> runs;  // size, reduced
  Picture p;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool reduced = std::binary_search(axes.begin(), axes.end(), static_cast<int>(i));
    if (shape[i] == 1) continue;
    if (!runs.empty() && runs.back().second == reduced)
      runs.back().first *= shape[i];
    else
      runs.emplace_back(shape[i], reduced);
  }
  const std::size_t n = runs.size();
  const auto first_reduced =
      std::find_if(runs.begin(), runs.end(), [](auto& r) { return r.second; });
  const auto at = static_cast<std::size_t>(first_reduced - runs.begin());
  if (at == n) {  // nothing to reduce
    if (n == 1) p.inner = runs[0].first;
  } else if (at <= 1 && n <= at + 2) {
    if (at == 1) p.outer = runs[0].first;
    p.extent = runs[at].first;
    if (n == at + 2) p.inner = runs[at + 1].first;
  } else {
    p.transposed = true;
    for (const auto& [size, reduced] : runs) (reduced ? p.extent : p.outer) *= size;
  }
  return p;
}

// ---- Rows: out[o] from extent neighbours. A few long rows are split into slices.
template <class R, class T>
Bound bind_rows(Dim outer, Dim extent, Dim divisor) {
  const Dim slices = (extent + kSlice - 1) / kSlice;
  const auto finish = [divisor](Wide<T> total) {
    return static_cast<T>(divisor >= 0 ? total / static_cast<Wide<T>>(divisor) : total);
  };
  const double flops = static_cast<double>(outer) * static_cast<double>(extent);
  if (slices <= 4 || outer >= 16) {
    const Dim grain = kChunkElements / std::max<Dim>(extent, 1) + 1;
    return {[=](const Run& r) {
              const T* x = r.in<T>(0);
              T* out = r.out<T>(0);
              parallel_for(outer, grain, [&](Dim begin, Dim end) {
                for (Dim o = begin; o < end; ++o)
                  out[o] = finish(reduce_row<R, T>(x + o * extent, extent));
              });
            },
            0, flops};
  }
  return {[=](const Run& r) {
            const T* x = r.in<T>(0);
            T* out = r.out<T>(0);
            auto* parts = reinterpret_cast<T*>(r.scratch);
            parallel_for(outer * slices, kChunkElements / kSlice, [&](Dim begin, Dim end) {
              for (Dim i = begin; i < end; ++i) {
                const Dim from = i % slices * kSlice;
                parts[i] = reduce_slice<R, T>(x + i / slices * extent + from,
                                              std::min(kSlice, extent - from));
              }
            });
            for (Dim o = 0; o < outer; ++o) {
              Wide<T> total = R::template identity<T>;
              for (Dim s = 0; s < slices; ++s)
                total = R::combine(total, static_cast<Wide<T>>(parts[o * slices + s]));
              out[o] = finish(total);
            }
          },
          static_cast<std::size_t>(outer * slices) * sizeof(T), flops};
}

// ---- Columns: out[o, c] from extent rows. A task is a slab of rows and a strip of columns.
struct ColumnTasks {
  Dim outer, extent, inner;
  bool few;
  Dim slab_rows, slabs, strip, strips;

  ColumnTasks(Dim o, Dim e, Dim i) : outer(o), extent(e), inner(i), few(i <= kFewColumns) {
    slab_rows = kSliceRows * kSlabSlices * (few ? kFold : 1);
    slabs = std::max<Dim>(1, (extent + slab_rows - 1) / slab_rows);
    strip = few ? inner : std::min(inner, kStripColumns);
    strips = (inner + strip - 1) / strip;
  }
  Dim count() const { return outer * slabs * strips; }

  // The result of each slab goes to to[(o, slab), c].
  template <class R, class T>
  void run(const T* x, T* to, Dim task) const {
    const Dim c = task % strips * strip, slab = task / strips % slabs, o = task / strips / slabs;
    const Dim first = slab * slab_rows, rows = std::min(slab_rows, extent - first);
    const T* from = x + (o * extent + first) * inner + c;
    T* out = to + (o * slabs + slab) * inner + c;
    if (few)
      reduce_few_columns<R, T>(from, rows, inner, out);
    else
      reduce_columns<R, T>(from, rows, std::min(strip, inner - c), inner, out);
  }
};

// Slabs hold sums already: joining them must not map again.
template <class R>
using Join = std::conditional_t<std::is_same_v<R, SumOfSquares>, SumOf, R>;

template <class R, class T>
Bound bind_columns(Dim outer, Dim extent, Dim inner, Dim divisor) {
  const ColumnTasks tasks(outer, extent, inner);
  const Dim work = std::max<Dim>(1, std::min(tasks.slab_rows, extent) * tasks.strip);
  const Dim grain = kChunkElements / work + 1;
  const bool split = tasks.slabs > 1;
  return {[=](const Run& r) {
            const T* x = r.in<T>(0);
            T* out = r.out<T>(0);
            T* to = split ? reinterpret_cast<T*>(r.scratch) : out;
            parallel_for(tasks.count(), grain, [&](Dim begin, Dim end) {
              for (Dim t = begin; t < end; ++t) tasks.run<R, T>(x, to, t);
            });
            if (split)
              for (Dim o = 0; o < outer; ++o)
                reduce_columns<Join<R>, T>(to + o * tasks.slabs * inner, tasks.slabs, inner, inner,
                                           out + o * inner);
            if (divisor >= 0)
              for (Dim i = 0; i < outer * inner; ++i) out[i] /= static_cast<T>(divisor);
          },
          split ? static_cast<std::size_t>(outer * tasks.slabs * inner) * sizeof(T) : 0,
          static_cast<double>(outer) * static_cast<double>(extent) * static_cast<double>(inner)};
}

template <class R, class T>
Bound bind_picture(const Picture& p, Dim divisor) {
  if (p.outer == 0 || p.inner == 0) return {[](const Run&) {}, 0, 0};  // no results
  return p.inner == 1 ? bind_rows<R, T>(p.outer, p.extent, divisor)
                      : bind_columns<R, T>(p.outer, p.extent, p.inner, divisor);
}

// The element types that R is used with; integer sums and products wrap around.
template <class R>
Bound bind_picture(DType dtype, const Picture& p, bool mean) {
  const Dim divisor = mean ? p.extent : -1;  // negative: no division
  if constexpr (std::is_same_v<R, AllOf>) {
    return bind_picture<R, std::uint8_t>(p, -1);
  } else if constexpr (std::is_same_v<R, SumOfSquares>) {
    return with_float(dtype, [&](auto tag) { return bind_picture<R, decltype(tag)>(p, -1); });
  } else {
    constexpr bool kWraps = R::kSum || std::is_same_v<R, ProductOf>;
    using I32 = std::conditional_t<kWraps, std::uint32_t, std::int32_t>;
    using I64 = std::conditional_t<kWraps, std::uint64_t, std::int64_t>;
    switch (dtype) {
      case DType::f32:
        return bind_picture<R, float>(p, divisor);
      case DType::f64:
        return bind_picture<R, double>(p, divisor);
      case DType::i32:
        return bind_picture<R, I32>(p, divisor);
      case DType::i64:
        return bind_picture<R, I64>(p, divisor);
      default:
        return bind_picture<R, std::uint8_t>(p, divisor);
    }
  }
}

}  // namespace

std::size_t aligned_bytes(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

template <class R>
Bound bind_reduction(const Spec& in, const std::vector<int>& axes, bool mean) {
  const Picture p = make_picture(in.shape, axes);
  Bound reduce = bind_picture<R>(in.dtype, p, mean);
  if (!p.transposed) return reduce;
  std::vector<int> perm, last;
  for (int i = 0; i < static_cast<int>(in.shape.size()); ++i)
    (std::binary_search(axes.begin(), axes.end(), i) ? last : perm).push_back(i);
  perm.insert(perm.end(), last.begin(), last.end());
  Bound move = bind_transpose(in, perm);
  const std::size_t copy = aligned_bytes(byte_size(in));
  return {[copy, move = std::move(move.run), reduce = std::move(reduce.run)](const Run& r) {
            void* moved = r.scratch;
            move({r.ins, &moved, nullptr, r.failure});
            reduce({&moved, r.outs, r.scratch + copy, r.failure});
          },
          copy + reduce.scratch_bytes, 2 * reduce.flops};
}
template Bound bind_reduction<SumOf>(const Spec&, const std::vector<int>&, bool);
template Bound bind_reduction<SumOfSquares>(const Spec&, const std::vector<int>&, bool);
template Bound bind_reduction<ProductOf>(const Spec&, const std::vector<int>&, bool);
template Bound bind_reduction<MaximumOf>(const Spec&, const std::vector<int>&, bool);
template Bound bind_reduction<MinimumOf>(const Spec&, const std::vector<int>&, bool);
template Bound bind_reduction<AllOf>(const Spec&, const std::vector<int>&, bool);

}  // namespace lamina
