// What the machine can do at best: the yardsticks of a profile.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/vec.h"
#include "lamina/profile.h"
#include "lamina/runtime.h"
#include "lamina/tensor.h"

namespace lamina {
namespace {

constexpr int kChains = 12;            // enough to hide the latency of a multiply-add
constexpr std::int64_t kSteps = 5000;  // of every chain: some ten microseconds
// How long to try; the best counts. A team's thread may be put aside for a time slice.
constexpr Nanoseconds kThreadWindow = 4'000'000, kTeamWindow = 40'000'000;

// Multiply-adds on registers: returns their sum, so that nobody drops them.
float multiply_add() {
  // Unknown to the compiler, which computes chains that it knows to be alike only once.
  volatile float half = 0.5f, one = 1.0f;
  const Vec<float> factor = broadcast<float>(half), term = broadcast<float>(one);
  Vec<float> sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = broadcast<float>(static_cast<float>(i) * half);
  for (std::int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + term;
  }
  for (int i = 1; i < kChains; ++i) sums[0] += sums[i];
  return hsum(sums[0]);
}

template <class F>
double best_seconds(Nanoseconds window, const F& f) {
  Nanoseconds best = 0, now = clock_ns();
  for (const Nanoseconds end = now + window; now < end;) {
    const Nanoseconds begin = now;
    f();
    now = clock_ns();
    const Nanoseconds took = std::max<Nanoseconds>(now - begin, 1);
    best = best == 0 ? took : std::min(best, took);
  }
  return static_cast<double>(best) * 1e-9;
}

double multiply_add_gflops(Nanoseconds window, std::int64_t chunks) {
  std::atomic<float> sink{0};
  const double seconds = best_seconds(window, [&] {
    parallel_chunks(chunks,
                    [&](std::int64_t) { sink.store(multiply_add(), std::memory_order_relaxed); });
  });
  const double flops = 2.0 * kChains * kSteps * kLanes<float> * static_cast<double>(chunks);
  return flops / seconds * 1e-9;
}

// Copies the first half of the buffer to the second, several times where it is small.
double copy_gbytes(float* buffer, std::size_t bytes, std::int64_t chunks) {
  const auto half = static_cast<std::int64_t>(bytes / 2 / sizeof(float));
  const auto times = std::max<std::int64_t>(1, (std::int64_t{4} << 20) / (4 * half));
  const double seconds = best_seconds(kThreadWindow, [&] {
    for (std::int64_t t = 0; t < times; ++t)
      parallel_for(half, (half + chunks - 1) / chunks, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i + kLanes<float> <= end; i += kLanes<float>)
          store(buffer + half + i, load(buffer + i));
      });
  });
  return static_cast<double>(times) * static_cast<double>(bytes) / seconds * 1e-9;
}

}  // namespace

MachineLimits measure_limits() {
  constexpr std::size_t kLargest = std::size_t{64} << 20;
  MachineLimits limits;
  limits.threads = num_threads();
  Tensor memory(Spec{DType::f32, {static_cast<Dim>(kLargest / sizeof(float))}});
  auto* buffer = memory.data<float>();
  std::fill_n(buffer, kLargest / sizeof(float), 1.0f);
  const std::int64_t chunks = 4 * limits.threads;
  limits.gflops_thread = multiply_add_gflops(2 * kThreadWindow, 1);
  for (std::size_t bytes = std::size_t{32} << 10; bytes <= kLargest; bytes *= 2)
    limits.copies.push_back({bytes, copy_gbytes(buffer, bytes, 1), 0});
  with_team([&](std::int64_t) {
    limits.gflops_team = multiply_add_gflops(kTeamWindow, chunks);
    for (MachineLimits::Copy& copy : limits.copies)
      copy.gbytes_team = copy_gbytes(buffer, copy.bytes, limits.threads);
  });
  // A team is never worse than its best thread: small copies are not split.
  limits.gflops_team = std::max(limits.gflops_team, limits.gflops_thread);
  for (MachineLimits::Copy& copy : limits.copies)
    copy.gbytes_team = std::max(copy.gbytes_team, copy.gbytes_thread);
  return limits;
}

}  // namespace lamina
