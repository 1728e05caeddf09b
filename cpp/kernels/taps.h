// The taps of convolution kernels over one row of pixels: which columns read what, for kernels that
// go through the image row by row without laying out patches.
#pragma once

#include <algorithm>

#include "kernels/conv.h"
#include "kernels/patches.h"

namespace lamina::taps {

using patches::ceil_div;

// One input of every filter (a position of the kernel and a channel of the group), for one row of
// outputs.
struct Tap {
  Dim from;        // element that column 0 reads; column c reads from + c * step
  Dim row;         // of w
  Dim begin, end;  // the columns whose cell lies inside the image
};
struct Taps {
  Tap* list;
  int count = 0;
  void add(const Tap& tap) {
    if (tap.begin < tap.end) list[count++] = tap;
  }
  // Columns that all taps [first, first + n) have: `end` may lie before `begin`.
  void common(int first, int n, Dim& begin, Dim& end) const {
    for (int i = first; i < first + n; ++i) {
      begin = std::max(begin, list[i].begin);
      end = std::min(end, list[i].end);
    }
  }
};

inline Dim floor_div(Dim a, Dim b) { return a >= 0 ? a / b : -ceil_div(-a, b); }
inline Dim ceil_div_signed(Dim a, Dim b) { return a > 0 ? ceil_div(a, b) : -(-a / b); }

// The taps of a row of the convolution's outputs.
inline void output_taps(const ConvShape& s, const OutputRow& out, Taps& taps) {
  taps.count = 0;
  for (Dim kd = 0; kd < s.kernel[0]; ++kd) {
    const Dim id = s.cell(0, out.plane, kd);
    if (id < 0 || id >= s.in[0]) continue;
    for (Dim kh = 0; kh < s.kernel[1]; ++kh) {
      const Dim ih = s.cell(1, out.row, kh);
      if (ih < 0 || ih >= s.in[1]) continue;
      const Dim row = (out.image * s.in[0] + id) * s.in[1] + ih;
      for (Dim kw = 0; kw < s.kernel[2]; ++kw) {
        const Dim iw = s.cell(2, 0, kw), stride = s.stride[2];
        const Dim position = (kd * s.kernel[1] + kh) * s.kernel[2] + kw;
        for (Dim i = 0; i < s.group_in(); ++i)
          taps.add({(row * s.in[2] + iw) * s.in_c + i, position * s.group_in() + i,
                    std::max(out.column, ceil_div_signed(-iw, stride)),
                    std::min(out.column + out.count, floor_div(s.in[2] - 1 - iw, stride) + 1)});
      }
    }
  }
}

// The output that reads input cell `at` of an axis at kernel position k, or -1.
inline Dim reader(const ConvShape& s, int axis, Dim at, Dim k) {
  const Dim distance = at + s.pad[axis] - k * s.dilation[axis];
  if (distance < 0 || distance % s.stride[axis] != 0) return -1;
  const Dim o = distance / s.stride[axis];
  return o < s.out[axis] ? o : -1;
}

// The taps of every stride-th column of a row of inputs, the first of them `first`: column c of
// them is read by the outputs that are c further. With several channels in a group, w is turned.
inline void input_taps(const ConvShape& s, const OutputRow& in, Dim first, Dim count, Taps& taps) {
  taps.count = 0;
  for (Dim kd = 0; kd < s.kernel[0]; ++kd) {
    const Dim od = reader(s, 0, in.plane, kd);
    if (od < 0) continue;
    for (Dim kh = 0; kh < s.kernel[1]; ++kh) {
      const Dim oh = reader(s, 1, in.row, kh);
      if (oh < 0) continue;
      const Dim row = (in.image * s.out[0] + od) * s.out[1] + oh;
      for (Dim kw = 0; kw < s.kernel[2]; ++kw) {
        const Dim distance = first + s.pad[2] - kw * s.dilation[2];
        const Dim ow = floor_div(distance, s.stride[2]);
        if (ow * s.stride[2] != distance) continue;
        const Dim position = (kd * s.kernel[1] + kh) * s.kernel[2] + kw;
        const Dim readers = s.group_in() == 1 ? 1 : s.group_out();  // of a channel, for each tap
        const Dim w_row = readers == 1 ? position : (s.positions() - 1 - position) * readers;
        for (Dim o = 0; o < readers; ++o)
          taps.add({(row * s.out[2] + ow) * s.out_c + o, w_row + o, std::max<Dim>(0, -ow),
                    std::min(count, s.out[2] - ow)});
      }
    }
  }
}

}  // namespace lamina::taps
