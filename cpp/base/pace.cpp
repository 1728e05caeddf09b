#include "base/pace.h"

namespace lamina {

void Pace::enter(State state, int threads) {
  state_ = state;
  threads_ = threads;
  steps_ = 0;
  spent_ = 0;
}

void Pace::waited_long(int all, std::int64_t now) {
  if (all < 2 || now < calm_until_) return;
  if (waits_ == 0 || now - first_wait_ > kWindow) {
    waits_ = 0;
    first_wait_ = now;
  }
  if (++waits_ < kFewestWaits) return;
  waits_ = 0;
  all_ = all;
  best_threads_ = 0;
  enter(State::trial, all);
}

void Pace::took(std::int64_t time, std::int64_t now) {
  spent_ += time;
  ++steps_;
  if (state_ == State::trial) {
    if (is_decided()) judge(now);
  } else if (spent_ >= kSettled) {  // others may have left
    best_threads_ = 0;
    enter(State::trial, all_);
  }
}

bool Pace::is_decided() const {
  if (steps_ < kFewestSteps) return false;
  const bool far_behind =
      best_threads_ != 0 && static_cast<double>(spent_) / steps_ > kFarBehind * best_;
  return spent_ >= (far_behind ? kHopeless : kTrial);
}

// This number of threads has been timed: is it the best so far, and what comes next?
void Pace::judge(std::int64_t now) {
  const double step = static_cast<double>(spent_) / steps_;
  if (best_threads_ == 0 || step < best_) {
    best_ = step;
    best_threads_ = threads_;
    if (threads_ > 1) return enter(State::trial, threads_ / 2);
  }
  if (best_threads_ < all_) {
    calm_ = kShortestCalm;
    return enter(State::settled, best_threads_);
  }
  // The wait was an accident, or all wait alike: look again later, and later every time.
  calm_until_ = now + calm_;
  calm_ = std::min(2 * calm_, kLongestCalm);
  enter(State::calm, all_);
}

}  // namespace lamina
