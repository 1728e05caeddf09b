// Ranges too small for many chunks, but worth one for each thread.
#pragma once

#include <algorithm>

#include "base/parallel.h"

namespace lamina {

// parallel_for for results that do not depend on the partition. Where chunks of `grain` would be
// too few to share evenly, every thread at hand gets as many parts as the others, of at least
// `least` items and of whole multiples of `unit`, so that it finds what it wrote in the operation
// before.
template <class F>
void parallel_evenly(std::int64_t n, std::int64_t least, std::int64_t unit, std::int64_t grain,
                     const F& body) {
  const std::int64_t threads = threads_at_hand();
  if (threads == 1 || n > 2 * threads * grain) return parallel_for(n, grain, body);
  std::int64_t parts = std::clamp<std::int64_t>(n / least, 1, threads);
  if (n > parts * grain) parts = 2 * threads;
  const std::int64_t part = (n + parts - 1) / parts;
  parallel_for(n, (part + unit - 1) / unit * unit, body);
}

}  // namespace lamina
