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

// Words in 64-bit lanes: the lower half of a lane counts, the upper one holds what is left over
// from a product.
using Wide = Vec<std::uint64_t>;

// The 64-bit products of the lower halves.
LAMINA_INLINE Wide multiply_lower(Wide x, Wide by) {
#if defined(__AVX512F__)
  // All lanes: the form without a mask makes GCC 12 warn of its own header.
  return (Wide)_mm512_maskz_mul_epu32(0xFF, (__m512i)x, (__m512i)by);
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)x, (__m256i)by);
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)x, (__m128i)by);
#else
  const Wide lower = broadcast<std::uint64_t>(0xFFFFFFFFu);
  return (x & lower) * (by & lower);
#endif
}

// A factor as lanes. The compiler must not know its value: it would replace the product by a dozen
// shifts and sums.
LAMINA_INLINE Wide hidden_factor(std::uint64_t factor) {
  asm("" : "+r"(factor));
  return broadcast<std::uint64_t>(factor);
}

// A stream with the keys of its rounds.
class Philox {
  using Keys = std::uint64_t[2];

 public:
  explicit Philox(const RandomStream& s) : counter_(s.counter) {
    auto key_0 = static_cast<std::uint32_t>(s.seed),
         key_1 = static_cast<std::uint32_t>(s.seed >> 32);
    for (Keys& keys : keys_) {
      keys[0] = key_0;
      keys[1] = key_1;
      key_0 += 0x9E3779B9u;
      key_1 += 0xBB67AE85u;
    }
  }

  void group(std::uint64_t group, std::uint32_t* words) const {
    constexpr int lanes = kLanes<std::uint32_t>;
    static_assert(kPhiloxLanes % lanes == 0);
    const Wide lower = broadcast<std::uint64_t>(0xFFFFFFFFu);
    for (int first = 0; first < kPhiloxLanes; first += lanes) {
      Blocks even, odd;
      const std::uint64_t block = group * kPhiloxLanes + static_cast<std::uint64_t>(first);
      start(block, even);
      start(block + 1, odd);
      mix(even, odd);
      for (int place = 0; place < 4; ++place)
        store(words + place * kPhiloxLanes + first,
              (Vec<std::uint32_t>)((even[place] & lower) | (odd[place] << 32)));
    }
  }

 private:
  using Blocks = Wide[4];  // their words 0, 1, 2 and 3

  // Every second block from `block` on. No carry: a group begins with a multiple of 16.
  void start(std::uint64_t block, Blocks& x) const {
    alignas(64) static constexpr std::uint64_t kOrder[] = {0, 2, 4, 6, 8, 10, 12, 14};
    x[0] = load(kOrder) + block;
    x[1] = broadcast(block >> 32);
    x[2] = broadcast(counter_);
    x[3] = broadcast(counter_ >> 32);
  }

  // The two take turns, so that one's products run while the other's are waited for.
  void mix(Blocks& even, Blocks& odd) const {
    const Wide factor_0 = hidden_factor(0xD2511F53u), factor_2 = hidden_factor(0xCD9E8D57u);
    const auto mix_once = [&](Blocks& x, const Keys& keys) {
      const Wide product_0 = multiply_lower(x[0], factor_0),
                 product_2 = multiply_lower(x[2], factor_2);
      x[0] = (product_2 >> 32) ^ x[1] ^ keys[0];
      x[1] = product_2;
      x[2] = (product_0 >> 32) ^ x[3] ^ keys[1];
      x[3] = product_0;
    };
    for (const Keys& keys : keys_) {
      mix_once(even, keys);
      mix_once(odd, keys);
    }
  }

  std::uint64_t counter_;
  Keys keys_[10];
};

inline void philox_group(const RandomStream& s, std::uint64_t group, std::uint32_t* words) {
  Philox(s).group(group, words);
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
