// Convolution with one filter per channel: every step is a vector of channels, so there is nothing
// for a matrix product to share.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/conv.h"
#include "kernels/vec.h"

namespace lamina {
namespace {

struct Pixel {
  Dim image, row, column;
};
Pixel pixel_at(Dim p, Dim height, Dim width) {
  return {p / (width * height), p / width % height, p % width};
}

// Calls body(tap, input element offset) for the kernel positions that lie inside the image.
template <class Body>
LAMINA_INLINE void over_taps(const ConvShape& s, const Pixel& out, const Body& body) {
  for (Dim kh = 0; kh < s.kernel_h; ++kh) {
    const Dim ih = out.row * s.stride_h - s.pad_top + kh * s.dilation_h;
    if (ih < 0 || ih >= s.in_h) continue;
    for (Dim kw = 0; kw < s.kernel_w; ++kw) {
      const Dim iw = out.column * s.stride_w - s.pad_left + kw * s.dilation_w;
      if (iw < 0 || iw >= s.in_w) continue;
      body(kh * s.kernel_w + kw, ((out.image * s.in_h + ih) * s.in_w + iw) * s.in_c);
    }
  }
}

// sum[c] += a[c] * b[c]
template <class T>
LAMINA_INLINE void multiply_add(T* sum, Dim channels, const T* a, const T* b) {
  apply<T>(
      sum, channels, [](Vec<T> s, Vec<T> x, Vec<T> y) { return s + x * y; }, sum, a, b);
}

template <class T>
void finish(T* y, Dim channels, const Epilogue<T>& e) {
  if (e.bias != nullptr)
    apply<T>(
        y, channels, [](Vec<T> a, Vec<T> b) { return a + b; }, y, e.bias);
  switch (e.activation) {
    case Activation::linear:
      break;
    case Activation::relu:
      return apply<T>(
          y, channels, [](Vec<T> a) { return at_least(a, Vec<T>{}); }, y);
    case Activation::sigmoid:
      return apply<T>(
          y, channels, [](Vec<T> a) { return sigmoid(a); }, y);
    case Activation::tanh:
      return apply<T>(
          y, channels, [](Vec<T> a) { return tanh(a); }, y);
  }
}

}  // namespace

template <class T>
void depthwise(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e) {
  const Dim channels = s.out_c;
  parallel_for(s.pixels(), conv_part(s.pixels(), s.multiply_adds()), [&](Dim begin, Dim end) {
    for (Dim p = begin; p < end; ++p) {
      T* const q = y + p * channels;
      std::fill(q, q + channels, T{0});
      over_taps(s, pixel_at(p, s.out_h, s.out_w),
                [&](Dim tap, Dim at) { multiply_add(q, channels, x + at, w + tap * channels); });
      finish(q, channels, e);
    }
  });
}

template <class T>
void depthwise_input_grad(const ConvShape& s, const T* dy, const T* w, T* dx) {
  const Dim channels = s.in_c, pixels = s.batch * s.in_h * s.in_w;
  // The output row or column that reads input `at` through kernel position k, or -1.
  const auto reader = [](Dim at, Dim k, Dim stride, Dim size) {
    const Dim distance = at - k;
    if (distance < 0 || distance % stride != 0 || distance / stride >= size) return Dim{-1};
    return distance / stride;
  };
  parallel_for(pixels, conv_part(pixels, s.multiply_adds()), [&](Dim begin, Dim end) {
    for (Dim p = begin; p < end; ++p) {
      const Pixel in = pixel_at(p, s.in_h, s.in_w);
      T* const q = dx + p * channels;
      std::fill(q, q + channels, T{0});
      for (Dim kh = 0; kh < s.kernel_h; ++kh) {
        const Dim oh = reader(in.row + s.pad_top, kh * s.dilation_h, s.stride_h, s.out_h);
        if (oh < 0) continue;
        for (Dim kw = 0; kw < s.kernel_w; ++kw) {
          const Dim ow = reader(in.column + s.pad_left, kw * s.dilation_w, s.stride_w, s.out_w);
          if (ow < 0) continue;
          multiply_add(q, channels, dy + ((in.image * s.out_h + oh) * s.out_w + ow) * channels,
                       w + (kh * s.kernel_w + kw) * channels);
        }
      }
    }
  });
}

template <class T>
void depthwise_weight_grad(const ConvShape& s, const T* x, const T* dy, Dim begin, Dim end, T* dw) {
  const Dim channels = s.out_c;
  std::fill(dw, dw + s.weights(), T{0});
  for (Dim p = begin; p < end; ++p)
    over_taps(s, pixel_at(p, s.out_h, s.out_w), [&](Dim tap, Dim at) {
      multiply_add(dw + tap * channels, channels, x + at, dy + p * channels);
    });
}

#define LAMINA_INSTANTIATE(T)                                                               \
  template void depthwise<T>(const ConvShape&, const T*, const T*, T*, const Epilogue<T>&); \
  template void depthwise_input_grad<T>(const ConvShape&, const T*, const T*, T*);          \
  template void depthwise_weight_grad<T>(const ConvShape&, const T*, const T*, Dim, Dim, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
