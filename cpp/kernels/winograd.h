// Winograd's convolution, for float, step 1 and kernels of 3 x 3 or of 3 to 6 taps along one axis:
// tiles of 4 x 4 outputs from 36 products a pair of channels instead of 144, and of 3 or 4 outputs
// in a row from half the products or less. The sums are those of the direct convolution in another
// form. Against float64 their error (rms, relative to that of the result) is two to three times the
// direct one's, for the gradient of the weights two to six times: 1e-6 each. Half of that with 3
// and 4 taps along one axis.
//
// Every number depends on its tile alone: not on the batch, nor on the threads. So whether this way
// is taken depends on the shape of one image only.
#pragma once

#include "kernels/conv.h"

namespace lamina::winograd {

// The weights [..., inputs, outputs] of a convolution or, turned by 180 degrees and transposed,
// those that take dy to dx.
enum class Weights { forward, turned };

// Is it faster than the direct way for this shape? (The data gradient is the convolution
// `transposed(s)`.)
bool pays(const ConvShape& s);

// Elements of scratch for each.
Dim conv_scratch(const ConvShape& s);
Dim weight_grad_scratch(const ConvShape& s);

void conv(const ConvShape& s, const float* x, const float* w, Weights kind, float* y,
          const Epilogue<float>& e, float* scratch);
void weight_grad(const ConvShape& s, const float* x, const float* dy, float* dw, float* scratch);

}  // namespace lamina::winograd
