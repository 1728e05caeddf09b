// The filters of a convolution as vectors, where every filter sees few channels: the unit of work
// of kernels without a matrix product.
#pragma once

#include <algorithm>

#include "base/parallel.h"
#include "kernels/conv.h"
#include "kernels/patches.h"
#include "kernels/vec.h"

namespace lamina {

// Vectors [from, to) are being worked on. The last one ends at the last filter and repeats some of
// the one before: lanes do not know each other, and no vector is partial unless there are too few
// filters for one.
template <class T>
struct Vectors {
  Dim filters, from, to;

  Dim first(Dim v) const { return std::min(v * kLanes<T>, std::max<Dim>(filters - kLanes<T>, 0)); }
  int lanes() const { return static_cast<int>(std::min<Dim>(filters, kLanes<T>)); }
  // The filters of all of them.
  Dim begin() const { return first(from); }
  Dim size() const { return first(to - 1) + lanes() - begin(); }
};
template <class T>
Dim vector_count(const ConvShape& s) {
  return patches::ceil_div(s.out_c, kLanes<T>);
}

// w as (vector of filters, row) in `slot` of the workspace: what one sum needs lies together, where
// the rows of w may all fall into the same set of the cache. Missing lanes are 0.
template <class T>
const T* packed_weights(const ConvShape& s, const T* w, int slot) {
  const Dim count = vector_count<T>(s), depth = s.depth();
  const Vectors<T> vectors{s.out_c, 0, count};
  T* const packed = workspace<T>(slot, static_cast<std::size_t>(count * depth * kLanes<T>));
  T* to = packed;
  for (Dim v = 0; v < count; ++v)
    for (Dim row = 0; row < depth; ++row, to += kLanes<T>) {
      const T* const from = w + row * s.out_c + vectors.first(v);
      store(to, vectors.lanes() == kLanes<T> ? load(from) : load_n(from, vectors.lanes()));
    }
  return packed;
}

// Calls body(vectors) for parts of the filters whose weights stay in the first cache.
template <class T, class Body>
void over_filters(const ConvShape& s, const Body& body) {
  constexpr Dim kWeightBytes = 12 * 1024;
  const Dim count = vector_count<T>(s);
  const Dim most = std::max<Dim>(4, kWeightBytes / (s.depth() * kVecBytes));
  for (Dim v = 0; v < count; v += most) body(Vectors<T>{s.out_c, v, std::min(v + most, count)});
}

// Pixels per part, whole rows where a part has several; of results that do not depend on the
// partition. Without a product to share the work is mostly loads and stores, so that of one image
// is worth a thread long before a matrix product is.
inline Dim part_of_rows(Dim pixels, Dim width, double work) {
  constexpr double kLeastWork = 16384;  // multiply-adds
  const auto threads = std::clamp<Dim>(static_cast<Dim>(work / kLeastWork), 1, threads_at_hand());
  const Dim part = std::min(conv_part(pixels, work), patches::ceil_div(pixels, threads));
  return part > width ? patches::ceil_div(part, width) * width : part;
}

}  // namespace lamina
