// Update rules of optimizers: what happens to one element's state, over vectors. State 0 is the
// parameter. The scalars were computed once for the whole sweep.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/stream.h"
#include "kernels/vec.h"

namespace lamina::optimizer {

template <class T, std::size_t kStates>
using States = std::array<Vec<T>, kStates>;

// Decoupled weight decay: `decay` is the weight decay times the learning rate.
template <class T>
LAMINA_INLINE void shrink(Vec<T>& p, T decay) {
  p -= p * decay;
}

template <class T>
struct Sgd {
  static constexpr std::size_t kStates = 1;
  T lr, decay;
  LAMINA_INLINE void operator()(States<T, 1>& s, Vec<T> g) const {
    shrink(s[0], decay);
    s[0] -= g * lr;
  }
};

template <class T>
struct Momentum {
  static constexpr std::size_t kStates = 2;
  T lr, decay, momentum;
  bool nesterov;
  LAMINA_INLINE void operator()(States<T, 2>& s, Vec<T> g) const {
    shrink(s[0], decay);
    const Vec<T> step = g * lr;
    s[1] = s[1] * momentum - step;
    s[0] += nesterov ? s[1] * momentum - step : s[1];
  }
};

// `alpha` is the learning rate with both bias corrections; the epsilon stays outside of them.
template <class T, bool kAmsgrad>
struct Adam {
  static constexpr std::size_t kStates = kAmsgrad ? 4 : 3;  // p, m, v, largest v
  T alpha, decay, to_m, to_v, epsilon;
  LAMINA_INLINE void operator()(States<T, kStates>& s, Vec<T> g) const {
    shrink(s[0], decay);
    s[1] += (g - s[1]) * to_m;
    s[2] += (g * g - s[2]) * to_v;
    Vec<T> v = s[2];
    if constexpr (kAmsgrad) v = s[3] = vmax(s[3], v);
    s[0] -= s[1] * alpha / (quick_sqrt(v) + epsilon);
  }
};

// The momentum accumulates increments that contain the learning rate already.
template <class T, bool kCentered, bool kMomentum>
struct RmsProp {
  static constexpr std::size_t kStates = 2 + kCentered + kMomentum;  // p, v, average, momentum
  T lr, decay, rho, to_v, epsilon, momentum;
  LAMINA_INLINE void operator()(States<T, kStates>& s, Vec<T> g) const {
    shrink(s[0], decay);
    s[1] = s[1] * rho + g * g * to_v;
    Vec<T> power = s[1];
    if constexpr (kCentered) {
      s[2] = s[2] * rho + g * to_v;
      power -= s[2] * s[2];
    }
    Vec<T> increment = g * lr / quick_sqrt(power + epsilon);
    if constexpr (kMomentum) increment = s[kStates - 1] = s[kStates - 1] * momentum + increment;
    s[0] -= increment;
  }
};

// A rule over elements [begin, end), whose gradient begins at `gradient` if it is not zero. Without
// a branch between loads and arithmetic: the compiler must join the same products and sums into
// multiply-adds everywhere.
template <class T, bool kStream, bool kZero, class Rule>
void sweep_elements(const Rule& rule, void* const* in, void* const* out, const T* gradient,
                    std::int64_t begin, std::int64_t end) {
  constexpr std::size_t kStates = Rule::kStates;
  const T* from[kStates];
  T* to[kStates];
  for (std::size_t k = 0; k < kStates; ++k) from[k] = static_cast<const T*>(in[k]);
  for (std::size_t k = 0; k < kStates; ++k) to[k] = static_cast<T*>(out[k]);
  States<T, kStates> s;
  Vec<T> g{};
  std::int64_t i = begin;
  const auto few = [&](int count) {
    for (std::size_t k = 0; k < kStates; ++k) s[k] = load_n<T>(from[k] + i, count);
    if constexpr (!kZero) g = load_n<T>(gradient + (i - begin), count);
    rule(s, g);
    for (std::size_t k = 0; k < kStates; ++k) store_n<T>(to[k] + i, s[k], count);
    i += count;
  };
  if constexpr (kStream) {
    const auto past = reinterpret_cast<std::uintptr_t>(to[0] + i) % sizeof(Vec<T>);
    if (past != 0)
      few(static_cast<int>(std::min<std::int64_t>((sizeof(Vec<T>) - past) / sizeof(T), end - i)));
  }
  for (; i + kLanes<T> <= end; i += kLanes<T>) {
    for (std::size_t k = 0; k < kStates; ++k) s[k] = load<T>(from[k] + i);
    if constexpr (!kZero) g = load<T>(gradient + (i - begin));
    rule(s, g);
    if constexpr (kStream)
      stream<T>(to[0] + i, s[0]);
    else
      store<T>(to[0] + i, s[0]);
    for (std::size_t k = 1; k < kStates; ++k) store<T>(to[k] + i, s[k]);
  }
  if (i < end) few(static_cast<int>(end - i));
}

// Runs a rule over elements [begin, end). The states are read from `in` and written to `out`, which
// may be the same; `gradient` points to the one of element `begin`, or is null where it is zero.
// Streams the parameters if told to, the caller then calls finish_streams(); the bits are the same.
template <class T, bool kStream = false, class Rule>
void sweep(const Rule& rule, void* const* in, void* const* out, const T* gradient,
           std::int64_t begin, std::int64_t end) {
  if (gradient == nullptr)
    sweep_elements<T, kStream, true>(rule, in, out, gradient, begin, end);
  else
    sweep_elements<T, kStream, false>(rule, in, out, gradient, begin, end);
}

// 1 - beta^t with beta and the result rounded to T, as the rest of the arithmetic is. Takes
// log(beta) so that a step costs one exponential.
template <class T>
class BiasCorrection {
 public:
  explicit BiasCorrection(double beta)
      : log_beta_(std::log(static_cast<double>(static_cast<T>(beta)))) {}
  T at(std::int64_t t) const {
    return T(1) - static_cast<T>(std::exp(static_cast<double>(t) * log_beta_));
  }

 private:
  double log_beta_;
};

}  // namespace lamina::optimizer
