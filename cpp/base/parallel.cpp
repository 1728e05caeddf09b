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

// Every member is constant-initialised and trivially destroyed: team threads may outlive static
// destructors at the end of the process.
class Team {
 public:
  // One thread at a time holds the team. Only the holder calls the functions below.
  bool try_hold() { return !held_.exchange(true, std::memory_order_acquire); }
  void release() { held_.store(false, std::memory_order_release); }

  // At most `helpers` threads besides the holder take part from now on.
  void use(int helpers);
  void run(std::int64_t chunks, const ChunkFn& body);

  // In a forked child: there are no team threads, and no job is under way.
  void after_fork(bool child_holds_it);

 private:
  void start(int helpers);
  void serve(int index, std::uint32_t crew);
  void sleep(int index, std::uint32_t crew);
  std::int64_t claim_all();
  bool gone(std::uint32_t crew) const { return crew_.load(std::memory_order_relaxed) != crew; }
  bool wanted(int index) const { return index < active_.load(std::memory_order_relaxed); }

  std::atomic<bool> held_{false};
  int helpers_ = 0;                     // threads in the region
  std::atomic<int> active_{0};          // those of them that take part
  std::atomic<std::uint32_t> crew_{0};  // which region; threads of another one leave
  std::atomic<std::uint32_t> session_{
      0};  // grows when active_ or crew_ changed: bystanders wait on it

  // The job. A successful claim is what entitles to read `body_` and `chunks_`: the holder does not
  // write them again before every claimed chunk is counted in `done_`. A thread that comes late
  // finds either nothing left or a chunk of the current job, whichever job it woke up for.
  const ChunkFn* body_ = nullptr;
  std::int64_t chunks_ = 0;
  alignas(64) std::atomic<std::int64_t> left_{0};  // chunks not yet claimed; below 0: too
  alignas(64) std::atomic<std::int64_t> done_{0};  // chunks finished by helpers
  alignas(64) std::atomic<std::uint32_t> job_{0};  // grows when sleepers are to look for work
  std::atomic<int> sleepers_{0};
};

void Team::use(int helpers) {
  if (helpers > helpers_) start(helpers);
  if (helpers == active_.load(std::memory_order_relaxed)) return;
  active_.store(helpers);
  session_.fetch_add(1);
  session_.notify_all();
  job_.fetch_add(1);  // those that are no longer wanted must not sleep where jobs are announced
  job_.notify_all();
}

// A larger team is a new region; the threads of the old one leave when they notice.
void Team::start(int helpers) {
  const std::uint32_t crew = crew_.fetch_add(1) + 1;
  helpers_ = helpers;
  active_.store(0);  // use() announces the new number, which makes the old threads look
  try {
    std::thread([this, helpers, crew] {
#pragma omp parallel num_threads(helpers)
      serve(omp_get_thread_num(), crew);
    }).detach();
  } catch (const std::system_error&) {
    helpers_ = 0;  // no thread to be had now: the holder does the work alone
  }
}

void Team::serve(int index, std::uint32_t crew) {
  const FlushDenormals flush;
  while (!gone(crew)) {
    if (wanted(index)) {
      const auto ready = [&] { return left_.load(std::memory_order_relaxed) > 0 || gone(crew); };
      if (spin_until(ready)) {
        const std::int64_t mine = claim_all();
        if (mine > 0) done_.fetch_add(mine, std::memory_order_release);
        continue;
      }
    }
    sleep(index, crew);
  }
}

// Either run() sees this sleeper and wakes it, or the sleeper sees the chunks: each side writes
// first and then reads what the other wrote, in one total order.
void Team::sleep(int index, std::uint32_t crew) {
  const std::uint32_t session = session_.load();
  const std::uint32_t job = job_.load();
  if (gone(crew)) return;
  if (!wanted(index)) {
    session_.wait(session);
    return;
  }
  sleepers_.fetch_add(1);
  if (left_.load() <= 0) job_.wait(job);
  sleepers_.fetch_sub(1);
}

// Runs chunks until none is left; how many it ran.
std::int64_t Team::claim_all() {
  std::int64_t ran = 0;
  while (left_.load(std::memory_order_relaxed) > 0) {
    const std::int64_t left = left_.fetch_sub(1, std::memory_order_acq_rel);
    if (left <= 0) break;
    (*body_)(chunks_ - left);
    ++ran;
  }
  return ran;
}

void Team::run(std::int64_t chunks, const ChunkFn& body) {
  body_ = &body;
  chunks_ = chunks;
  done_.store(0, std::memory_order_relaxed);
  left_.store(chunks);
  if (sleepers_.load() > 0) {
    job_.fetch_add(1);
    if (chunks > sleepers_.load(std::memory_order_relaxed)) {
      job_.notify_all();
    } else {
      for (std::int64_t i = 1; i < chunks; ++i) job_.notify_one();
    }
  }
  const std::int64_t claimed_by_helpers = chunks - claim_all();
  const auto finished = [&] { return done_.load(std::memory_order_acquire) == claimed_by_helpers; };
  while (!spin_until(finished)) std::this_thread::yield();
}

void Team::after_fork(bool child_holds_it) {
  held_.store(child_holds_it);
  crew_.fetch_add(1);
  helpers_ = 0;
  active_.store(0);
  left_.store(0);
  done_.store(0);
  sleepers_.store(0);
}

constinit Team team;
constinit std::atomic<int> limit{0};  // of set_num_threads; 0: none
constinit thread_local bool holds_team = false;
constinit thread_local bool in_job = false;

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

constexpr std::size_t kAlignment = 64;

struct Workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Workspace() { ::operator delete (data, std::align_val_t{kAlignment}); }
};

}  // namespace

void parallel_chunks(std::int64_t chunks, ChunkFn body) {
  if (chunks <= 1 || !holds_team || in_job) {
    for (std::int64_t c = 0; c < chunks; ++c) body(c);
    return;
  }
  const Raised raised(in_job);
  team.run(chunks, body);
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
