// The team of threads: every chunk once, nobody waited for, exceptions, forks.
#include "base/parallel.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/cpus.h"
#include "base/denormals.h"
#include "base/pace.h"
#include "lamina/runtime.h"
#include "lamina/types.h"

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

// gcc's thread sanitizer does not follow a fork with threads.
#if defined(__SANITIZE_THREAD__)
constexpr bool kCanFork = false;
#else
constexpr bool kCanFork = true;
#endif

using namespace lamina;

namespace {

// More threads than most test machines have processors: late and preempted threads included.
struct FourThreads : testing::Environment {
  void SetUp() override {
    setenv("OMP_NUM_THREADS", "4", 1);  // for us; OpenMP has read it already
    omp_set_num_threads(4);
  }
};
[[maybe_unused]] const auto* four_threads = testing::AddGlobalTestEnvironment(new FourThreads);

template <class F>
void team(const F& body) {
  with_team([&](std::int64_t) { body(); });
}

// Numbers 0 .. n-1 summed in chunks; wrong when a chunk runs twice or never.
std::int64_t sum_in_chunks(std::int64_t n, std::int64_t grain) {
  std::vector<std::int64_t> partial(static_cast<std::size_t>(n / grain + 1));
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      partial[static_cast<std::size_t>(begin / grain)] += i;
  });
  return std::accumulate(partial.begin(), partial.end(), std::int64_t{0});
}

TEST(Parallel, RunsEveryChunkOnce) {
  constexpr int kJobs = 20000;
  team([] {
    for (int job = 0; job < kJobs; ++job) {
      const int chunks = job % 13;
      std::array<int, 13>
          ran{};  // not atomic: each chunk has its own, and the end of the job orders
      parallel_chunks(chunks, [&](std::int64_t c) { ++ran[static_cast<std::size_t>(c)]; });
      for (int c = 0; c < 13; ++c) ASSERT_EQ(ran[static_cast<std::size_t>(c)], c < chunks) << job;
    }
  });
}

TEST(Parallel, RunsEveryChunkOnceInManyShortTeams) {
  for (int i = 0; i < 5000; ++i) {
    team([&] { ASSERT_EQ(sum_in_chunks(97, 1 + i % 20), 97 * 96 / 2); });
  }
}

TEST(Parallel, RunsEveryChunkOnceBesideBusyThreads) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    team([] {
      for (int job = 0; job < 20; ++job) ASSERT_EQ(sum_in_chunks(1000, 30), 1000 * 999 / 2);
    });
  }
  stop = true;
  for (std::thread& t : busy) t.join();
}

TEST(Parallel, UsesOtherThreads) {
  std::atomic<int> others{0};
  const auto caller = std::this_thread::get_id();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (others == 0 && std::chrono::steady_clock::now() < end) {
    team([&] {
      parallel_chunks(8, [&](std::int64_t) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (std::this_thread::get_id() != caller) ++others;
      });
    });
  }
  EXPECT_GT(others, 0);
}

TEST(Parallel, RunsInlineAndInOrderWithoutATeam) {
  std::vector<std::int64_t> order;
  parallel_chunks(5, [&](std::int64_t c) { order.push_back(c); });
  EXPECT_EQ(order, (std::vector<std::int64_t>{0, 1, 2, 3, 4}));
  parallel_chunks(0, [&](std::int64_t) { FAIL(); });
  parallel_for(0, 10, [&](std::int64_t, std::int64_t) { FAIL(); });
}

TEST(Parallel, AChunkMayHandOutChunks) {
  std::atomic<int> ran{0};
  team([&] {
    parallel_chunks(6, [&](std::int64_t) { parallel_chunks(7, [&](std::int64_t) { ++ran; }); });
  });
  EXPECT_EQ(ran, 42);
}

TEST(Parallel, ATeamInATeamIsTheSameTeam) {
  team([] { team([] { EXPECT_EQ(sum_in_chunks(500, 7), 500 * 499 / 2); }); });
}

