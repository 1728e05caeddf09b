// The vector layer of every kernel: GCC/Clang vector extensions of the level's width, so the same
// source serves AVX-512, AVX2, SSE and NEON. Intrinsics only where no vector expression says what
// one instruction does, and the same function without them stands beside.
//
// Functions of float are polynomials of our own, written without branches: a lane's result depends
// on that lane only, so an element's bits do not depend on where it lies. A remainder goes through
// load_n / store_n and the same functions. Functions of double use the C library lane by lane.
//
// NaN passes through every function; at_least and at_most keep the NaN of their first argument.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define LAMINA_INLINE inline __attribute__((always_inline))

// Before a loop whose output and inputs lie apart or coincide element by element, which the
// compiler cannot know.
#if defined(__clang__)
#define LAMINA_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define LAMINA_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace lamina {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

template <class T>
struct VecOf {
  typedef T type __attribute__((vector_size(kVecBytes)));
  typedef T loose __attribute__((vector_size(kVecBytes), aligned(alignof(T)), may_alias));
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
using Mask = decltype(Vec<T>{} < Vec<T>{});  // integer lanes of the same width: 0 or -1
template <class T>
constexpr int kLanes = kVecBytes / static_cast<int>(sizeof(T));

// ---- Memory. Any alignment; the short forms touch n < kLanes<T> elements only.
template <class T>
LAMINA_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecOf<T>::loose*>(p);
}
template <class T>
LAMINA_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VecOf<T>::loose*>(p) = v;
}

// Copies n < kVecBytes / size elements as a few moves of fixed size: no call, no loop.
template <class T>
LAMINA_INLINE void copy_few(void* to, const void* from, int n) {
  auto* d = static_cast<char*>(to);
  auto* s = static_cast<const char*>(from);
  int bytes = n * static_cast<int>(sizeof(T));
#define LAMINA_COPY_STEP(size)                           \
  if constexpr (kVecBytes > size && sizeof(T) <= size) { \
    if (bytes & size) {                                  \
      std::memcpy(d, s, size);                           \
      d += size;                                         \
      s += size;                                         \
    }                                                    \
  }
  LAMINA_COPY_STEP(32)
  LAMINA_COPY_STEP(16)
  LAMINA_COPY_STEP(8)
  LAMINA_COPY_STEP(4)
  LAMINA_COPY_STEP(2)
  LAMINA_COPY_STEP(1)
#undef LAMINA_COPY_STEP
}
#if defined(__AVX512BW__)
// Under a mask, which leaves the memory of the other lanes alone.
template <class T>
LAMINA_INLINE Vec<T> load_n(const T* p, int n) {  // the other lanes read as 0
  const std::uint64_t lanes = (std::uint64_t{1} << n) - 1;
  if constexpr (sizeof(T) == 8)
    return (Vec<T>)_mm512_maskz_loadu_epi64(static_cast<__mmask8>(lanes), p);
  else if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_loadu_epi32(static_cast<__mmask16>(lanes), p);
  else if constexpr (sizeof(T) == 2)
    return (Vec<T>)_mm512_maskz_loadu_epi16(static_cast<__mmask32>(lanes), p);
  else
    return (Vec<T>)_mm512_maskz_loadu_epi8(lanes, p);
}
template <class T>
LAMINA_INLINE void store_n(T* p, Vec<T> v, int n) {
  const std::uint64_t lanes = (std::uint64_t{1} << n) - 1;
  if constexpr (sizeof(T) == 8)
    _mm512_mask_storeu_epi64(p, static_cast<__mmask8>(lanes), (__m512i)v);
  else if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>(lanes), (__m512i)v);
  else if constexpr (sizeof(T) == 2)
    _mm512_mask_storeu_epi16(p, static_cast<__mmask32>(lanes), (__m512i)v);
  else
    _mm512_mask_storeu_epi8(p, lanes, (__m512i)v);
}
#else
template <class T>
LAMINA_INLINE Vec<T> load_n(const T* p, int n) {  // the other lanes read as 0
#if defined(__AVX2__)
  // Pieces would be put together in memory, and reading them back as a whole takes long.
  if constexpr (sizeof(T) == 4) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (Vec<T>)_mm256_maskload_epi32(reinterpret_cast<const int*>(p),
                                         _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lanes));
  }
#endif
  Vec<T> v{};
  copy_few<T>(&v, p, n);
  return v;
}
template <class T>
LAMINA_INLINE void store_n(T* p, Vec<T> v, int n) {
  copy_few<T>(p, &v, n);
}
#endif

template <class T>
LAMINA_INLINE Vec<T> broadcast(T s) {
  return s - Vec<T>{};  // one instruction; assigning lane by lane may become many
}

