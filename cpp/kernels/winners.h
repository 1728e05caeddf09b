// The weight gradient of a convolution from the winners of the pooling after it. Of the four cells
// of a 2 x 2 window one has a gradient; which one differs from filter to filter. The part of the
// image that a window's cells see fits a vector, so a permutation gives each filter the pixel its
// winner saw: a quarter of the products, and no map of gradients.
#pragma once

#include "kernels/direct.h"
#include "kernels/pool.h"

namespace lamina {

// Numbers of winners in memory, a byte each.
template <class T>
struct ByteLanes {
  typedef std::uint8_t Bytes __attribute__((vector_size(kLanes<T>)));

  static LAMINA_INLINE std::size_t bytes(Dim left) {
    return left >= kLanes<T> ? sizeof(Bytes) : static_cast<std::size_t>(left);
  }
  static LAMINA_INLINE Mask<T> load(const std::uint8_t* p, Dim left) {
    Bytes v{};
    std::memcpy(&v, p, bytes(left));
    return __builtin_convertvector(v, Mask<T>);
  }
  static LAMINA_INLINE void store(std::uint8_t* p, Mask<T> numbers, Dim left) {
    const Bytes v = __builtin_convertvector(numbers, Bytes);
    std::memcpy(p, &v, bytes(left));
  }
};

// The gradient of a pooled map before a relu, whose output is relu_y unless that is null.
template <class T>
struct PooledGradient {
  const T *dy, *relu_y;
  const std::uint8_t* where;

  template <class Strip>
  LAMINA_INLINE Vec<T> load(const Strip& strip, Dim at, int v) const {
    const Vec<T> d = strip.load(dy + at, v);
    if (relu_y == nullptr) return d;
    return strip.load(relu_y + at, v) > Vec<T>{} ? d : Vec<T>{};
  }
};

namespace winners {

// 3 x 3 kernels, windows of 2 x 2, and vectors that hold what they see.
bool suit(const ConvShape& conv, const PoolShape& pool);

// Adds to dw and db the gradient from pooled rows [begin, end) of an example, whose gradients
// start at index `at`.
void weight_grad_rows(const ConvShape& conv, const PoolShape& pool,
                      const direct::Reader<float>& reader, const float* image,
                      const PooledGradient<float>& pooled, Dim at, Dim begin, Dim end, float* dw,
                      float* db);

}  // namespace winners
}  // namespace lamina
