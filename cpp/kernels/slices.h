// Sums over much data by fixed slices, so that the bits do not depend on who computes which.
#pragma once

#include <algorithm>

#include "base/parallel.h"
#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina {

// to = the slices, n elements each, added in order; none: zeros.
template <class T>
void sum_slices(Dim slices, Dim n, const T* values, T* to) {
  parallel_for(n, 16384, [&](Dim begin, Dim end) {
    if (slices == 0) return std::fill(to + begin, to + end, T{0});
    std::copy(values + begin, values + end, to + begin);
    for (Dim p = 1; p < slices; ++p)
      apply<T>(
          to + begin, end - begin, [](Vec<T> a, Vec<T> b) { return a + b; }, to + begin,
          values + p * n + begin);
  });
}

}  // namespace lamina