// ---- Lane-wise choice. V is any Vec<T>, M its Mask.
template <class M, class V>
LAMINA_INLINE V select(M mask, V a, V b) {
  return mask ? a : b;
}
// max(x, lo) and min(x, hi) in one instruction, keeping the NaN of x (not that of the bound).
template <class V>
LAMINA_INLINE V at_least(V x, V lo) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<V, Vec<float>>) return (V)_mm512_max_ps((__m512)lo, (__m512)x);
  if constexpr (std::is_same_v<V, Vec<double>>) return (V)_mm512_max_pd((__m512d)lo, (__m512d)x);
#endif
  return lo > x ? lo : x;
}
template <class V>
LAMINA_INLINE V at_most(V x, V hi) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<V, Vec<float>>) return (V)_mm512_min_ps((__m512)hi, (__m512)x);
  if constexpr (std::is_same_v<V, Vec<double>>) return (V)_mm512_min_pd((__m512d)hi, (__m512d)x);
#endif
  return hi < x ? hi : x;
}
// The larger and the smaller, NaN if either is NaN.
template <class V>
LAMINA_INLINE V vmax(V a, V b) {
  const V m = b > a ? b : a;
  return b != b ? b : m;
}
template <class V>
LAMINA_INLINE V vmin(V a, V b) {
  const V m = b < a ? b : a;
  return b != b ? b : m;
}

LAMINA_INLINE Vec<float> abs(Vec<float> x) { return (Vec<float>)((Mask<float>)x & 0x7fffffff); }
LAMINA_INLINE Vec<double> abs(Vec<double> x) {
  return (Vec<double>)((Mask<double>)x & 0x7fffffffffffffff);
}
LAMINA_INLINE Vec<float> copysign(Vec<float> size, Vec<float> sign) {
  constexpr std::int32_t kSign = std::numeric_limits<std::int32_t>::min();
  return (Vec<float>)(((Mask<float>)size & ~kSign) | ((Mask<float>)sign & kSign));
}

// ---- Sums and extremes of a vector, by a fixed tree: upper half onto lower half.
template <class T>
LAMINA_INLINE T hsum(Vec<T> v) {
  T t[kLanes<T>];
  std::memcpy(t, &v, sizeof v);
  for (int h = kLanes<T> / 2; h > 0; h /= 2)
    for (int i = 0; i < h; ++i) t[i] += t[i + h];
  return t[0];
}
LAMINA_INLINE float hsum(Vec<float> v) { return hsum<float>(v); }
LAMINA_INLINE double hsum(Vec<double> v) { return hsum<double>(v); }
template <class T>
LAMINA_INLINE T hmax(Vec<T> v) {  // NaN if one lane is NaN
  T m = v[0];
  for (int i = 1; i < kLanes<T>; ++i) m = v[i] > m || v[i] != v[i] ? v[i] : m;
  return m;
}
LAMINA_INLINE float hmax(Vec<float> v) { return hmax<float>(v); }
LAMINA_INLINE double hmax(Vec<double> v) { return hmax<double>(v); }

// ---- Any function of one element, lane by lane. The same call for every lane of every vector.
template <class V, class F>
LAMINA_INLINE V each_lane(V x, F f) {
  V r;
  for (unsigned i = 0; i < sizeof(V) / sizeof(x[0]); ++i) r[i] = f(x[i]);
  return r;
}
template <class V, class F>
LAMINA_INLINE V each_lane(V x, V y, F f) {
  V r;
  for (unsigned i = 0; i < sizeof(V) / sizeof(x[0]); ++i) r[i] = f(x[i], y[i]);
  return r;
}

LAMINA_INLINE Vec<float> sqrt(Vec<float> x) {
  return each_lane(x, [](float v) { return __builtin_sqrtf(v); });
}
LAMINA_INLINE Vec<double> sqrt(Vec<double> x) {
  return each_lane(x, [](double v) { return __builtin_sqrt(v); });
}
// The root of float to 1 ulp (but 0 of subnormals where they are flushed) in a third of the time,
// where the processor has an estimate to start from: a Newton step in a form that leaves no range.
LAMINA_INLINE Vec<double> quick_sqrt(Vec<double> x) { return sqrt(x); }
LAMINA_INLINE Vec<float> quick_sqrt(Vec<float> x) {
#if defined(__AVX512F__)
  const Vec<float> y = (Vec<float>)_mm512_rsqrt14_ps((__m512)x), r = x * y;
  const Vec<float> root = r + r * (0.5f - 0.5f * y * r);
  constexpr int kOfZeroAndInfinity = 0x00100100;  // x itself; the others keep what was computed
  return (Vec<float>)_mm512_fixupimm_ps((__m512)root, (__m512)x,
                                        _mm512_set1_epi32(kOfZeroAndInfinity), 0);
#else
  return sqrt(x);
#endif
}
template <class V>
LAMINA_INLINE V rsqrt(V x) {
  return 1 / sqrt(x);
}

