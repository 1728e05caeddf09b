// parallel_for: the only door to OpenMP. One OpenMP region holds the team; ops hand out chunks that
// threads claim; the caller waits only for chunks that somebody has claimed, so a thread that the
// kernel has put aside delays nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lamina {

// A reference to a callable, without allocation: void(std::int64_t chunk).
class ChunkFn {
 public:
  template <class F>
  ChunkFn(const F& f)  // NOLINT: implicit on purpose
      : object_(&f), call_([](const void* o, std::int64_t c) { (*static_cast<const F*>(o))(c); }) {}
  void operator()(std::int64_t chunk) const { call_(object_, chunk); }

 private:
  const void* object_;
  void (*call_)(const void*, std::int64_t);
};

// Calls body(0) .. body(chunks - 1), each once, on whatever threads of the current team are awake,
// and returns when all are done. Runs inline, in order, when there is no team, one chunk, or the
// caller is itself inside a chunk. The body must not throw, and results must not depend on who
// runs which chunk: partition by a fixed rule, and by the number of threads only where the bits do
// not depend on the partition.
void parallel_chunks(std::int64_t chunks, ChunkFn body);

// Threads that a job started here would have: 1 without a team and inside a chunk. For the size of
// chunks, where results do not depend on it.
int threads_at_hand();

// Splits [0, n) into chunks of `grain` (the last one shorter): body(begin, end). One chunk: inline.
template <class F>
void parallel_for(std::int64_t n, std::int64_t grain, const F& body) {
  if (grain < 1) grain = 1;
  const std::int64_t chunks = (n + grain - 1) / grain;
  if (chunks <= 1) {
    if (n > 0) body(std::int64_t{0}, n);
    return;
  }
  parallel_chunks(chunks, [&](std::int64_t c) {
    const std::int64_t begin = c * grain;
    body(begin, begin + grain < n ? begin + grain : n);
  });
}

// Runs `body` once, on the calling thread, while a team of threads stands by for the parallel_for
// calls inside it. Nested: uses the outer team. When another caller holds the team: runs without
// one. Exceptions of `body` pass through.
void with_team(ChunkFn body);

// Threads the next team would have: the least of OpenMP's setting (OMP_NUM_THREADS, threadpoolctl),
// the affinity mask, the container's CPU quota and set_num_threads.
int team_size();

// Learns who ran the chunks of the jobs that one thread starts, and when (nanoseconds of the steady
// clock). Called by several threads at once; 0 is the thread that started the job.
class ChunkWatch {
 public:
  virtual ~ChunkWatch() = default;
  virtual void ran_chunk(int thread, std::int64_t begin, std::int64_t end) = 0;
  virtual void ran_job(std::int64_t begin, std::int64_t end) = 0;
};
void watch_chunks(ChunkWatch* watch);  // of the calling thread's jobs; null: nobody looks
std::int64_t clock_ns();

// Memory of the calling thread for a kernel's packing buffers, 64-byte aligned, kept between calls;
// grows at first use only. `slot` 0..3 tells apart buffers that live at the same time.
void* workspace_bytes(int slot, std::size_t bytes);
template <class T>
T* workspace(int slot, std::size_t count) {
  return static_cast<T*>(workspace_bytes(slot, count * sizeof(T)));
}

// Work (in floating-point operations) below which a second thread costs more than it brings.
constexpr double kMinParallelWork = 4e5;

}  // namespace lamina
