// What a program's steps take, measured while it runs, and what this machine could do at best.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "lamina/types.h"

namespace lamina {

// Times are nanoseconds of the steady clock.
using Nanoseconds = std::int64_t;

// The part of one thread in one step of one run.
struct StepSlice {
  std::uint32_t step = 0, thread = 0;  // thread 0 is the caller, others are the team's
  Nanoseconds begin = 0, end = 0;
  Nanoseconds team = 0;    // thread 0: of that, how long it had the team at work
  Nanoseconds chunks = 0;  // how long the thread ran chunks of the step's parallel loops
};

struct StepTotals {
  std::int64_t count = 0;
  Nanoseconds total = 0, least = 0;
};

// Filled by one plan at a time; may be read from any thread meanwhile. Step numbers are those of
// Program::steps(), and two more: the copying of the batch and of the assigned values.
class LAMINA_API Recording {
 public:
  // Of the last `kept_runs` runs every slice is kept; of all runs the totals.
  Recording(std::size_t steps, std::size_t kept_runs);
  ~Recording();
  std::size_t gather_step() const { return steps_; }
  std::size_t assign_step() const { return steps_ + 1; }

  std::vector<StepTotals> totals() const;
  std::vector<std::vector<StepSlice>> runs() const;  // the kept ones, oldest first

  // For the plan that has claimed it.
  bool claim() { return !claimed_.exchange(true); }
  void release();  // forgets a run that was not finished
  template <class F>
  void measure(std::size_t step, const F& f) {
    begin();
    try {
      f();
    } catch (...) {  // a Python function's error: the run ends here
      cancel();
      throw;
    }
    end(step);
  }
  void finish_run();

 private:
  class Watch;
  void begin();
  void end(std::size_t step);
  void cancel();

  std::size_t steps_, kept_;
  std::unique_ptr<Watch> watch_;
  std::atomic<bool> claimed_{false};
  Nanoseconds started_ = 0;
  std::vector<StepSlice> current_;
  mutable std::mutex mutex_;  // of what follows
  std::vector<StepTotals> totals_;
  std::vector<std::vector<StepSlice>> runs_;
  std::size_t next_ = 0;  // run to replace
};

// Measured on the spot, in about a tenth of a second.
struct MachineLimits {
  int threads = 1;
  double gflops_thread = 0, gflops_team = 0;  // float32 multiply-adds on registers alone
  struct Copy {
    std::size_t bytes;                  // read and written by one copy
    double gbytes_thread, gbytes_team;  // a second
  };
  std::vector<Copy> copies;  // by size: what fits a cache is copied faster
};
LAMINA_API MachineLimits measure_limits();

}  // namespace lamina
