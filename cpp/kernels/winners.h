// The weight gradient of a convolution from the winners of the pooling after it. Of the four cells
// of a 2 x 2 window one has a gradient; which one differs from filter to filter. What a tap reads
// for these cells are two pixels in each of two rows, so a permutation of two vectors gives each
// filter the pixel its winner saw: a quarter of the products, and no map of gradients.
#pragma once

#include "kernels/direct.h"
#include "kernels/pool.h"

namespace lamina {

// Numbers of winners in memory, a byte each.
template <class T>
struct ByteLanes {
  typedef std::int8_t Bytes __attribute__((vector_size(kLanes<T>)));

  static LAMINA_INLINE Mask<T> load(const std::uint8_t* p, Dim left) {
    Bytes v{};
    if (left >= kLanes<T>)
      std::memcpy(&v, p, sizeof v);
    else
      v = load_few(p, left);
    return widen(v);
  }
  static LAMINA_INLINE void store(std::uint8_t* p, Mask<T> numbers, Dim left) {
    const Bytes v = narrow(numbers);
    if (left >= kLanes<T>)
      std::memcpy(p, &v, sizeof v);
    else
      store_few(p, v, left);
  }

 private:
#if defined(__AVX512BW__)
  static __mmask16 lanes(Dim n) { return static_cast<__mmask16>((1u << n) - 1); }
  static LAMINA_INLINE Bytes load_few(const std::uint8_t* p, Dim n) {
    const __m128i v = _mm_maskz_loadu_epi8(lanes(n), p);
    Bytes few;
    std::memcpy(&few, &v, sizeof few);
    return few;
  }
  static LAMINA_INLINE void store_few(std::uint8_t* p, Bytes few, Dim n) {
    __m128i v{};
    std::memcpy(&v, &few, sizeof few);
    _mm_mask_storeu_epi8(p, lanes(n), v);
  }
#else
  static Bytes load_few(const std::uint8_t* p, Dim n) {
    Bytes few{};
    std::memcpy(&few, p, static_cast<std::size_t>(n));
    return few;
  }
  static void store_few(std::uint8_t* p, Bytes few, Dim n) {
    std::memcpy(p, &few, static_cast<std::size_t>(n));
  }
#endif
  // Without help the compiler takes the bytes one by one through general registers.
  static LAMINA_INLINE Bytes narrow(Mask<T> numbers) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      const __m256i n = (__m256i)numbers;
      const __m128i words =
          _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
      return (Bytes)_mm_cvtsi128_si64(_mm_packs_epi16(words, words));
    }
#endif
    return __builtin_convertvector(numbers, Bytes);
  }
  static LAMINA_INLINE Mask<T> widen(Bytes v) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
      return (Mask<T>)_mm512_cvtepi8_epi32((__m128i)v);
    else
      return (Mask<T>)_mm512_cvtepi8_epi64(_mm_cvtsi64_si128((long long)v));
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4)
      return (Mask<T>)_mm256_cvtepi8_epi32(_mm_cvtsi64_si128((long long)v));
    else
      return (Mask<T>)_mm256_cvtepi8_epi64(_mm_cvtsi32_si128((int)v));
#else
    return __builtin_convertvector(v, Mask<T>);
#endif
  }
};

// In place of a winner's number, any negative one says that a relu after the convolution leaves
// nothing of the window: no cell has a gradient. So the way back needs not read the relu's output.
constexpr int kNoWinner = -1, kMostCells = 127;

// The gradient of a pooled map and the cells it goes to.
template <class T>
struct PooledGradient {
  const T* dy;
  const std::uint8_t* where;

  // From index `at` on; zero where there is no winner.
  template <class Strip>
  LAMINA_INLINE Vec<T> load(const Strip& strip, Dim at, int v, Mask<T>& winner) const {
    winner = ByteLanes<T>::load(where + at + v * kLanes<T>, strip.left(v));
    return (Vec<T>)((Mask<T>)strip.load(dy + at, v) & ~(winner >> (8 * sizeof(T) - 1)));
  }
};

namespace winners {

// 3 x 3 kernels, windows of 2 x 2, and vectors that hold two pixels.
bool suit(const ConvShape& conv, const PoolShape& pool);

// Adds to dw and db the gradient from pooled rows [begin, end) of an example, whose gradients
// start at index `at`.
void weight_grad_rows(const ConvShape& conv, const PoolShape& pool,
                      const direct::Reader<float>& reader, const float* image,
                      const PooledGradient<float>& pooled, Dim at, Dim begin, Dim end, float* dw,
                      float* db);

}  // namespace winners
}  // namespace lamina