TEST(Parallel, SeveralCallersAtOnce) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        team([&] { wrong += sum_in_chunks(300, 11) != 300 * 299 / 2; });
      }
    });
  }
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Parallel, ExceptionsOfTheBodyPassThrough) {
  EXPECT_THROW(team([] { throw std::runtime_error("no"); }), std::runtime_error);
  team([] { EXPECT_EQ(sum_in_chunks(500, 7), 500 * 499 / 2); });  // the team is free again
}

TEST(Parallel, TheNumberOfThreadsMayChange) {
  for (int i = 0; i < 200; ++i) {
    set_num_threads(1 + i % 4);
    EXPECT_EQ(team_size(), 1 + i % 4);
    team([] { ASSERT_EQ(sum_in_chunks(300, 11), 300 * 299 / 2); });
  }
  EXPECT_THROW(set_num_threads(0), Error);
  EXPECT_THROW(set_num_threads(-3), Error);
  set_num_threads(64);
  EXPECT_EQ(team_size(), 4);  // OMP_NUM_THREADS
}

TEST(Parallel, KnowsTheProcessors) {
  EXPECT_GE(available_cpus(), 1);
  EXPECT_LE(available_cpus(), static_cast<int>(std::thread::hardware_concurrency()));
}

#if defined(__SSE2__) || defined(__aarch64__)
double product(double a, double b) {
  volatile double x = a, y = b;  // multiplied when it runs
  return x * y;
}

TEST(Denormals, AreZeroInsideATeamOnly) {
  const auto denormal = [] { return product(1e-300, 1e-10); };
  EXPECT_NE(denormal(), 0.0);
  std::atomic<int> kept{0};
  team([&] {
    for (int i = 0; i < 100; ++i)
      parallel_chunks(8, [&](std::int64_t) { kept += denormal() != 0.0; });
  });
  EXPECT_EQ(kept, 0);
  EXPECT_NE(denormal(), 0.0);
  {
    const FlushDenormals flush;
    EXPECT_EQ(denormal(), 0.0);
  }
  EXPECT_NE(denormal(), 0.0);
}
#endif

TEST(Workspace, IsAlignedKeptAndOwnedByTheThread) {
  float* a = workspace<float>(0, 1000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % 64, 0u);
  EXPECT_EQ(workspace<float>(0, 10), a);
  EXPECT_NE(workspace<float>(1, 1000), a);
  float* other = nullptr;
  std::thread([&] { other = workspace<float>(0, 10); }).join();
  EXPECT_NE(other, a);
}

