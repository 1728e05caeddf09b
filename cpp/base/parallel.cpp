// The team: one OpenMP region, opened by a host thread at the first use and kept, whose threads
// claim chunks of whatever job the holder of the team publishes.
//
// Nobody ever waits for a thread that holds no chunk: not at a job's start or end, and not at the
// end of with_team, because the calling thread is not part of the OpenMP region. On a machine that
// does anything else such waits cost multiples of the scheduler's time slice. It also makes a fork
// harmless: the child has no team threads, waits for none, and starts its own at the next use.
#include "base/parallel.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "base/cpus.h"
#include "base/denormals.h"
#include "base/pace.h"
#include "lamina/runtime.h"
#include "lamina/types.h"

namespace lamina {
namespace {

inline void relax() {
#if defined(__SSE2__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `ready` or until `kSpin` has passed; says which.
constexpr auto kSpin = std::chrono::microseconds(50);
template <class Ready>
bool spin_until(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// A thread's share of the job: the chunks [begin, end), both in one word so that a claim is one
// compare-exchange. Its owner takes chunks from the front, threads out of work from the back.
class Share {
 public:
  void give(std::int64_t begin, std::int64_t end) {
    range_.store(static_cast<std::uint64_t>(begin) << 32 | static_cast<std::uint64_t>(end),
                 std::memory_order_release);
  }
  bool empty() const {
    const std::uint64_t range = range_.load(std::memory_order_relaxed);
    return begin_of(range) >= end_of(range);
  }
  // The chunk claimed, or -1 when none is left.
  std::int64_t take_front() {
    return take(std::uint64_t{1} << 32, [](std::uint64_t range) { return begin_of(range); });
  }
  std::int64_t take_back() {
    return take(~std::uint64_t{0}, [](std::uint64_t range) { return end_of(range) - 1; });
  }

 private:
  static std::int64_t begin_of(std::uint64_t range) {
    return static_cast<std::int64_t>(range >> 32);
  }
  static std::int64_t end_of(std::uint64_t range) {
    return static_cast<std::int64_t>(range & 0xffffffff);
  }
  template <class Chunk>
  std::int64_t take(std::uint64_t change, const Chunk& chunk) {
    std::uint64_t range = range_.load(std::memory_order_relaxed);
    while (begin_of(range) < end_of(range))
      if (range_.compare_exchange_weak(range, range + change, std::memory_order_acq_rel,
                                       std::memory_order_relaxed))
        return chunk(range);
    return -1;
  }

  std::atomic<std::uint64_t> range_{0};
};

// Two cache lines: processors fetch lines in pairs.
struct alignas(128) Place {
  Share share;
  std::atomic<std::uint32_t> bell{0};  // grows when a sleeper is to look for work
  std::atomic<int> sleepers{0};        // two while a thread of an old crew leaves
};

// Every member is constant-initialised and trivially destroyed: team threads may outlive static
// destructors at the end of the process.
//
// Thread t is given the t-th part of every job's chunks. As ops cut their work along the batch, a
// thread finds in its own cache what it wrote an op ago; between cores that share no cache that is
// worth a factor of three. Only when its part is done does a thread take from the others'.
class Team {
 public:
  static constexpr int kMostThreads = 256;  // with the holder

  // One thread at a time holds the team. Only the holder calls the functions below.
  bool try_hold() { return !held_.exchange(true, std::memory_order_acquire); }
  void release() { held_.store(false, std::memory_order_release); }

  // At most `helpers` threads besides the holder take part from now on.
  void use(int helpers);
  int players() const { return players_; }
  void play_with(int players) { players_ = std::clamp(players, 1, 1 + helpers_); }
  std::uint32_t long_waits() const { return long_waits_; }
  void run(std::int64_t chunks, const ChunkFn& body);

  // In a forked child: there are no team threads, and no job is under way.
  void after_fork(bool child_holds_it);

 private:
  void start(int helpers);
  void serve(int index, std::uint32_t crew);
  void sleep(Place& place, std::uint32_t crew);
  std::int64_t run_own(int index);
  std::int64_t run_others(int index);
  void wait_for(std::int64_t chunks);
  bool gone(std::uint32_t crew) const { return crew_.load(std::memory_order_relaxed) != crew; }

  std::atomic<bool> held_{false};
  int helpers_ = 0;                     // threads in the region
  std::atomic<std::uint32_t> crew_{0};  // which region; threads of another one leave

  // The job. A successful claim is what entitles a helper to read it: the holder does not write it
  // again before every claimed chunk is counted in `done_`. A thread that comes late finds either
  // nothing left or a chunk of the current job, whichever job it woke up for.
  const ChunkFn* body_ = nullptr;
  int players_ = 1;                                 // the holder and the helpers in use
  std::uint32_t long_waits_ = 0;                    // of the holder, for chunks of helpers
  alignas(128) std::atomic<std::int64_t> done_{0};  // chunks finished by helpers
  Place places_[kMostThreads];                      // the holder's is the first
};

void Team::use(int helpers) {
  helpers = std::min(helpers, kMostThreads - 1);
  if (helpers > helpers_) start(helpers);
  players_ = 1 + std::min(helpers, helpers_);
}

// A larger team is a new region; the threads of the old one leave when they notice.
void Team::start(int helpers) {
  const std::uint32_t crew = crew_.fetch_add(1) + 1;
  for (int i = 1; i <= helpers_; ++i) {
    places_[i].bell.fetch_add(1);
    places_[i].bell.notify_all();
  }
  helpers_ = helpers;
  try {
    std::thread([this, helpers, crew] {
#pragma omp parallel num_threads(helpers)
      serve(1 + omp_get_thread_num(), crew);
    }).detach();
  } catch (const std::system_error&) {
    helpers_ = 0;  // no thread to be had now: the holder does the work alone
  }
}

void Team::serve(int index, std::uint32_t crew) {
  const FlushDenormals flush;
  Place& place = places_[index];
  while (!gone(crew)) {
    if (!spin_until([&] { return !place.share.empty() || gone(crew); })) {
      sleep(place, crew);
    } else if (std::int64_t ran = run_own(index); ran > 0) {
      ran += run_others(index);
      done_.fetch_add(ran, std::memory_order_release);
    }
  }
}

// Either run() sees this sleeper and wakes it, or the sleeper sees the chunks: each side writes
// first and then reads what the other wrote, with a fence between.
void Team::sleep(Place& place, std::uint32_t crew) {
  const std::uint32_t bell = place.bell.load();
  place.sleepers.fetch_add(1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (place.share.empty() && !gone(crew)) place.bell.wait(bell);
  place.sleepers.fetch_sub(1);
}

std::int64_t Team::run_own(int index) {
  std::int64_t ran = 0;
  for (std::int64_t c; (c = places_[index].share.take_front()) >= 0; ++ran) (*body_)(c);
  return ran;
}

// Only for the holder, and for a helper whose finished chunks are not yet counted.
std::int64_t Team::run_others(int index) {
  std::int64_t ran = 0;
  for (int i = 1; i < players_; ++i) {
    Share& share = places_[(index + i) % players_].share;
    for (std::int64_t c; (c = share.take_back()) >= 0; ++ran) (*body_)(c);
  }
  return ran;
}

void Team::run(std::int64_t chunks, const ChunkFn& body) {
  body_ = &body;
  done_.store(0, std::memory_order_relaxed);
  const auto start_of = [&](int i) { return (chunks * i + players_ - 1) / players_; };
  for (int i = 0; i < players_; ++i) places_[i].share.give(start_of(i), start_of(i + 1));
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (int i = 1; i < players_; ++i) {
    Place& place = places_[i];
    if (place.sleepers.load(std::memory_order_relaxed) == 0 || place.share.empty()) continue;
    place.bell.fetch_add(1);
    place.bell.notify_all();
  }
  std::int64_t ran = run_own(0);
  ran += run_others(0);
  wait_for(chunks - ran);
}

// Until helpers have finished so many chunks. What takes a millisecond is not a chunk: the kernel
// has put its thread aside.
void Team::wait_for(std::int64_t chunks) {
  constexpr std::int64_t kLong = 1'000'000;
  const auto finished = [&] { return done_.load(std::memory_order_acquire) == chunks; };
  if (spin_until(finished)) return;
  const std::int64_t start = clock_ns();
  do std::this_thread::yield();
  while (!spin_until(finished));
  if (clock_ns() - start > kLong) ++long_waits_;
}

void Team::after_fork(bool child_holds_it) {
  held_.store(child_holds_it);
  crew_.fetch_add(1);
  helpers_ = 0;
  players_ = 1;
  done_.store(0);
  for (Place& place : places_) {
    place.share.give(0, 0);
    place.sleepers.store(0);
  }
}

constinit Team team;
constinit std::atomic<int> limit{0};  // of set_num_threads; 0: none
constinit thread_local bool holds_team = false;
constinit thread_local bool in_job = false;
constinit thread_local ChunkWatch* watch = nullptr;

// A number for each thread of the team that was ever watched; the holder is 0.
int watched_number() {
  if (holds_team) return 0;
  static constinit std::atomic<int> count{0};
  thread_local const int number = count.fetch_add(1) + 1;
  return number;
}

void run_watched(std::int64_t chunks, const ChunkFn& body, ChunkWatch& by) {
  const std::int64_t begin = clock_ns();
  team.run(chunks, [&](std::int64_t chunk) {
    const std::int64_t chunk_begin = clock_ns();
    body(chunk);
    by.ran_chunk(watched_number(), chunk_begin, clock_ns());
  });
  by.ran_job(begin, clock_ns());
}

#if defined(__unix__) || defined(__APPLE__)
[[maybe_unused]] const int at_fork =
    pthread_atfork(nullptr, nullptr, [] { team.after_fork(holds_team); });
#endif

// Whoever sets OMP_NUM_THREADS has decided: even more threads than processors.
bool omp_num_threads_is_set() {
  static const bool set = std::getenv("OMP_NUM_THREADS") != nullptr;
  return set;
}

// Sets a flag of this thread for the length of a scope.
class Raised {
 public:
  explicit Raised(bool& flag) : flag_(flag), before_(flag) { flag_ = true; }
  ~Raised() { flag_ = before_; }
  Raised(const Raised&) = delete;
  Raised& operator=(const Raised&) = delete;

 private:
  bool& flag_;
  bool before_;
};

class Hold {
 public:
  Hold() : raised_(holds_team) {}
  ~Hold() { team.release(); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  Raised raised_;
};

constexpr std::int64_t kMostChunks = 0xffffffff;  // a share has 32 bits for a number

constexpr std::size_t kAlignment = 64;

struct Workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Workspace() { ::operator delete (data, std::align_val_t{kAlignment}); }
};

}  // namespace

void parallel_chunks(std::int64_t chunks, ChunkFn body) {
  if (chunks <= 1 || chunks > kMostChunks || !holds_team || in_job) {
    for (std::int64_t c = 0; c < chunks; ++c) body(c);
    return;
  }
  const Raised raised(in_job);
  if (watch != nullptr) {
    run_watched(chunks, body, *watch);
    return;
  }
  team.run(chunks, body);
}

void watch_chunks(ChunkWatch* by) { watch = by; }

std::int64_t clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void with_team(ChunkFn body) {
  const FlushDenormals flush;
  const int threads = holds_team ? 1 : team_size();
  if (threads == 1 || !team.try_hold()) {
    body(0);
    return;
  }
  const Hold hold;
  team.use(threads - 1);
  body(0);
}

std::uint32_t long_waits() { return holds_team && !in_job ? team.long_waits() : 0; }

void use_threads(int threads) {
  if (holds_team && !in_job) team.play_with(threads);
}

int threads_at_hand() { return holds_team && !in_job ? team.players() : 1; }

int team_size() {
  int threads = omp_get_max_threads();
  const int limited = limit.load(std::memory_order_relaxed);
  if (limited > 0) threads = std::min(threads, limited);
  if (threads > 1 && !omp_num_threads_is_set()) threads = std::min(threads, available_cpus());
  return std::max(threads, 1);
}

int num_threads() { return team_size(); }

void set_num_threads(int n) {
  if (n < 1) throw Error("set_num_threads: n must be at least 1, got " + std::to_string(n));
  limit.store(n, std::memory_order_relaxed);
}

void* workspace_bytes(int slot, std::size_t bytes) {
  constexpr int kSlots = 4;
  thread_local Workspace spaces[kSlots];
  Workspace& space = spaces[slot];
  if (space.bytes < bytes) {
    ::operator delete (space.data, std::align_val_t{kAlignment});
    space = {};
    space.data = ::operator new (bytes, std::align_val_t{kAlignment});
    space.bytes = bytes;
  }
  return space.data;
}

}  // namespace lamina
