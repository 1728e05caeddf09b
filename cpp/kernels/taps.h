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

inline Dim floor_div(Dim a, Dim b) {
  if (b == 1) return a;
  return a >= 0 ? a / b : -ceil_div(-a, b);
}
inline Dim ceil_div_signed(Dim a, Dim b) { return -floor_div(-a, b); }

// The row after one that goes to the end of its line: no divisions, as row_at() has.
inline void next_row(const ConvShape::Axes& out, Dim left, OutputRow& row) {
  row.column = 0;
  row.count = std::min(left, out[2]);
  if (++row.row < out[1]) return;
  row.row = 0;
  if (++row.plane < out[0]) return;
  row.plane = 0;
  ++row.image;
}

// What the columns of a row read at one kernel position along it: column 0 reads cell `at`, and
// [begin, end) are those whose cell lies inside the image. Worked out once for many rows.
struct Reach {
  Dim at, begin, end;
};

// For the columns of the convolution's outputs.
inline void output_reach(const ConvShape& s, Reach* reach) {
  for (Dim kw = 0; kw < s.kernel[2]; ++kw) {
    const Dim at = s.cell(2, 0, kw), stride = s.stride[2];
    reach[kw] = {at, std::max<Dim>(0, ceil_div_signed(-at, stride)),
                 floor_div(s.in[2] - 1 - at, stride) + 1};
  }
}

// The taps of a row of the convolution's outputs.
inline void output_taps(const ConvShape& s, const OutputRow& out, const Reach* reach, Taps& taps) {
  taps.count = 0;
  for (Dim kd = 0; kd < s.kernel[0]; ++kd) {
    const Dim id = s.cell(0, out.plane, kd);
    if (id < 0 || id >= s.in[0]) continue;
    for (Dim kh = 0; kh < s.kernel[1]; ++kh) {
      const Dim ih = s.cell(1, out.row, kh);
      if (ih < 0 || ih >= s.in[1]) continue;
      const Dim row = ((out.image * s.in[0] + id) * s.in[1] + ih) * s.in[2];
      const Dim position = (kd * s.kernel[1] + kh) * s.kernel[2];
      for (Dim kw = 0; kw < s.kernel[2]; ++kw)
        for (Dim i = 0; i < s.group_in(); ++i)
          taps.add({(row + reach[kw].at) * s.in_c + i, (position + kw) * s.group_in() + i,
                    std::max(out.column, reach[kw].begin),
                    std::min(out.column + out.count, reach[kw].end)});
    }
  }
}

// The output that reads input cell `at` of an axis at kernel position k, or -1.
inline Dim reader(const ConvShape& s, int axis, Dim at, Dim k) {
  const Dim distance = at + s.pad[axis] - k * s.dilation[axis];
  const Dim o = floor_div(distance, s.stride[axis]);
  return o >= 0 && o < s.out[axis] && o * s.stride[axis] == distance ? o : -1;
}

// For every stride-th column of a row of inputs, the first of them `first`: column c of them is
// read by the outputs that are c further.
inline void input_reach(const ConvShape& s, Dim first, Reach* reach) {
  for (Dim kw = 0; kw < s.kernel[2]; ++kw) {
    const Dim distance = first + s.pad[2] - kw * s.dilation[2];
    const Dim ow = floor_div(distance, s.stride[2]);
    const bool hits = ow * s.stride[2] == distance;
    reach[kw] = {ow, std::max<Dim>(0, -ow), hits ? s.out[2] - ow : 0};
  }
}

// The taps of `count` such columns. With several channels in a group, w is turned.
inline void input_taps(const ConvShape& s, const OutputRow& in, Dim count, const Reach* reach,
                       Taps& taps) {
  taps.count = 0;
  const Dim readers = s.group_in() == 1 ? 1 : s.group_out();  // of a channel, for each tap
  for (Dim kd = 0; kd < s.kernel[0]; ++kd) {
    const Dim od = reader(s, 0, in.plane, kd);
    if (od < 0) continue;
    for (Dim kh = 0; kh < s.kernel[1]; ++kh) {
      const Dim oh = reader(s, 1, in.row, kh);
      if (oh < 0) continue;
      const Dim row = ((in.image * s.out[0] + od) * s.out[1] + oh) * s.out[2];
      for (Dim kw = 0; kw < s.kernel[2]; ++kw) {
        const Dim position = (kd * s.kernel[1] + kh) * s.kernel[2] + kw;
        const Dim w_row = readers == 1 ? position : (s.positions() - 1 - position) * readers;
        for (Dim o = 0; o < readers; ++o)
          taps.add({(row + reach[kw].at) * s.out_c + o, w_row + o, reach[kw].begin,
                    std::min(count, reach[kw].end)});
      }
    }
  }
}

}  // namespace lamina::taps
