// Convolution straight from the image: register tiles of pixels times filters (weight gradient:
// taps times filters) read the pixels where they lie, so no matrix of patches is written. A tap is
// a position of the kernel and a channel; few channels gain most.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/conv.h"

namespace lamina::direct {

constexpr Dim kMostTaps = 2048;

bool suits(const ConvShape& s);              // the output
bool suits_weight_grad(const ConvShape& s);  // also with more channels

// Neighbouring output rows of one image that are computed together.
struct Bands {
  Dim rows;   // of one band, the last may have fewer
  Dim count;  // in an image

  Bands(Dim height, Dim rows) : rows(rows), count((height + rows - 1) / rows) {}
};

// How the taps of an output pixel lie in memory, either in the image itself or, where the kernel
// hangs over its edges, in a copy of the rows at hand with zeros around them.
template <class T>
class Reader {
 public:
  explicit Reader(const ConvShape& s);

  // The first tap of the first pixel of output rows [begin, end).
  const T* rows(const T* image, Dim begin, Dim end) const;
  // Elements from there to the end of the last row that they read.
  Dim extent(Dim begin, Dim end) const;

  Dim pixel_step() const { return shape_.stride[2] * shape_.in_c; }
  Dim row_step() const { return shape_.stride[1] * line_; }
  const std::int32_t* taps() const { return taps_.data(); }  // their places after the first

 private:
  void copy_rows(const T* image, Dim first, Dim count, T* to) const;

  const ConvShape& shape_;
  bool copies_;
  Dim line_;  // elements of a row of the image or the copy
  std::array<std::int32_t, kMostTaps> taps_;
};

// y[end - begin, width, filters]: output rows of one image.
template <class T>
void output_rows(const ConvShape& s, const Reader<T>& reader, const T* image, const T* w, Dim begin,
                 Dim end, T* y, const Epilogue<T>& e);

// dw[taps, filters] += (or =) the products of the taps with dy[end - begin, width, filters].
template <class T>
void weight_grad_rows(const ConvShape& s, const Reader<T>& reader, const T* image, const T* dy,
                      Dim begin, Dim end, T* dw, bool accumulate);

// The whole batch.
template <class T>
void conv(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e);
Dim weight_grad_scratch(const ConvShape& s);
template <class T>
void weight_grad(const ConvShape& s, const T* x, const T* dy, T* dw, T* scratch);

}  // namespace lamina::direct
