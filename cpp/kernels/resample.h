// Weighted sums of neighbours along one axis: what resizing an image is made of. The axis of `in`
// cells becomes one of `out`; output position o is the sum of weights[o, k] x[starts[o] + k].
// Vectorised over what lies behind the axis.
#pragma once

#include <algorithm>

#include "base/parallel.h"
#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina {

struct ResampleShape {
  Dim outer, in, out, inner, taps;

  double work() const {
    return static_cast<double>(outer * out) * static_cast<double>(inner * taps) * 2;
  }
  // Rows of `out` positions that are worth a chunk of their own.
  Dim grain(Dim units) const {
    constexpr double kChunk = 65536;  // operations
    const double total = static_cast<double>(units);
    return std::max<Dim>(1, static_cast<Dim>(std::min(total, kChunk * total / (work() + 1))));
  }
};

namespace resample_detail {

// to[i] += weight * from[i]; the sum starts anew where `first`.
template <class T>
LAMINA_INLINE void add_scaled(T weight, const T* from, T* to, Dim n, bool first) {
  const Vec<T> w = Vec<T>{} + weight;
  Dim i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    const Vec<T> sum = first ? Vec<T>{} : load(to + i);
    store<T>(to + i, sum + w * load(from + i));
  }
  for (; i < n; ++i) to[i] = (first ? T{0} : to[i]) + weight * from[i];
}

// As above for rows too short for a vector: one number at a time, all taps in a register.
template <class T>
LAMINA_INLINE void weigh_few(const T* weights, const T* x, Dim taps, Dim inner, T* y) {
  for (Dim c = 0; c < inner; ++c) {
    T sum{0};
    for (Dim k = 0; k < taps; ++k) sum += weights[k] * x[k * inner + c];
    y[c] = sum;
  }
}

}  // namespace resample_detail

template <class T>
void resample(const ResampleShape& s, const T* x, const T* weights, const std::int32_t* starts,
              T* y) {
  using namespace resample_detail;
  const Dim rows = s.outer * s.out;
  parallel_for(rows, s.grain(rows), [&](Dim begin, Dim end) {
    for (Dim row = begin; row < end; ++row) {
      const Dim o = row % s.out;
      const T* const w = weights + o * s.taps;
      const T* const from = x + (row / s.out * s.in + starts[o]) * s.inner;
      T* const to = y + row * s.inner;
      if (s.inner < kLanes<T>) {
        weigh_few(w, from, s.taps, s.inner, to);
        continue;
      }
      for (Dim k = 0; k < s.taps; ++k) add_scaled(w[k], from + k * s.inner, to, s.inner, k == 0);
    }
  });
}

// dx: the same weights the other way, in the order of the output positions. A task owns some of
// the columns behind the axis.
template <class T>
void resample_grad(const ResampleShape& s, const T* dy, const T* weights,
                   const std::int32_t* starts, T* dx) {
  using namespace resample_detail;
  constexpr Dim kColumns = 2048;
  const Dim blocks = (s.inner + kColumns - 1) / kColumns, tasks = s.outer * blocks;
  parallel_for(tasks, s.grain(tasks), [&](Dim begin, Dim end) {
    for (Dim task = begin; task < end; ++task) {
      const Dim first = task % blocks * kColumns, n = std::min(kColumns, s.inner - first);
      T* const plane = dx + task / blocks * s.in * s.inner + first;
      const T* from = dy + task / blocks * s.out * s.inner + first;
      for (Dim i = 0; i < s.in; ++i) std::fill_n(plane + i * s.inner, n, T{0});
      for (Dim o = 0; o < s.out; ++o, from += s.inner)
        for (Dim k = 0; k < s.taps; ++k)
          add_scaled(weights[o * s.taps + k], from, plane + (starts[o] + k) * s.inner, n, false);
    }
  });
}

}  // namespace lamina
