// Convolution as a matrix product: for a block of output pixels the inputs under the kernel are
// laid out as the rows of a small matrix that stays in cache, and the product's epilogue adds bias
// and activation. Where Winograd's way is faster (winograd.h), the ops take that instead.
#include "kernels/conv.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/parallel.h"
#include "kernels/direct.h"
#include "kernels/patches.h"
#include "kernels/slices.h"

namespace lamina {
namespace {

using patches::ceil_div;

constexpr double kPartWork = 5e5;           // multiply-adds worth handing to another thread
constexpr int kPlaneSlot = 3;               // workspace slot of an image's gradient by channels
constexpr Dim kSliceElements = 256 * 1024;  // weights up to this size are summed slice by slice

// ---- Weight gradient

// Slices of the pixels whose weight gradients are kept apart and summed in order at the end.
Dim weight_slices(const ConvShape& s) {
  if (s.pixels() == 0 || (s.weights() > kSliceElements && !s.thin())) return 1;
  const Dim most = std::clamp<Dim>(8 * kSliceElements / std::max<Dim>(1, s.weights()), 1, 64);
  return ceil_div(s.pixels(), conv_part(s.pixels(), s.multiply_adds(), most));
}

// The same for a kernel of one position, a product whose sums are as long as there are pixels: a
// thread takes the pixels that it took in the ops around, instead of some weights over all pixels.
// One slice: what the slices would write is not little beside what they read.
Dim pointwise_slices(const ConvShape& s) {
  constexpr Dim kLeastPixels = 512, kShare = 8;
  const Dim read = s.pixels() * (s.in_c + s.out_c), written = std::max<Dim>(1, s.weights());
  return std::clamp<Dim>(std::min(s.pixels() / kLeastPixels, read / kShare / written), 1, 64);
}

template <class T>
void pointwise_weight_grad(const ConvShape& s, const T* x, const T* dy, T* dw, T* scratch) {
  const auto product = [&](Dim begin, Dim end, Dim row, Dim last, T* to) {
    gemm_serial<T>(last - row, s.out_c, end - begin, x + begin * s.in_c + row, 1, s.in_c,
                   dy + begin * s.out_c, s.out_c, 1, to + row * s.out_c, s.out_c, {});
  };
  const Dim slices = pointwise_slices(s), part = ceil_div(s.pixels(), slices);
  if (slices == 1)
    return gemm<T>(s.in_c, s.out_c, s.pixels(), x, 1, s.in_c, dy, s.out_c, 1, dw, s.out_c, {});
  // Many threads share a slice; who computes which weights leaves no trace in them.
  const Dim blocks = std::clamp<Dim>(2 * threads_at_hand() / slices, 1, ceil_div(s.in_c, 16));
  const Dim rows = ceil_div(s.in_c, blocks);
  parallel_chunks(slices * blocks, [&](std::int64_t chunk) {
    const Dim i = chunk / blocks, row = chunk % blocks * rows, last = std::min(row + rows, s.in_c);
    if (row < last)
      product(i * part, std::min((i + 1) * part, s.pixels()), row, last, scratch + i * s.weights());
  });
  sum_slices(slices, s.weights(), scratch, dw);
}

// Weight gradient of pixels [begin, end).
template <class T>
void weight_grad_slice(const ConvShape& s, const T* x, const T* dy, Dim begin, Dim end, T* dw) {
  const Dim depth = s.depth(), columns = s.group_out();
  patches::over_blocks(s, x, begin, end, [&](const T* block, Dim g, Dim p, Dim last) {
    gemm_serial<T>(depth, columns, last - p, block, 1, depth, dy + p * s.out_c + g * columns,
                   s.out_c, 1, dw + g * columns, s.out_c, {.accumulate = p > begin});
  });
}

// The convolution with this position of the kernel only.
ConvShape at_position(const ConvShape& s, Dim position) {
  ConvShape at = s;
  at.kernel = {1, 1, 1};
  for (int axis = 2; axis >= 0; --axis) {
    at.pad[axis] -= position % s.kernel[axis] * s.dilation[axis];
    position /= s.kernel[axis];
  }
  return at;
}

// Large weights: one kernel position and some output channels at a time, over all pixels.
template <class T>
void weight_grad_by_position(const ConvShape& s, const T* x, const T* dy, T* dw) {
  constexpr Dim kColumns = 128;
  const Dim channels = s.group_in(), columns = s.group_out();
  const Dim blocks = ceil_div(columns, kColumns);
  parallel_chunks(s.positions() * blocks, [&](std::int64_t chunk) {
    const Dim position = chunk / blocks, column = chunk % blocks * kColumns;
    const ConvShape at = at_position(s, position);
    patches::over_blocks(at, x, 0, s.pixels(), [&](const T* block, Dim g, Dim p, Dim last) {
      const Dim offset = g * columns + column;
      gemm_serial<T>(channels, std::min(kColumns, columns - column), last - p, block, 1, channels,
                     dy + p * s.out_c + offset, s.out_c, 1,
                     dw + position * channels * s.out_c + offset, s.out_c, {.accumulate = p > 0});
    });
  });
}

// ---- Input gradient

// There are three ways. As a convolution of dy with turned weights: with a stride most of its
// products would be with zeros, with few input channels it would be a product with few columns. As
// the gradients of all patches, added back pixel by pixel. And the same with pixels along the rows
// of the matrices, for inputs of few channels.
constexpr Dim kFewChannels = 8;

bool turns_weights(const ConvShape& s) {
  if (s.thin()) return s.group_in() > 1;
  return s.unit_stride() && s.group_in() >= kFewChannels && !s.pointwise();
}
bool by_planes(const ConvShape& s) { return s.groups == 1 && s.in_c < kFewChannels; }

template <class T>
void turn_weights(const ConvShape& s, const T* w, T* turned) {
  const Dim positions = s.positions(), in = s.group_in(), out = s.group_out();
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

// The gradient of every patch by a product, added back image by image.
template <class T>
void input_grad_by_patches(const ConvShape& s, const T* dy, const T* w, T* dx) {
  const Dim depth = s.depth(), columns = s.group_out(), plane = s.out_plane();
  const Dim rows = std::min(patches::rows<T>(s), plane), image_size = s.in_plane() * s.in_c;
  parallel_chunks(s.batch, [&](std::int64_t image) {
    T* const block = workspace<T>(patches::kSlot, rows * depth);
    std::fill(dx + image * image_size, dx + (image + 1) * image_size, T{0});
    for (Dim p = image * plane; p < (image + 1) * plane; p += rows) {
      const Dim last = std::min(p + rows, (image + 1) * plane);
      for (Dim g = 0; g < s.groups; ++g) {
        gemm_serial<T>(last - p, depth, columns, dy + p * s.out_c + g * columns, s.out_c, 1,
                       w + g * columns, 1, s.out_c, block, depth, {});
        patches::add(s, block, g, p, last, dx);
      }
    }
  });
}

// One row of gradients of patches, those of one place in the kernel for `out`'s columns, is added
// to the row of the plane that the place lies in.
template <class T>
void add_to_plane_row(const ConvShape& s, const OutputRow& out, Dim kw, const T* grads, T* row) {
  const Dim stride = s.stride[2], first = s.cell(2, out.column, kw);
  const Dim begin = first < 0 ? std::min(ceil_div(-first, stride), out.count) : 0;
  const Dim end =
      first >= s.in[2] ? begin : std::clamp(ceil_div(s.in[2] - first, stride), begin, out.count);
  T* const to = row + first + begin * stride;
  if (stride == 1)
    return apply<T>(
        to, end - begin, [](Vec<T> a, Vec<T> b) { return a + b; }, to, grads + begin);
  for (Dim i = 0; i < end - begin; ++i) to[i * stride] += grads[begin + i];
}

// grads (kernel position, channel; pixel) of output pixels [begin, end) of an image, added to its
// planes (channel; cell).
template <class T>
void add_to_planes(const ConvShape& s, const T* grads, Dim step, Dim begin, Dim end, T* planes) {
  for (Dim p = begin; p < end;) {
    const OutputRow out = row_at(s.out, p, end);
    for (Dim c = 0; c < s.in_c; ++c)
      patches::over_kernel_rows(s, out, planes + c * s.in_plane(), 1, [&](Dim kernel_row, T* row) {
        for (Dim kw = 0; kw < s.kernel[2] && row != nullptr; ++kw)
          add_to_plane_row(
              s, out, kw, grads + ((kernel_row * s.kernel[2] + kw) * s.in_c + c) * step + p - begin,
              row);
      });
    p += out.count;
  }
}

template <class T>
void input_grad_by_planes(const ConvShape& s, const T* dy, const T* w, T* dx) {
  const Dim depth = s.depth(), plane = s.out_plane(), cells = s.in_plane();
  const Dim columns = std::min(patches::rows<T>(s), plane);
  parallel_chunks(s.batch, [&](std::int64_t image) {
    T* const block = workspace<T>(patches::kSlot, depth * columns);
    T* const to = dx + image * cells * s.in_c;
    T* const planes = s.in_c == 1 ? to : workspace<T>(kPlaneSlot, cells * s.in_c);
    std::fill(planes, planes + cells * s.in_c, T{0});
    for (Dim p = 0; p < plane; p += columns) {
      const Dim last = std::min(p + columns, plane);
      gemm_serial<T>(depth, last - p, s.out_c, w, s.out_c, 1, dy + (image * plane + p) * s.out_c, 1,
                     s.out_c, block, columns, {});
      add_to_planes(s, block, columns, p, last, planes);
    }
    for (Dim i = 0; i < cells && s.in_c > 1; ++i)
      for (Dim c = 0; c < s.in_c; ++c) to[i * s.in_c + c] = planes[c * cells + i];
  });
}

}  // namespace

ConvShape transposed(const ConvShape& s) {
  ConvShape t = s;
  std::swap(t.in, t.out);
  std::swap(t.in_c, t.out_c);
  for (int axis = 0; axis < 3; ++axis)
    t.pad[axis] = (s.kernel[axis] - 1) * s.dilation[axis] - s.pad[axis];
  return t;
}

Dim conv_part(Dim pixels, double work, Dim most_parts) {
  const Dim most = std::clamp<Dim>(static_cast<Dim>(work / kPartWork), 1, most_parts);
  // A power of two: threads meet at the same pixels in all ops.
  const auto parts = static_cast<Dim>(std::bit_floor(static_cast<std::uint64_t>(most)));
  return std::max<Dim>(1, ceil_div(pixels, parts));
}

template <class T>
void conv(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e) {
  if (s.pointwise())
    return gemm<T>(s.pixels(), s.out_c, s.in_c, x, s.in_c, 1, w, s.out_c, 1, y, s.out_c, e);
  if (s.thin()) return depthwise(s, x, w, y, e);
  if (direct::suits(s)) return direct::conv(s, x, w, y, e);
  const Dim depth = s.depth(), columns = s.group_out();
  parallel_for(s.pixels(), conv_part(s.pixels(), s.multiply_adds()), [&](Dim begin, Dim end) {
    patches::over_blocks(s, x, begin, end, [&](const T* block, Dim g, Dim p, Dim last) {
      Epilogue<T> part = e;
      if (part.bias != nullptr) part.bias += g * columns;
      gemm_serial<T>(last - p, columns, depth, block, depth, 1, w + g * columns, s.out_c, 1,
                     y + p * s.out_c + g * columns, s.out_c, part);
    });
  });
}

Dim conv_input_grad_scratch(const ConvShape& s) { return turns_weights(s) ? s.weights() : 0; }

template <class T>
void conv_input_grad(const ConvShape& s, const T* dy, const T* w, T* dx, T* scratch) {
  if (s.pointwise())
    return gemm<T>(s.pixels(), s.in_c, s.out_c, dy, s.out_c, 1, w, 1, s.out_c, dx, s.in_c, {});
  if (turns_weights(s)) {
    turn_weights(s, w, scratch);
    w = scratch;
  }
  if (s.thin()) return depthwise_input_grad(s, dy, w, dx);
  if (turns_weights(s)) return conv<T>(transposed(s), dy, w, dx, {});
  if (by_planes(s)) return input_grad_by_planes(s, dy, w, dx);
  input_grad_by_patches(s, dy, w, dx);
}

Dim conv_weight_grad_scratch(const ConvShape& s) {
  if (direct::suits_weight_grad(s)) return direct::weight_grad_scratch(s);
  const Dim slices = s.pointwise() ? pointwise_slices(s) : weight_slices(s);
  return slices > 1 ? slices * s.weights() : 0;
}

template <class T>
void conv_weight_grad(const ConvShape& s, const T* x, const T* dy, T* dw, T* scratch) {
  if (s.pixels() == 0) return std::fill(dw, dw + s.weights(), T{0}), void();
  if (s.pointwise()) return pointwise_weight_grad(s, x, dy, dw, scratch);
  if (direct::suits_weight_grad(s)) return direct::weight_grad(s, x, dy, dw, scratch);
  if (s.weights() > kSliceElements && !s.thin()) return weight_grad_by_position(s, x, dy, dw);
  const Dim slices = weight_slices(s), part = ceil_div(s.pixels(), slices);
  T* const into = slices == 1 ? dw : scratch;
  parallel_chunks(slices, [&](std::int64_t i) {
    const Dim begin = i * part, end = std::min(begin + part, s.pixels());
    T* const slice = into + i * s.weights();
    if (s.thin())
      depthwise_weight_grad(s, x, dy, begin, end, slice);
    else
      weight_grad_slice(s, x, dy, begin, end, slice);
  });
  if (slices > 1) sum_slices(slices, s.weights(), scratch, dw);
}

#define LAMINA_INSTANTIATE(T)                                                          \
  template void conv<T>(const ConvShape&, const T*, const T*, T*, const Epilogue<T>&); \
  template void conv_input_grad<T>(const ConvShape&, const T*, const T*, T*, T*);      \
  template void conv_weight_grad<T>(const ConvShape&, const T*, const T*, T*, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
