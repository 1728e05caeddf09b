#include "kernels/winners.h"

#include <algorithm>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace lamina::winners {
namespace {

using pool_detail::LastChannels;
using pool_detail::WholeVectors;

constexpr int kKernel = 3, kTaps = kKernel * kKernel;

// The elements of two vectors, one after the other, that the numbers name.
LAMINA_INLINE Vec<float> pick(Vec<float> first, Vec<float> second, Mask<float> numbers) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_permutex2var_ps((__m512)first, (__m512i)numbers, (__m512)second);
#else
  constexpr int kCount = kLanes<float>;
  Vec<float> r;
  for (int i = 0; i < kCount; ++i)
    r[i] =
        numbers[i] & kCount ? second[numbers[i] & (kCount - 1)] : first[numbers[i] & (kCount - 1)];
  return r;
#endif
}

struct Windows {
  const float* x;  // what the first cell of the first window reads first
  Dim row_step, channels;
  const PoolShape& pool;
  Dim begin, end;  // pooled rows
  const PooledGradient<float>& pooled;
  Dim at, filters;  // index of the first gradient, and from window to window
};

// The windows' gradients for some filters and the pixels of one channel: dw[tap] and db, unless
// that is null, grow.
template <class Strip>
void multiply_windows(const Strip& strip, const Windows& job, float* dw, float* db) {
  constexpr int kCount = Strip::kCount;
  const Dim channels = job.channels, tap_step = channels * job.filters;
  const int run = static_cast<int>(channels) + 1;  // two pixels of a row
  // Where the pixels of the four cells lie in the vectors of two rows.
  const Vec<float> cells =
      (Vec<float>)Mask<float>{0, run - 1, kLanes<float>, kLanes<float> + run - 1};
  const std::vector<Dim>& top = job.pool.axes[1].begin;
  Vec<float> sum[kTaps][kCount], bias[kCount] = {};
#pragma GCC unroll 9
  for (int t = 0; t < kTaps; ++t)
    for (int v = 0; v < kCount; ++v) sum[t][v] = strip.load(dw + t * tap_step, v);
  Dim at = job.at;
  for (Dim row = job.begin; row < job.end; ++row) {
    const Dim down = top[static_cast<std::size_t>(row)] - top[static_cast<std::size_t>(job.begin)];
    for (const Dim left : job.pool.axes[2].begin) {
      Vec<float> d[kCount];
      Mask<float> pixel[kCount];
      for (int v = 0; v < kCount; ++v) {
        Mask<float> winner;
        d[v] = job.pooled.load(strip, at, v, winner);
        bias[v] += d[v];
        pixel[v] = (Mask<float>)pick(cells, cells, winner);
      }
      const float* const corner = job.x + down * job.row_step + left * channels;
#pragma GCC unroll 3
      for (int j = 0; j < kKernel; ++j) {
        const float* p = corner + j * channels;
        Vec<float> upper = load_n(p, run);
#pragma GCC unroll 3
        for (int i = 0; i < kKernel; ++i) {
          const Vec<float> lower = load_n(p += job.row_step, run);
          for (int v = 0; v < kCount; ++v)
            sum[i * kKernel + j][v] += pick(upper, lower, pixel[v]) * d[v];
          upper = lower;
        }
      }
      at += job.filters;
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
  return kLanes<float> == 16 && conv.in_c + 1 < kLanes<float> &&
         conv.kernel == ConvShape::Axes{1, kKernel, kKernel} && conv.unit_stride() &&
         conv.dilation[1] == 1 && conv.dilation[2] == 1 && in_pairs(pool.axes[1]) &&
         in_pairs(pool.axes[2]);
}

void weight_grad_rows(const ConvShape& conv, const PoolShape& pool,
                      const direct::Reader<float>& reader, const float* image,
                      const PooledGradient<float>& pooled, Dim at, Dim begin, Dim end, float* dw,
                      float* db) {
  constexpr Dim lanes = kLanes<float>;
  const Dim channels = conv.in_c, filters = conv.out_c;
  const float* const x = reader.rows(image, pool.axes[1].begin[static_cast<std::size_t>(begin)],
                                     pool.axes[1].end[static_cast<std::size_t>(end - 1)]);
  for (Dim c = 0; c < channels; ++c) {
    const auto multiply = [&](const auto& strip, Dim f) {
      multiply_windows(
          strip, {x + c, reader.row_step(), channels, pool, begin, end, pooled, at + f, filters},
          dw + c * filters + f, c == 0 ? db + f : nullptr);
    };
    Dim f = 0;
    for (; f + 2 * lanes <= filters; f += 2 * lanes) multiply(WholeVectors<float, 2>{}, f);
    for (; f + lanes <= filters; f += lanes) multiply(WholeVectors<float, 1>{}, f);
    if (f < filters) multiply(LastChannels<float>{static_cast<int>(filters - f)}, f);
  }
}

}  // namespace lamina::winners
