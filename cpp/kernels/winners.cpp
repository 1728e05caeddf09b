#include "kernels/winners.h"

#include <algorithm>
#include <type_traits>

#include "base/parallel.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace lamina::winners {
namespace {

using pool_detail::LastChannels;
using pool_detail::WholeVectors;

constexpr int kSlot = 3;  // workspace slot of the patches
constexpr int kSide = 4, kPatch = kSide * kSide, kKernel = 3, kTaps = kKernel * kKernel;

// The elements of v that the numbers name.
LAMINA_INLINE Vec<float> permute(Vec<float> v, Mask<float> numbers) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_permutexvar_ps((__m512i)numbers, (__m512)v);
#else
  Vec<float> r;
  for (int i = 0; i < kLanes<float>; ++i) r[i] = v[numbers[i] & (kLanes<float> - 1)];
  return r;
#endif
}

// to[window, channel, kPatch] for pooled rows [begin, end). x: what the first row of the
// convolution's output under them reads first.
template <class Channels>
void fill_patches(Channels channels, const PoolShape& pool, const float* x, Dim row_step, Dim begin,
                  Dim end, float* to) {
  const std::vector<Dim>& top = pool.axes[1].begin;
  const Dim first = top[static_cast<std::size_t>(begin)];
  for (Dim row = begin; row < end; ++row)
    for (const Dim left : pool.axes[2].begin) {
      const float* const corner =
          x + (top[static_cast<std::size_t>(row)] - first) * row_step + left * channels;
      for (Dim c = 0; c < channels; ++c, to += kPatch)
        for (Dim i = 0; i < kSide; ++i) {
          const float* const line = corner + i * row_step + c;
          for (Dim j = 0; j < kSide; ++j) to[i * kSide + j] = line[j * channels];
        }
    }
}

// The windows' gradients for some filters and the patches of one channel: dw[tap] and db, unless
// that is null, grow.
template <class Strip>
void multiply_windows(const Strip& strip, const float* patches, Dim patch_step, Dim windows,
                      const PooledGradient<float>& pooled, Dim at, Dim filters, float* dw,
                      Dim tap_step, float* db) {
  constexpr int kCount = Strip::kCount;
  Vec<float> sum[kTaps][kCount], bias[kCount] = {};
#pragma GCC unroll 9
  for (int t = 0; t < kTaps; ++t)
    for (int v = 0; v < kCount; ++v) sum[t][v] = strip.load(dw + t * tap_step, v);
  for (Dim i = 0; i < windows; ++i, patches += patch_step, at += filters) {
    const Vec<float> patch = load(patches);
    for (int v = 0; v < kCount; ++v) {
      Mask<float> winner;
      const Vec<float> d = pooled.load(strip, at, v, winner);
      const Mask<float> cell = winner + (winner & 2);  // 0, 1 and in the next row 4, 5
      bias[v] += d;
#pragma GCC unroll 9
      for (int t = 0; t < kTaps; ++t)
        sum[t][v] += permute(patch, cell + (t / kKernel * kSide + t % kKernel)) * d;
    }
  }
#pragma GCC unroll 9
  for (int t = 0; t < kTaps; ++t)
    for (int v = 0; v < kCount; ++v) strip.store(dw + t * tap_step, v, sum[t][v]);
  for (int v = 0; v < kCount && db != nullptr; ++v) strip.store(db, v, strip.load(db, v) + bias[v]);
}

bool in_pairs(const PoolAxis& axis) {
  for (std::size_t i = 0; i < axis.begin.size(); ++i)
    if (axis.end[i] - axis.begin[i] != 2) return false;
  return true;
}

}  // namespace

bool suit(const ConvShape& conv, const PoolShape& pool) {
  return kLanes<float> == kPatch && conv.kernel == ConvShape::Axes{1, kKernel, kKernel} &&
         conv.unit_stride() && conv.dilation[1] == 1 && conv.dilation[2] == 1 &&
         in_pairs(pool.axes[1]) && in_pairs(pool.axes[2]);
}

void weight_grad_rows(const ConvShape& conv, const PoolShape& pool,
                      const direct::Reader<float>& reader, const float* image,
                      const PooledGradient<float>& pooled, Dim at, Dim begin, Dim end, float* dw,
                      float* db) {
  constexpr Dim lanes = kLanes<float>;
  const Dim windows = (end - begin) * pool.axes[2].outputs();
  const Dim channels = conv.in_c, filters = conv.out_c;
  float* const patches = workspace<float>(kSlot, windows * channels * kPatch);
  const float* const x = reader.rows(image, pool.axes[1].begin[static_cast<std::size_t>(begin)],
                                     pool.axes[1].end[static_cast<std::size_t>(end - 1)]);
  if (channels == 1)  // its pixels lie side by side
    fill_patches(std::integral_constant<Dim, 1>{}, pool, x, reader.row_step(), begin, end, patches);
  else
    fill_patches(channels, pool, x, reader.row_step(), begin, end, patches);
  for (Dim c = 0; c < channels; ++c) {
    const auto multiply = [&](const auto& strip, Dim f) {
      multiply_windows(strip, patches + c * kPatch, channels * kPatch, windows, pooled, at + f,
                       filters, dw + c * filters + f, channels * filters,
                       c == 0 ? db + f : nullptr);
    };
    Dim f = 0;
    for (; f + 2 * lanes <= filters; f += 2 * lanes) multiply(WholeVectors<float, 2>{}, f);
    for (; f + lanes <= filters; f += lanes) multiply(WholeVectors<float, 1>{}, f);
    if (f < filters) multiply(LastChannels<float>{static_cast<int>(filters - f)}, f);
  }
}

}  // namespace lamina::winners
