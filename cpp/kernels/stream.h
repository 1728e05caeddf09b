// Writing past the caches: for memory whose lines lie in other cores' caches, where taking them
// back is dear (base/shared_lines.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels/vec.h"

namespace lamina {

#if defined(__SSE2__)
constexpr bool kCanStream = true;
// `p` lies at a multiple of the vector's size.
template <class T>
LAMINA_INLINE void stream(T* p, Vec<T> v) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v);
#elif defined(__AVX__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)v);
#else
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), (__m128i)v);
#endif
}
// The thread's streams are in memory before anything that it writes later.
LAMINA_INLINE void finish_streams() { _mm_sfence(); }

inline void stream_bytes(std::byte* to, const std::byte* from, std::size_t bytes) {
  constexpr std::size_t kItem = sizeof(__m128i);
  const auto past = reinterpret_cast<std::uintptr_t>(to) % kItem;
  const std::size_t head = past == 0 ? 0 : std::min(kItem - past, bytes);
  std::memcpy(to, from, head);
  std::size_t i = head;
  for (; i + kItem <= bytes; i += kItem)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  std::memcpy(to + i, from + i, bytes - i);
}
#else
constexpr bool kCanStream = false;
template <class T>
LAMINA_INLINE void stream(T* p, Vec<T> v) {
  store<T>(p, v);
}
LAMINA_INLINE void finish_streams() {}
inline void stream_bytes(std::byte* to, const std::byte* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}
#endif

}  // namespace lamina
