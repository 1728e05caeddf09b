// How many threads a step that repeats should use beside other processes.
//
// A thread that the kernel puts aside in the middle of a chunk holds up the whole step for a time
// slice, a thousand times as long as a small op takes. On a busy machine fewer threads can
// therefore be faster. When steps have waited that long several times, a trial times some steps
// with all threads, with half of them, and so on while that helps, and keeps to the best for a
// while. On a quiet machine nothing is timed, and results never depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lamina {

class Pace {
 public:
  // Threads for the next step, where there are `all`.
  int threads(int all) const { return state_ == State::calm ? all : std::min(all, threads_); }
  // Must the next step be timed?
  bool is_timed() const { return state_ != State::calm; }

  // An untimed step, with `all` threads, waited for another thread longer than a step should.
  void waited_long(int all, std::int64_t now);
  // A timed step took so long. All times are in nanoseconds.
  void took(std::int64_t time, std::int64_t now);

 private:
  enum class State : std::uint8_t { calm, trial, settled };
  static constexpr std::int64_t kMillisecond = 1'000'000;
  static constexpr std::int64_t kTrial = 25 * kMillisecond;  // of each number of threads
  static constexpr std::int64_t kHopeless = kTrial / 4;      // of one that is far behind
  static constexpr double kFarBehind = 1.5;
  // So many long waits in so short a time are no accident.
  static constexpr int kFewestWaits = 3;
  static constexpr std::int64_t kWindow = 500 * kMillisecond;
  static constexpr std::int64_t kSettled = 500 * kMillisecond;
  static constexpr std::int64_t kShortestCalm = 100 * kMillisecond;
  static constexpr std::int64_t kLongestCalm = 10'000 * kMillisecond;
  static constexpr int kFewestSteps = 2;

  void enter(State state, int threads);
  bool is_decided() const;
  void judge(std::int64_t now);

  State state_ = State::calm;
  int all_ = 1, threads_ = 1, best_threads_ = 1;
  int waits_ = 0;  // long ones since
  std::int64_t first_wait_ = 0;
  int steps_ = 0;           // timed with this number of threads
  std::int64_t spent_ = 0;  // by them
  double best_ = 0;         // of a step, in this trial
  std::int64_t calm_until_ = 0, calm_ = kShortestCalm;
};

// Of the team that the calling thread holds; without one, and inside a chunk, they do nothing.
// Waits so far for a thread that was put aside.
std::uint32_t long_waits();
// The next jobs run on so many threads at most, until the next call or the end of with_team.
void use_threads(int threads);

}  // namespace lamina
