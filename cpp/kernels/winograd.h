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

#include <cstdint>
#include <span>

#include "kernels/conv.h"

namespace lamina::winograd {

// The weights [..., inputs, outputs] of a convolution or, turned by 180 degrees and transposed,
// those that take dy to dx.
enum class Weights { forward, turned };

// Is it faster than the direct way for this shape? (The data gradient is the convolution
// `transposed(s)`.)
bool pays(const ConvShape& s);

// An image whose channels lie in several images: side by side they make up its channels.
struct Parts {
  std::span<const Dim> channels;
  void* const* data;
  float* at(std::size_t i) const { return static_cast<float*>(data[i]); }
};
// Can these sizes be the parts of an image? Parts begin where a vector does.
bool can_be_parts(std::span<const Dim> channels);

// Elements of scratch for each.
Dim conv_scratch(const ConvShape& s);
Dim weight_grad_scratch(const ConvShape& s);

// The weights transformed apart, once for many convolutions: elements, the transform, and the
// convolution. Elements and transform depend on the kernel and the channels alone; 0: no scheme
// suits the kernel.
Dim weights_size(const ConvShape& s);
void transform_weights(const ConvShape& s, const float* w, float* transformed);
void conv_transformed(const ConvShape& s, const Parts& x, const float* transformed, const Parts& y,
                      const Epilogue<float>& e);
// Is the transform of the weights a noticeable part of the convolution?
bool transform_counts(const ConvShape& s);

// The largest of all outputs of each image and filter [batch, out_c]; for kernels along one axis
// and images of one row. These may be rows of a table, told by their numbers.
struct Places {
  const float* data;
  const void* rows = nullptr;  // numbers of them, or null: one cell lies behind the other
  bool are_long = false;       // 64 bits each, not 32
  const float* at(Dim i, Dim channels) const {
    if (rows != nullptr)
      i = are_long ? static_cast<const std::int64_t*>(rows)[i]
                   : static_cast<const std::int32_t*>(rows)[i];
    return data + i * channels;
  }
};
bool has_maxima(const ConvShape& s);
Dim maxima_scratch(const ConvShape& s);
void maxima_transformed(const ConvShape& s, const Places& x, const float* transformed, float* most,
                        const Epilogue<float>& e, float* scratch);

// A part of y that nobody wants may be null.
void conv(const ConvShape& s, const Parts& x, const float* w, Weights kind, const Parts& y,
          const Epilogue<float>& e, float* scratch);
void weight_grad(const ConvShape& s, const Parts& x, const float* dy, float* dw, float* scratch);

}  // namespace lamina::winograd
