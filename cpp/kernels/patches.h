// The inputs under the kernel as rows of a matrix (one row for each output pixel), and back.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/parallel.h"
#include "kernels/conv.h"
#include "kernels/vec.h"

namespace lamina::patches {

constexpr int kSlot = 2;            // workspace slot of the patch matrix
constexpr Dim kBytes = 128 * 1024;  // of L2
constexpr Dim kMinRows = 28;        // two tiles, for kernels so deep that fewer would fit

inline Dim ceil_div(Dim a, Dim b) { return (a + b - 1) / b; }

// Calls body(first, count) for `n` things in as few tiles of at most `most` as possible, evenly.
template <class Body>
LAMINA_INLINE void evenly(Dim n, Dim most, const Body& body) {
  const Dim tiles = ceil_div(n, most);
  for (Dim t = 0; t < tiles; ++t) body(n * t / tiles, n * (t + 1) / tiles - n * t / tiles);
}

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

// Calls body(kernel row, first element of its image row or nullptr outside) for every pair of a
// kernel plane and row, in order. Neighbouring cells of the image lie `step` elements apart.
template <class T, class Body>
LAMINA_INLINE void over_kernel_rows(const ConvShape& s, const OutputRow& out, T* image, Dim step,
                                    const Body& body) {
  Dim kernel_row = 0;
  for (Dim kd = 0; kd < s.kernel[0]; ++kd) {
    const Dim id = s.cell(0, out.plane, kd);
    for (Dim kh = 0; kh < s.kernel[1]; ++kh, ++kernel_row) {
      const Dim ih = s.cell(1, out.row, kh);
      const bool inside = id >= 0 && id < s.in[0] && ih >= 0 && ih < s.in[1];
      body(kernel_row, inside ? image + (id * s.in[1] + ih) * s.in[2] * step : nullptr);
    }
  }
}

// One pixel's run of kernel width * channels elements by single positions, zeros outside the image.
template <class T>
void fill_run_at_edge(const ConvShape& s, const T* row, Dim first, T* to) {
  const Dim channels = s.group_in();
  for (Dim kw = 0; kw < s.kernel[2]; ++kw, to += channels) {
    const Dim iw = first + kw * s.dilation[2];
    if (iw >= 0 && iw < s.in[2])
      copy_run(to, row + iw * s.in_c, channels);
    else
      std::fill(to, to + channels, T{0});
  }
}

// One kernel row over output columns [begin, end): for each, kernel width runs of `channels`
// elements of one image row; where the kernel hangs over an edge, zeros. `row` is null outside the
// image.
template <class T>
void fill_row(const ConvShape& s, const T* row, Dim begin, Dim end, T* to, Dim to_step) {
  const Dim run = s.kernel[2] * s.group_in();
  if (row == nullptr) {
    for (Dim ow = begin; ow < end; ++ow, to += to_step) std::fill(to, to + run, T{0});
    return;
  }
  // Columns [inner, outer) have the whole run inside the image, and in one piece.
  Dim inner = end, outer = end;
  if (s.groups == 1 && (s.dilation[2] == 1 || s.kernel[2] == 1) && s.in[2] >= s.kernel[2]) {
    const Dim last = s.in[2] - s.kernel[2] + s.pad[2];  // of the first cells that still fit
    inner = std::clamp(ceil_div(std::max<Dim>(s.pad[2], 0), s.stride[2]), begin, end);
    outer = std::clamp(last < 0 ? 0 : last / s.stride[2] + 1, inner, end);
  }
  for (Dim ow = begin; ow < inner; ++ow)
    fill_run_at_edge(s, row, s.cell(2, ow, 0), to + (ow - begin) * to_step);
  if (outer > inner)
    copy_runs(run, row + s.cell(2, inner, 0) * s.in_c, s.stride[2] * s.in_c,
              to + (inner - begin) * to_step, to_step, outer - inner);
  for (Dim ow = outer; ow < end; ++ow)
    fill_run_at_edge(s, row, s.cell(2, ow, 0), to + (ow - begin) * to_step);
}

// patches[pixel - begin, (kernel position, channel)] for output pixels [begin, end), one group.
template <class T>
void fill(const ConvShape& s, const T* x, Dim group, Dim begin, Dim end, T* patches) {
  const Dim depth = s.depth(), run = s.kernel[2] * s.group_in();
  x += group * s.group_in();
  for (Dim p = begin; p < end;) {
    const OutputRow out = row_at(s.out, p, end);
    over_kernel_rows(
        s, out, x + out.image * s.in_plane() * s.in_c, s.in_c, [&](Dim kernel_row, const T* row) {
          fill_row(s, row, out.column, out.column + out.count, patches + kernel_row * run, depth);
        });
    patches += out.count * depth;
    p += out.count;
  }
}

// dx += the patches of output pixels [begin, end), put back where they were taken from.
template <class T>
void add(const ConvShape& s, const T* patches, Dim group, Dim begin, Dim end, T* dx) {
  const auto plus = [](Vec<T> a, Vec<T> b) { return a + b; };
  const Dim channels = s.group_in(), run = s.kernel[2] * channels;
  const bool one_piece = s.groups == 1 && (s.dilation[2] == 1 || s.kernel[2] == 1);
  dx += group * channels;
  for (Dim p = begin; p < end; ++p, patches += s.depth()) {
    const OutputRow out = row_at(s.out, p, p + 1);
    const Dim first = s.cell(2, out.column, 0);
    over_kernel_rows(s, out, dx + out.image * s.in_plane() * s.in_c, s.in_c,
                     [&](Dim kernel_row, T* to) {
                       if (to == nullptr) return;
                       const T* const from = patches + kernel_row * run;
                       if (one_piece && first >= 0 && first + s.kernel[2] <= s.in[2]) {
                         T* const q = to + first * s.in_c;
                         apply<T>(q, run, plus, q, from);
                         return;
                       }
                       for (Dim kw = 0; kw < s.kernel[2]; ++kw) {
                         const Dim iw = first + kw * s.dilation[2];
                         T* const q = to + iw * s.in_c;
                         if (iw >= 0 && iw < s.in[2])
                           apply<T>(q, channels, plus, q, from + kw * channels);
                       }
                     });
  }
}

template <class T>
Dim rows(const ConvShape& s) {
  return std::max(kMinRows, kBytes / (std::max<Dim>(1, s.depth()) * Dim{sizeof(T)}));
}

// Calls body(patches, group, begin, end) for pixels [begin, end) of all groups, block by block.
template <class T, class Body>
void over_blocks(const ConvShape& s, const T* x, Dim begin, Dim end, const Body& body) {
  const Dim most = rows<T>(s);
  T* const patches = workspace<T>(kSlot, std::min(most, end - begin) * s.depth());
  for (Dim p = begin; p < end; p += most) {
    const Dim last = std::min(p + most, end);
    for (Dim g = 0; g < s.groups; ++g) {
      fill(s, x, g, p, last, patches);
      body(patches, g, p, last);
    }
  }
}

}  // namespace lamina::patches
