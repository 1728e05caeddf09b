// Convolution as a matrix product: for a block of output pixels the inputs under the kernel are
// laid out as the rows of a small matrix that stays in cache, and the product's epilogue adds bias
// and activation.
#include "kernels/conv.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/parallel.h"
#include "kernels/vec.h"

namespace lamina {
namespace {

constexpr int kPatchSlot = 2;               // workspace slot of the patch matrix
constexpr Dim kPatchBytes = 128 * 1024;     // of L2
constexpr Dim kMinPatchRows = 28;           // two tiles, for kernels so deep that fewer would fit
constexpr double kPartWork = 5e5;           // multiply-adds worth handing to another thread
constexpr Dim kSliceElements = 256 * 1024;  // weights up to this size are summed slice by slice

Dim ceil_div(Dim a, Dim b) { return (a + b - 1) / b; }

// to[0..n) = from[0..n) for runs that are often only a few elements long.
template <class T>
LAMINA_INLINE void copy_run(T* to, const T* from, Dim n) {
  Dim i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store<T>(to + i, load(from + i));
  copy_few<T>(to + i, from + i, static_cast<int>(n - i));
}

// count runs, `from` and `to` moving by their own steps. Short runs are copied by a few moves of
// fixed size: with few channels this loop is a good part of the convolution.
template <class T, int kRun>
void copy_short_runs(const T* from, Dim from_step, T* to, Dim to_step, Dim count) {
  for (; count > 0; --count, from += from_step, to += to_step)
    std::memcpy(to, from, kRun * sizeof(T));
}
template <class T>
void copy_runs(Dim run, const T* from, Dim from_step, T* to, Dim to_step, Dim count) {
  constexpr int kShort = 16;
  static constexpr auto kTable = []<int... kRun>(std::integer_sequence<int, kRun...>) {
    return std::array{copy_short_runs<T, kRun + 1>...};
  }
  (std::make_integer_sequence<int, kShort>());
  if (run <= kShort)
    return kTable[static_cast<std::size_t>(run - 1)](from, from_step, to, to_step, count);
  for (; count > 0; --count, from += from_step, to += to_step) copy_run(to, from, run);
}

// One pixel's run of kernel_w * channels elements by single positions, zeros outside the image.
template <class T>
void fill_run_at_edge(const ConvShape& s, const T* row, Dim first, T* to) {
  const Dim channels = s.group_in();
  for (Dim kw = 0; kw < s.kernel_w; ++kw, to += channels) {
    const Dim iw = first + kw * s.dilation_w;
    if (iw >= 0 && iw < s.in_w)
      copy_run(to, row + iw * s.in_c, channels);
    else
      std::fill(to, to + channels, T{0});
  }
}

// One kernel row over output columns [begin, end): for each, kernel_w runs of `channels` elements
// of one image row; where the kernel hangs over an edge, zeros. `row` is null outside the image.
template <class T>
void fill_patch_row(const ConvShape& s, const T* row, Dim begin, Dim end, T* to, Dim to_step) {
  const Dim run = s.kernel_w * s.group_in();
  if (row == nullptr) {
    for (Dim ow = begin; ow < end; ++ow, to += to_step) std::fill(to, to + run, T{0});
    return;
  }
  // Columns [inner, outer) have the whole run inside the image, and in one piece.
  Dim inner = end, outer = end;
  if (s.groups == 1 && (s.dilation_w == 1 || s.kernel_w == 1) && s.in_w >= s.kernel_w) {
    const Dim last = s.in_w - s.kernel_w + s.pad_left;  // of the first cells that still fit
    inner = std::clamp(ceil_div(std::max<Dim>(s.pad_left, 0), s.stride_w), begin, end);
    outer = std::clamp(last < 0 ? 0 : last / s.stride_w + 1, inner, end);
  }
  const auto first = [&](Dim ow) { return ow * s.stride_w - s.pad_left; };
  for (Dim ow = begin; ow < inner; ++ow)
    fill_run_at_edge(s, row, first(ow), to + (ow - begin) * to_step);
  if (outer > inner)
    copy_runs(run, row + first(inner) * s.in_c, s.stride_w * s.in_c, to + (inner - begin) * to_step,
              to_step, outer - inner);
  for (Dim ow = outer; ow < end; ++ow)
    fill_run_at_edge(s, row, first(ow), to + (ow - begin) * to_step);
}

// patches[pixel - begin, (kh, kw, channel)] for output pixels [begin, end) and one group.
template <class T>
void fill_patches(const ConvShape& s, const T* x, Dim group, Dim begin, Dim end, T* patches) {
  const Dim depth = s.depth(), run = s.kernel_w * s.group_in();
  x += group * s.group_in();
  for (Dim p = begin; p < end;) {
    const Dim row = p / s.out_w, ow = p % s.out_w;
    const Dim image = row / s.out_h, oh = row % s.out_h;
    const Dim count = std::min(s.out_w - ow, end - p);
    for (Dim kh = 0; kh < s.kernel_h; ++kh) {
      const Dim ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
      const bool inside = ih >= 0 && ih < s.in_h;
      fill_patch_row(s, inside ? x + (image * s.in_h + ih) * s.in_w * s.in_c : nullptr, ow,
                     ow + count, patches + kh * run, depth);
    }
    patches += count * depth;
    p += count;
  }
}

// dx += the patches of output pixels [begin, end), put back where they were taken from.
template <class T>
void add_patches(const ConvShape& s, const T* patches, Dim group, Dim begin, Dim end, T* dx) {
  const auto add = [](Vec<T> a, Vec<T> b) { return a + b; };
  const Dim channels = s.group_in(), run = s.kernel_w * channels;
  const bool one_piece = s.groups == 1 && (s.dilation_w == 1 || s.kernel_w == 1);
  dx += group * channels;
  for (Dim p = begin; p < end; ++p) {
    const Dim row = p / s.out_w, first = p % s.out_w * s.stride_w - s.pad_left;
    const Dim image = row / s.out_h, oh = row % s.out_h;
    for (Dim kh = 0; kh < s.kernel_h; ++kh, patches += run) {
      const Dim ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
      if (ih < 0 || ih >= s.in_h) continue;
      T* const to = dx + (image * s.in_h + ih) * s.in_w * s.in_c;
      if (one_piece && first >= 0 && first + s.kernel_w <= s.in_w) {
        T* const q = to + first * s.in_c;
        apply<T>(q, run, add, q, patches);
        continue;
      }
      for (Dim kw = 0; kw < s.kernel_w; ++kw) {
        const Dim iw = first + kw * s.dilation_w;
        T* const q = to + iw * s.in_c;
        if (iw >= 0 && iw < s.in_w) apply<T>(q, channels, add, q, patches + kw * channels);
      }
    }
  }
}

template <class T>
Dim patch_rows(const ConvShape& s) {
  return std::max(kMinPatchRows, kPatchBytes / (std::max<Dim>(1, s.depth()) * Dim{sizeof(T)}));
}

// Calls body(patches, group, begin, end) for pixels [begin, end) of all groups, block by block.
template <class T, class Body>
void over_patches(const ConvShape& s, const T* x, Dim begin, Dim end, const Body& body) {
  const Dim rows = patch_rows<T>(s);
  T* const patches = workspace<T>(kPatchSlot, std::min(rows, end - begin) * s.depth());
  for (Dim p = begin; p < end; p += rows) {
    const Dim last = std::min(p + rows, end);
    for (Dim g = 0; g < s.groups; ++g) {
      fill_patches(s, x, g, p, last, patches);
      body(patches, g, p, last);
    }
  }
}

// Slices of the pixels whose weight gradients are kept apart and summed in order at the end.
Dim weight_slices(const ConvShape& s) {
  if (s.pointwise() || s.pixels() == 0 || (s.weights() > kSliceElements && !s.depthwise()))
    return 1;
  const Dim most = std::clamp<Dim>(8 * kSliceElements / std::max<Dim>(1, s.weights()), 1, 64);
  return ceil_div(s.pixels(), conv_part(s.pixels(), s.multiply_adds(), most));
}

// dw = the slices, n elements each, added in order.
template <class T>
void sum_slices(Dim slices, Dim n, const T* values, T* dw) {
  parallel_for(n, 16384, [&](Dim begin, Dim end) {
    std::copy(values + begin, values + end, dw + begin);
    for (Dim p = 1; p < slices; ++p)
      apply<T>(
          dw + begin, end - begin, [](Vec<T> a, Vec<T> b) { return a + b; }, dw + begin,
          values + p * n + begin);
  });
}

// Weight gradient of pixels [begin, end).
template <class T>
void weight_grad_slice(const ConvShape& s, const T* x, const T* dy, Dim begin, Dim end, T* dw) {
  const Dim depth = s.depth(), columns = s.group_out();
  over_patches(s, x, begin, end, [&](const T* patches, Dim g, Dim p, Dim last) {
    gemm_serial<T>(depth, columns, last - p, patches, 1, depth, dy + p * s.out_c + g * columns,
                   s.out_c, 1, dw + g * columns, s.out_c, {.accumulate = p > begin});
  });
}

// Large weights: one kernel position and some output channels at a time, over all pixels.
template <class T>
void weight_grad_by_position(const ConvShape& s, const T* x, const T* dy, T* dw) {
  constexpr Dim kColumns = 128;
  const Dim channels = s.group_in(), columns = s.group_out();
  const Dim blocks = ceil_div(columns, kColumns), positions = s.kernel_h * s.kernel_w;
  parallel_chunks(positions * blocks, [&](std::int64_t chunk) {
    const Dim position = chunk / blocks, column = chunk % blocks * kColumns;
    ConvShape at = s;  // the same convolution with this position only
    at.kernel_h = at.kernel_w = 1;
    at.pad_top -= position / s.kernel_w * s.dilation_h;
    at.pad_left -= position % s.kernel_w * s.dilation_w;
    over_patches(at, x, 0, s.pixels(), [&](const T* patches, Dim g, Dim p, Dim last) {
      const Dim offset = g * columns + column;
      gemm_serial<T>(channels, std::min(kColumns, columns - column), last - p, patches, 1, channels,
                     dy + p * s.out_c + offset, s.out_c, 1,
                     dw + position * channels * s.out_c + offset, s.out_c, {.accumulate = p > 0});
    });
  });
}

// Is dx computed as a convolution of dy? With a stride most of its products would be with zeros;
// with few input channels it would be a product with few columns.
bool turns_weights(const ConvShape& s) {
  return s.unit_stride() && s.group_in() >= 8 && !s.pointwise() && !s.depthwise();
}

// The convolution that takes dy to dx when the stride is 1: kernel turned by 180 degrees, input
// and output channels of each group exchanged.
ConvShape transposed(const ConvShape& s) {
  ConvShape t = s;
  t.in_h = s.out_h, t.in_w = s.out_w, t.in_c = s.out_c;
  t.out_h = s.in_h, t.out_w = s.in_w, t.out_c = s.in_c;
  t.pad_top = (s.kernel_h - 1) * s.dilation_h - s.pad_top;
  t.pad_left = (s.kernel_w - 1) * s.dilation_w - s.pad_left;
  return t;
}

template <class T>
void turn_weights(const ConvShape& s, const T* w, T* turned) {
  const Dim positions = s.kernel_h * s.kernel_w, in = s.group_in(), out = s.group_out();
  const auto turn = [&](std::int64_t position) {
    const T* const from = w + (positions - 1 - position) * in * s.out_c;
    T* to = turned + position * in * s.out_c;
    for (Dim o = 0; o < out; ++o)
      for (Dim g = 0; g < s.groups; ++g)
        for (Dim i = 0; i < in; ++i) *to++ = from[i * s.out_c + g * out + o];
  };
  if (s.weights() > kSliceElements) return parallel_chunks(positions, turn);
  for (Dim position = 0; position < positions; ++position) turn(position);
}

// The other way: the gradient of every patch by a product, added back image by image.
template <class T>
void input_grad_by_patches(const ConvShape& s, const T* dy, const T* w, T* dx) {
  const Dim depth = s.depth(), columns = s.group_out(), plane = s.out_h * s.out_w;
  const Dim rows = std::min(patch_rows<T>(s), plane);
  parallel_chunks(s.batch, [&](std::int64_t image) {
    T* const patches = workspace<T>(kPatchSlot, rows * depth);
    std::fill(dx + image * s.in_h * s.in_w * s.in_c, dx + (image + 1) * s.in_h * s.in_w * s.in_c,
              T{0});
    for (Dim p = image * plane; p < (image + 1) * plane; p += rows) {
      const Dim last = std::min(p + rows, (image + 1) * plane);
      for (Dim g = 0; g < s.groups; ++g) {
        gemm_serial<T>(last - p, depth, columns, dy + p * s.out_c + g * columns, s.out_c, 1,
                       w + g * columns, 1, s.out_c, patches, depth, {});
        add_patches(s, patches, g, p, last, dx);
      }
    }
  });
}

}  // namespace

Dim conv_part(Dim pixels, double work, Dim most_parts) {
  const Dim parts = std::clamp<Dim>(static_cast<Dim>(work / kPartWork), 1, most_parts);
  return std::max<Dim>(1, ceil_div(pixels, parts));
}

template <class T>
void conv2d(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e) {
  if (s.pointwise())
    return gemm<T>(s.pixels(), s.out_c, s.in_c, x, s.in_c, 1, w, s.out_c, 1, y, s.out_c, e);
  if (s.depthwise()) return depthwise(s, x, w, y, e);
  const Dim depth = s.depth(), columns = s.group_out();
  parallel_for(s.pixels(), conv_part(s.pixels(), s.multiply_adds()), [&](Dim begin, Dim end) {
    over_patches(s, x, begin, end, [&](const T* patches, Dim g, Dim p, Dim last) {
      Epilogue<T> part = e;
      if (part.bias != nullptr) part.bias += g * columns;
      gemm_serial<T>(last - p, columns, depth, patches, depth, 1, w + g * columns, s.out_c, 1,
                     y + p * s.out_c + g * columns, s.out_c, part);
    });
  });
}

Dim conv2d_input_grad_scratch(const ConvShape& s) { return turns_weights(s) ? s.weights() : 0; }

template <class T>
void conv2d_input_grad(const ConvShape& s, const T* dy, const T* w, T* dx, T* scratch) {
  if (s.pointwise())
    return gemm<T>(s.pixels(), s.in_c, s.out_c, dy, s.out_c, 1, w, 1, s.out_c, dx, s.in_c, {});
  if (s.depthwise()) return depthwise_input_grad(s, dy, w, dx);
  if (!turns_weights(s)) return input_grad_by_patches(s, dy, w, dx);
  turn_weights(s, w, scratch);
  conv2d<T>(transposed(s), dy, scratch, dx, {});
}

Dim conv2d_weight_grad_scratch(const ConvShape& s) {
  const Dim slices = weight_slices(s);
  return slices > 1 ? slices * s.weights() : 0;
}

template <class T>
void conv2d_weight_grad(const ConvShape& s, const T* x, const T* dy, T* dw, T* scratch) {
  if (s.pixels() == 0) return std::fill(dw, dw + s.weights(), T{0}), void();
  if (s.pointwise())
    return gemm<T>(s.in_c, s.out_c, s.pixels(), x, 1, s.in_c, dy, s.out_c, 1, dw, s.out_c, {});
  if (s.weights() > kSliceElements && !s.depthwise()) return weight_grad_by_position(s, x, dy, dw);
  const Dim slices = weight_slices(s), part = ceil_div(s.pixels(), slices);
  T* const into = slices == 1 ? dw : scratch;
  parallel_chunks(slices, [&](std::int64_t i) {
    const Dim begin = i * part, end = std::min(begin + part, s.pixels());
    T* const slice = into + i * s.weights();
    if (s.depthwise())
      depthwise_weight_grad(s, x, dy, begin, end, slice);
    else
      weight_grad_slice(s, x, dy, begin, end, slice);
  });
  if (slices > 1) sum_slices(slices, s.weights(), scratch, dw);
}

#define LAMINA_INSTANTIATE(T)                                                            \
  template void conv2d<T>(const ConvShape&, const T*, const T*, T*, const Epilogue<T>&); \
  template void conv2d_input_grad<T>(const ConvShape&, const T*, const T*, T*, T*);      \
  template void conv2d_weight_grad<T>(const ConvShape&, const T*, const T*, T*, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
