// The copies behind the layout ops.
#include <algorithm>
#include <utility>

#include "base/parallel.h"
#include "kernels/transpose.h"
#include "ops/layout.h"

namespace lamina {
namespace {

constexpr Dim kChunkElements = 16384;
constexpr std::size_t kMaxAxes = 16;

// An axis of both sides.
struct Axis {
  Dim size, from, to;  // steps
};

// Drops axes of one element and joins neighbours that are one run on both sides.
std::vector<Axis> simplified(const std::vector<Axis>& axes) {
  std::vector<Axis> out;
  for (const Axis& a : axes) {
    if (a.size == 1) continue;
    if (!out.empty() && out.back().from == a.from * a.size && out.back().to == a.to * a.size)
      out.back() = {out.back().size * a.size, a.from, a.to};
    else
      out.push_back(a);
  }
  if (out.size() > kMaxAxes) shape_error("moves more than 16 axes");
  return out;
}

std::vector<Axis> with_contiguous(const std::vector<Stride>& strides, bool contiguous_to) {
  std::vector<Axis> axes(strides.size());
  Dim step = 1;
  for (std::size_t i = strides.size(); i-- > 0;) {
    axes[i] = contiguous_to ? Axis{strides[i].size, strides[i].step, step}
                            : Axis{strides[i].size, step, strides[i].step};
    step *= strides[i].size;
  }
  return axes;
}

// Where a walk over the outer axes stands.
class Walk {
 public:
  Walk(const std::vector<Axis>& axes, Dim start) : axes_(axes) {
    for (std::size_t i = axes.size(); i-- > 0;) {
      at_[i] = start % axes[i].size;
      start /= axes[i].size;
      from += at_[i] * axes[i].from;
      to += at_[i] * axes[i].to;
    }
  }
  void next() {
    for (std::size_t i = axes_.size(); i-- > 0;) {
      from += axes_[i].from;
      to += axes_[i].to;
      if (++at_[i] < axes_[i].size) return;
      from -= axes_[i].size * axes_[i].from;
      to -= axes_[i].size * axes_[i].to;
      at_[i] = 0;
    }
  }
  Dim from = 0, to = 0;

 private:
  const std::vector<Axis>& axes_;
  Dim at_[kMaxAxes];
};

// The loops: outer axes one position at a time, each a plane of lines. Where a line lies apart on
// the side read, the plane is one whose rows are neighbours there, and is transposed.
struct Copy {
  std::vector<Axis> outer;
  Axis line{1, 1, 1}, rows{1, 0, 0};
  bool transposes = false;
  Dim offset_from = 0, offset_to = 0, tasks = 1;

  Copy(std::vector<Axis> axes, Dim from, Dim to) : offset_from(from), offset_to(to) {
    axes = simplified(axes);
    if (!axes.empty()) line = axes.back(), axes.pop_back();
    if (line.to == 1 && line.from != 1) {
      const auto neighbours =
          std::find_if(axes.begin(), axes.end(), [](const Axis& a) { return a.from == 1; });
      if (neighbours != axes.end()) rows = *neighbours, axes.erase(neighbours), transposes = true;
    }
    if (!transposes && !axes.empty() && axes.back().size * line.size <= kChunkElements)
      rows = axes.back(), axes.pop_back();  // short lines: fewer steps of the walk
    outer = std::move(axes);
    for (const Axis& a : outer) tasks *= a.size;
  }

  template <class T>
  void run(const T* from, T* to) const {
    const Dim grain = kChunkElements / std::max<Dim>(1, line.size * rows.size) + 1;
    parallel_for(tasks, grain, [&](Dim begin, Dim end) {
      Walk walk(outer, begin);
      for (Dim t = begin; t < end; ++t, walk.next())
        one(from + offset_from + walk.from, to + offset_to + walk.to);
    });
  }

  template <class T>
  void one(const T* from, T* to) const {
    if (transposes)
      return kernels::transpose_plane(from, line.from, to, rows.to, rows.size, line.size);
    for (Dim i = 0; i < rows.size; ++i, from += rows.from, to += rows.to) {
      if (line.to == 1)
        kernels::gather_strided(from, line.from, to, line.size);
      else
        for (Dim j = 0; j < line.size; ++j) to[j * line.to] = from[j * line.from];
    }
  }
};

double work_of(const std::vector<Stride>& axes) {
  double n = 1;
  for (const Stride& s : axes) n *= static_cast<double>(s.size);
  return n;
}

}  // namespace

Bound bind_strided_read(DType dtype, std::vector<Stride> axes, Dim offset) {
  const double work = work_of(axes);
  if (work == 0) return {[](const Run&) {}, 0, 0};
  return with_item(dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[copy = Copy(with_contiguous(axes, true), offset, 0)](const Run& r) {
              copy.run(r.in<T>(0), r.out<T>(0));
            },
            0, work};
  });
}

Bound bind_strided_write(const Spec& out, std::vector<Stride> axes, Dim offset, double fill) {
  const double work = work_of(axes);
  const Dim count = element_count(out.shape);
  if (work == 0) axes.clear();
  return with_any(out.dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const auto value = static_cast<T>(fill);
    const Copy copy(with_contiguous(axes, false), 0, offset);
    return {[value, count, copy, empty = work == 0](const Run& r) {
              std::fill_n(r.out<T>(0), count, value);
              if (!empty) copy.run(r.in<T>(0), r.out<T>(0));
            },
            0, static_cast<double>(count)};
  });
}

std::vector<Dim> contiguous_steps(const Shape& shape) {
  std::vector<Dim> steps(shape.size());
  Dim step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    steps[i] = step;
    step *= shape[i];
  }
  return steps;
}

Bound bind_transpose(const Spec& in, const std::vector<int>& perm) {
  const std::vector<Dim> steps = contiguous_steps(in.shape);
  std::vector<Stride> axes;
  for (const int p : perm)
    axes.push_back({in.shape[static_cast<std::size_t>(p)], steps[static_cast<std::size_t>(p)]});
  return bind_strided_read(in.dtype, std::move(axes), 0);
}

}  // namespace lamina
