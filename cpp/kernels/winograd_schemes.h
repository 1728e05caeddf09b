// Which scheme of Winograd's convolution suits a shape.
#pragma once

#include "kernels/winograd_line.h"
#include "kernels/winograd_square.h"

namespace lamina::winograd {

// Calls f with the scheme for the kernel of `s`; false without a call: there is none. Larger tiles
// save more products, but they need more points (kIn), and 8 cost twice the accuracy of 6: they are
// for kernels for which 6 save little. From 7 taps on the gradient of the weights would be too far
// off.
template <class F>
bool with_scheme(const ConvShape& s, const F& f) {
  if (s.kernel[0] != 1) return false;
  if (s.kernel[1] == 3 && s.kernel[2] == 3) return f(Square{}), true;
  if (s.kernel[1] != 1) return false;
  switch (s.kernel[2]) {
    case 3:
      return f(Line<4, 3>{}), true;
    case 4:
      return f(Line<3, 4>{}), true;
    case 5:
      return f(Line<4, 5>{}), true;
    case 6:
      return f(Line<3, 6>{}), true;
    default:
      return false;
  }
}

}  // namespace lamina::winograd