// ---- Functions of float.
namespace vec_detail {
using F = Vec<float>;
using I = Mask<float>;

LAMINA_INLINE F constant(float s) { return broadcast<float>(s); }
LAMINA_INLINE F polynomial(F, F p) { return p; }
// Horner, highest coefficient first.
template <class... Rest>
LAMINA_INLINE F polynomial(F x, F p, float next, Rest... rest) {
  return polynomial(x, p * x + next, rest...);
}
template <class... Rest>
LAMINA_INLINE F polynomial(F x, float first, Rest... rest) {
  return polynomial(x, constant(first), rest...);
}
LAMINA_INLINE F pow2(I n) {
  return (F)((n + 127) << 23);
}  // n in [-127, 128]: 0 and inf at the ends

// x = n ln 2 + r with |r| <= ln(2) / 2; the product with the high part of ln 2 is exact.
struct Reduced {
  I n;
  F r;
};
LAMINA_INLINE Reduced reduce_exp(F x) {
  const F magic = constant(12582912.f);  // 1.5 * 2^23: adding it rounds to the nearest integer
  const F t = x * 1.44269504088896341f + magic;
  const F k = t - magic;
  F r = x - k * 0.693145751953125f;
  r = r - k * 1.42860682030941723e-6f;
  return {(I)t - (I)magic, r};
}
// (e^r - 1 - r) / r^2
LAMINA_INLINE F exp_tail(F r) {
  return polynomial(r, 0.00019790346f, 0.001394466f, 0.008333497f, 0.041666295f, 0.16666666f, 0.5f);
}

// e^x for x in [-104, 89]; results below 2^-126 are rounded, not lost.
#if defined(__AVX512F__)
// With a table in a register: x = k ln 2 + r, k a multiple of 1/8, and r so small that four terms
// are enough. The table has the 2^(j/8), twice.
LAMINA_INLINE F exp_within(F x) {
  const F magic = constant(1572864.f);  // 1.5 * 2^20: adding it rounds to the nearest eighth
  const F t = x * 1.44269504088896341f + magic;
  const F k = t - magic;
  F r = x - k * 0.693145751953125f;
  r = r - k * 1.42860682030941723e-6f;
  const F powers = {1.f,         1.09050775f, 1.18920708f, 1.29683959f, 1.41421354f, 1.54221082f,
                    1.68179286f, 1.8340081f,  1.f,         1.09050775f, 1.18920708f, 1.29683959f,
                    1.41421354f, 1.54221082f, 1.68179286f, 1.8340081f};
  const F power = (F)_mm512_permutexvar_ps((__m512i)t, (__m512)powers);         // by t's last bits
  const F grown = ((r * 0.041670315f + 0.16668035f) * r + 0.5f) * (r * r) + r;  // e^r - 1
  return (F)_mm512_scalef_ps((__m512)(power * grown + power), (__m512)k);       // takes k's floor
}
#else
LAMINA_INLINE F exp_within(F x) {
  const Reduced a = reduce_exp(x);
  const F p = exp_tail(a.r) * (a.r * a.r) + a.r + 1.f;
  const I half = a.n >> 1;
  return p * pow2(half) * pow2(a.n - half);
}
#endif
}  // namespace vec_detail

LAMINA_INLINE Vec<float> exp(Vec<float> x) {
  using namespace vec_detail;  // beyond the bounds: 0 and inf anyway
  return exp_within(at_most(at_least(x, constant(-104.f)), constant(89.f)));
}

LAMINA_INLINE Vec<float> expm1(Vec<float> x) {
  using namespace vec_detail;
  const F bounded = at_most(at_least(x, constant(-30.f)), constant(89.f));
  const Reduced a = reduce_exp(bounded);
  const F p = exp_tail(a.r) * (a.r * a.r) + a.r;
  const F s = pow2(a.n - 1);  // half the scale: 2^128 is no float
  const F y = (s * p + (s - 0.5f)) * 2.f;
  return select(abs(x) < 1e-8f, x, y);
}