#if defined(__unix__)
// Runs `body` in a forked child; true when it came back with true within 20 seconds.
template <class F>
bool in_forked_child(const F& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(body() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool computes() {
  bool right = false;
  team([&] { right = sum_in_chunks(100000, 100) == std::int64_t{100000} * 99999 / 2; });
  return right;
}

bool uses_other_threads() {
  std::atomic<bool> other{false};
  const auto caller = std::this_thread::get_id();
  while (!other) {  // the alarm ends it
    team([&] {
      parallel_chunks(8, [&](std::int64_t) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (std::this_thread::get_id() != caller) other = true;
      });
    });
  }
  return true;
}

TEST(Fork, TheChildComputesWithATeamOfItsOwn) {
  if (!kCanFork) GTEST_SKIP();
  EXPECT_TRUE(computes());
  EXPECT_TRUE(in_forked_child([] { return computes() && uses_other_threads(); }));
  EXPECT_TRUE(in_forked_child([] { return in_forked_child(computes) && computes(); }));
  EXPECT_TRUE(computes());
}

TEST(Fork, WhileAnotherThreadHoldsTheTeam) {
  if (!kCanFork) GTEST_SKIP();
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread other([&] {
    team([&] {
      while (!stop) wrong += sum_in_chunks(100000, 100) != std::int64_t{100000} * 99999 / 2;
    });
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(in_forked_child([] { return computes() && uses_other_threads(); }));
  }
  stop = true;
  other.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Fork, ByTheHolderOfTheTeam) {
  if (!kCanFork) GTEST_SKIP();
  const auto forks_inside = [] {
    bool child_right = false;
    pid_t child = 0;
    team([&] {  // the child leaves the team's scope, too, and takes it again
      sum_in_chunks(1000, 10);
      child = fork();
      if (child == 0) alarm(20);
      child_right = sum_in_chunks(100000, 100) == std::int64_t{100000} * 99999 / 2;
    });
    if (child == 0) _exit(child_right && computes() && uses_other_threads() ? 0 : 1);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  EXPECT_TRUE(forks_inside());
  EXPECT_TRUE(computes());
}
#endif

// Runs steps of the pace's clock until `end`; a step takes step_ms(threads).
struct PaceClock {
  Pace pace;
  std::int64_t now = 0;
  std::array<std::int64_t, 9> spent{};  // with so many threads
  template <class StepMs>
  void run_until(std::int64_t end_ms, bool waits, const StepMs& step_ms) {
    while (now < end_ms * 1'000'000) {
      const bool timed = pace.is_timed();
      const int threads = pace.threads(8);
      const auto time = static_cast<std::int64_t>(step_ms(threads) * 1e6);
      now += time;
      spent[static_cast<std::size_t>(threads)] += time;
      if (timed)
        pace.took(time, now);
      else if (waits)
        pace.waited_long(8, now);
    }
  }
};

TEST(Pace, KeepsAllThreadsWhereNobodyWaits) {
  PaceClock clock;
  clock.run_until(1000, false, [](int) { return 3.0; });
  EXPECT_FALSE(clock.pace.is_timed());
  EXPECT_EQ(clock.spent[8], clock.now);
}

TEST(Pace, AFewLongWaitsAreAnAccident) {
  PaceClock clock;
  for (int second = 1; second <= 20; ++second) {
    for (int i = 0; i < 2; ++i) {
      clock.pace.waited_long(8, clock.now);
      EXPECT_FALSE(clock.pace.is_timed());
    }
    clock.run_until(1000 * second, false, [](int) { return 3.0; });
  }
}

TEST(Pace, FindsTheBestOfHalves) {
  PaceClock clock;
  clock.run_until(10000, true, [](int threads) { return threads == 2 ? 5.0 : 10.0 + threads; });
  EXPECT_EQ(clock.spent[1] + clock.spent[2] + clock.spent[4] + clock.spent[8], clock.now);
  EXPECT_GT(clock.spent[2], clock.now / 2);
  EXPECT_EQ(clock.spent[1] > 0, true);  // tried, as two threads were better than four
}

TEST(Pace, TakesAllThreadsAgainWhenOthersHaveLeft) {
  PaceClock clock;
  clock.run_until(2000, true, [](int threads) { return 5.0 * threads; });
  EXPECT_GT(clock.spent[1], clock.now / 2);
  clock.spent = {};
  clock.run_until(4000, false, [](int threads) { return 20.0 / threads; });
  EXPECT_GT(clock.spent[8], 1'200'000'000);
  EXPECT_FALSE(clock.pace.is_timed());
}

TEST(Pace, TriesLessAndLessOftenWhereAllThreadsAreBest) {
  PaceClock clock;
  clock.run_until(20000, true, [](int threads) { return 20.0 / threads; });
  EXPECT_LT(clock.spent[4], clock.now / 50);
  EXPECT_EQ(clock.spent[1], 0);
}

TEST(Pace, UseThreadsHoldsUntilTheTeamIsGivenBack) {
  team([] {
    EXPECT_EQ(threads_at_hand(), 4);
    use_threads(2);
    EXPECT_EQ(threads_at_hand(), 2);
    EXPECT_EQ(sum_in_chunks(1000, 7), 499500);
    use_threads(99);
    EXPECT_EQ(threads_at_hand(), 4);
    use_threads(1);
  });
  use_threads(3);  // without a team: nothing
  EXPECT_EQ(threads_at_hand(), 1);
  team([] { EXPECT_EQ(threads_at_hand(), 4); });
}

TEST(Pace, AHelperPutAsideIsALongWait) {
  team([] {
    const std::uint32_t before = long_waits();
    std::atomic<int> started{0};
    const auto holder = std::this_thread::get_id();
    parallel_chunks(2, [&](std::int64_t) {
      ++started;
      const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(2);
      while (started < 2 && std::chrono::steady_clock::now() < late) std::this_thread::yield();
      if (std::this_thread::get_id() != holder)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    });
    if (started == 2) {
      EXPECT_GE(long_waits(), before + 1);
    }
  });
}

}  // namespace
