// Philox4x32-10 (Salmon et al., SC 2011): random bits as a pure function of a key and a counter.
//
// A stream is (seed, counter), the state a layer holds. Its words are made 64 at a time: group g is
// the blocks 16 g .. 16 g + 15, and the words of a group are ordered by their place in the block,
// then by block, so that a vector of lanes holds neighbouring words. The arrangement is the same
// for every vector width: word i depends on (seed, counter, i) only.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/vec.h"

#if defined(__SSE2__)
#include <immintrin.h>  // 32-bit products of full width, which vector extensions cannot express
#endif

namespace lamina::kernels {

constexpr int kPhiloxLanes = 16;
constexpr int kGroupWords = 4 * kPhiloxLanes;

struct RandomStream {
  std::uint64_t seed = 0, counter = 0;
};

using Words = Vec<std::uint32_t>;

// The 64-bit products of the even 32-bit lanes (`by` holds a 32-bit factor in each 64-bit lane).
using Pairs = Vec<std::uint64_t>;
LAMINA_INLINE Pairs multiply_even(Pairs x, Pairs by) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  return (Pairs)_mm256_mul_epu32((__m256i)x, (__m256i)by);
#elif defined(__SSE2__) && !defined(__AVX512F__)
  return (Pairs)_mm_mul_epu32((__m128i)x, (__m128i)by);
#else
  return (x & broadcast<std::uint64_t>(0xFFFFFFFFu)) * by;
#endif
}
// The halves of the products of all lanes.
LAMINA_INLINE void multiply_wide(Words x, Pairs by, Words& high, Words& low) {
  const Pairs lower = broadcast<std::uint64_t>(0xFFFFFFFFu);
  const Pairs even = multiply_even((Pairs)x, by), odd = multiply_even((Pairs)x >> 32, by);
  high = (Words)((even >> 32) | (odd & ~lower));
  low = (Words)((even & lower) | (odd << 32));
}

// A factor as lanes. The compiler must not know its value: it would replace the product by a dozen
// shifts and sums.
LAMINA_INLINE Pairs hidden_factor(std::uint64_t factor) {
  asm("" : "+r"(factor));
  return broadcast<std::uint64_t>(factor);
}

inline void philox_group(const RandomStream& s, std::uint64_t group, std::uint32_t* words) {
  static_assert(kPhiloxLanes % kLanes<std::uint32_t> == 0);
  alignas(64) static constexpr std::uint32_t kOrder[kPhiloxLanes] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                                     8, 9, 10, 11, 12, 13, 14, 15};
  const Pairs factor_a = hidden_factor(0xD2511F53u), factor_c = hidden_factor(0xCD9E8D57u);
  const std::uint64_t block =
      group * kPhiloxLanes;  // a multiple of 16: adding kOrder carries nothing
  for (int first = 0; first < kPhiloxLanes; first += kLanes<std::uint32_t>) {
    Words a = load(kOrder + first) + static_cast<std::uint32_t>(block);
    Words b = broadcast(static_cast<std::uint32_t>(block >> 32));
    Words c = broadcast(static_cast<std::uint32_t>(s.counter));
    Words d = broadcast(static_cast<std::uint32_t>(s.counter >> 32));
    auto key_0 = static_cast<std::uint32_t>(s.seed),
         key_1 = static_cast<std::uint32_t>(s.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      Words a_high, a_low, c_high, c_low;
      multiply_wide(a, factor_a, a_high, a_low);
      multiply_wide(c, factor_c, c_high, c_low);
      a = c_high ^ b ^ key_0;
      b = c_low;
      c = a_high ^ d ^ key_1;
      d = a_low;
      key_0 += 0x9E3779B9u;
      key_1 += 0xBB67AE85u;
    }
    store(words + first, a);
    store(words + kPhiloxLanes + first, b);
    store(words + 2 * kPhiloxLanes + first, c);
    store(words + 3 * kPhiloxLanes + first, d);
  }
}

// The probability p as a threshold for a word: P(word < threshold) = p, and nothing for p = 0.
inline std::uint64_t word_threshold(double p) {
  return p <= 0   ? 0
         : p >= 1 ? std::uint64_t{1} << 32
                  : static_cast<std::uint64_t>(p * 4294967296.0);
}

// out[i] = x[i] * scale where words[i] >= threshold, else 0: the n elements of a group. On bits,
// because a branch on random bits is a wrong guess every other time.
template <class T>
inline void drop_group(const std::uint32_t* words, std::uint32_t threshold, const T* x, T scale,
                       T* out, int n) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  LAMINA_INDEPENDENT
  for (int i = 0; i < n; ++i) {
    const Bits keep = Bits{0} - static_cast<Bits>(words[i] >= threshold);
    out[i] = std::bit_cast<T>(std::bit_cast<Bits>(x[i] * scale) & keep);
  }
}

// 64 bits for each of the 64 elements of a group: two word groups.
inline void wide_group(const RandomStream& s, std::uint64_t group, std::uint64_t* out) {
  std::uint32_t high[kGroupWords], low[kGroupWords];
  philox_group(s, 2 * group, high);
  philox_group(s, 2 * group + 1, low);
  for (int i = 0; i < kGroupWords; ++i) out[i] = std::uint64_t{high[i]} << 32 | low[i];
}

// In [0, 1): 24 bits for float, 53 for double.
inline void uniform_group(const RandomStream& s, std::uint64_t group, float* out) {
  std::uint32_t words[kGroupWords];
  philox_group(s, group, words);
  for (int i = 0; i < kGroupWords; ++i)
    out[i] = static_cast<float>(static_cast<std::int32_t>(words[i] >> 8)) * 0x1p-24f;
}
inline void uniform_group(const RandomStream& s, std::uint64_t group, double* out) {
  std::uint64_t words[kGroupWords];
  wide_group(s, group, words);
  for (int i = 0; i < kGroupWords; ++i)
    out[i] = static_cast<double>(static_cast<std::int64_t>(words[i] >> 11)) * 0x1p-53;
}

}  // namespace lamina::kernels