LAMINA_INLINE Vec<float> log(Vec<float> x) {
  using namespace vec_detail;
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const I tiny = x < std::numeric_limits<float>::min();
  const F scaled = select(tiny, x * 33554432.f, x);
  // mantissa in [sqrt(1/2), sqrt(2))
  const I bits = (I)scaled - 0x3f3504f3;
  const I e = (bits >> 23) + (tiny & -25);
  const F f = (F)((bits & 0x007fffff) + 0x3f3504f3) - 1.f;
  const F k = __builtin_convertvector(e, F);
  const F z = f * f;
  F p = polynomial(f, -0.0763443f, 0.1276155f, -0.13160194f, 0.14201762f, -0.16623357f, 0.20001227f,
                   -0.25000823f, 0.3333333f);
  p = p * (z * f) - k * 2.12194440e-4f - 0.5f * z;
  F y = f + p + k * 0.693359375f;
  y = select(x == kInf, x, y);
  y = select(x == 0.f, constant(-kInf), y);
  return select(x >= 0.f, y, constant(std::numeric_limits<float>::quiet_NaN()));
}

LAMINA_INLINE Vec<float> log1p(Vec<float> x) {
  using namespace vec_detail;
  const F u = x + 1.f;
  const F lost = (x - (u - 1.f)) / u;  // what rounding 1 + x cut off, to first order
  const F y = log(u) + select((u > 0.f) & (u < std::numeric_limits<float>::infinity()), lost, F{});
  return select(abs(x) < 1e-8f, x, y);
}

LAMINA_INLINE Vec<float> sigmoid(Vec<float> x) { return 1.f / (1.f + exp(-x)); }

LAMINA_INLINE Vec<float> tanh(Vec<float> x) {
  using namespace vec_detail;
  const F size = abs(x);
  const F z = x * x;
  const F near = polynomial(z, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                            1.33314422036e-1f, -3.33332819422e-1f) *
                     z * x +
                 x;
  const F e = exp(at_most(size, constant(12.f)) * 2.f);
  const F far = copysign(1.f - 2.f / (e + 1.f), x);
  return select(size < 0.625f, near, far);
}

LAMINA_INLINE Vec<float> erf(Vec<float> x) {
  using namespace vec_detail;
  const F size = at_most(abs(x), constant(4.f));
  const F z = size * size;
  // near 0: x (1 + P(x^2)); else 1 - exp(-x Q(x))
  const F near = (polynomial(z, 8.2154234e-05f, -0.0008105965f, 0.005197797f, -0.026858104f,
                             0.112836726f, -0.37612632f, 0.12837917f) +
                  1.f) *
                 size;
  const F q = polynomial(size, 1.0433115e-05f, -0.0003148581f, 0.003610342f, -0.023694566f,
                         0.10615905f, 0.63519806f, 1.1286371f);
  const F far = 1.f - exp(-size * q);
  return copysign(select(size < 0.95f, near, far), x);
}

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|)
LAMINA_INLINE Vec<float> softplus(Vec<float> x) {
  return at_least(x, Vec<float>{}) + log1p(exp(-abs(x)));
}

// ---- Functions of double.
LAMINA_INLINE Vec<double> exp(Vec<double> x) {
  return each_lane(x, [](double v) { return std::exp(v); });
}
LAMINA_INLINE Vec<double> expm1(Vec<double> x) {
  return each_lane(x, [](double v) { return std::expm1(v); });
}
LAMINA_INLINE Vec<double> log(Vec<double> x) {
  return each_lane(x, [](double v) { return std::log(v); });
}
LAMINA_INLINE Vec<double> log1p(Vec<double> x) {
  return each_lane(x, [](double v) { return std::log1p(v); });
}
LAMINA_INLINE Vec<double> sigmoid(Vec<double> x) { return 1. / (1. + exp(-x)); }
LAMINA_INLINE Vec<double> tanh(Vec<double> x) {
  return each_lane(x, [](double v) { return std::tanh(v); });
}
LAMINA_INLINE Vec<double> erf(Vec<double> x) {
  return each_lane(x, [](double v) { return std::erf(v); });
}
LAMINA_INLINE Vec<double> softplus(Vec<double> x) {
  return at_least(x, Vec<double>{}) + log1p(exp(-abs(x)));
}

// ---- A loop over n elements.
// apply(out, n, f, in...): out[i] = f(in[i]...), whole vectors and the remainder alike; out may be
// one of the inputs.
template <class T, class F, class... In>
LAMINA_INLINE void apply(T* out, std::int64_t n, const F& f, const In*... in) {
  constexpr int kStep = kLanes<T>;
  std::int64_t i = 0;
  for (; i + kStep <= n; i += kStep) store<T>(out + i, f(load<T>(in + i)...));
  const int left = static_cast<int>(n - i);
  if (left > 0) store_n<T>(out + i, f(load_n<T>(in + i, left)...), left);
}

}  // namespace lamina
