// Distributions whose number of random words depends on the draw: gamma and binomial. Every element
// has a stream of its own, named by its position.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/random.h"
#include "ops/op.h"

namespace lamina {
namespace {

using namespace kernels;

class Draws {
 public:
  Draws(const std::int64_t* state, std::int64_t element)
      : stream_{static_cast<std::uint64_t>(state[0]) ^
                    (static_cast<std::uint64_t>(element + 1) * 0x9E3779B97F4A7C15u),
                static_cast<std::uint64_t>(state[1])} {}
  double uniform() {  // in (0, 1)
    if (next_ == kGroupWords) {
      uniform_group(stream_, group_++, numbers_);
      next_ = 0;
    }
    return numbers_[next_++] + 0x1p-54;
  }
  double normal() {
    return std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
  }
  // Marsaglia and Tsang (2000).
  double gamma(double alpha) {
    if (!(alpha > 0)) return alpha == 0 ? 0.0 : std::nan("");
    if (std::isinf(alpha)) return alpha;  // no draw would ever be accepted
    if (alpha < 1) {
      const double boosted = gamma(alpha + 1);
      return boosted * std::pow(uniform(), 1 / alpha);
    }
    const double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal(), t = 1 + c * x, v = t * t * t;
      if (v <= 0) continue;
      if (std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
    }
  }
  // A long row of trials is cut at the k-th smallest of its uniform numbers, which is Beta
  // distributed; what is left is counted.
  double binomial(double trials, double p) {
    if (!(trials >= 0) || std::isinf(trials) || !(p >= 0 && p <= 1)) return std::nan("");
    double n = std::floor(trials), hits = 0;
    while (n > 32) {
      const double a = 1 + std::floor(n / 2), b = n + 1 - a;
      const double g = gamma(a), cut = g / (g + gamma(b));
      if (cut >= p) {
        n = a - 1;
        p = p / cut;
      } else {
        hits += a;
        n = b - 1;
        p = std::clamp((p - cut) / (1 - cut), 0.0, 1.0);
      }
    }
    for (; n > 0; --n) hits += uniform() < p ? 1 : 0;
    return hits;
  }

 private:
  RandomStream stream_;
  std::uint64_t group_ = 0;
  int next_ = kGroupWords;
  double numbers_[kGroupWords];
};

// (state, parameters of one shape...) -> that shape
template <std::size_t kParameters>
std::vector<Spec> infer_draws(const InferArgs& a) {
  require_count(a, 1 + kParameters);
  if (a[0].dtype != DType::i64 || a[0].shape != Shape{2})
    type_error("the random state must be int64 of shape (2,), got " + to_string(a[0]));
  require_floating(a[1], "the parameter");
  for (std::size_t i = 2; i < a.in.size(); ++i)
    if (!(a[i] == a[1])) shape_error("the parameters must have one dtype and shape");
  return {a[1]};
}

template <class Draw>
Bound bind_draws(const BindArgs& a, Draw draw) {
  const Dim n = element_count(a.out[0].shape);
  constexpr double kCost = 1200;
  return with_float(a.out[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return {[n, draw](const Run& r) {
              parallel_for(n, 256, [&](Dim begin, Dim end) {
                for (Dim i = begin; i < end; ++i) {
                  Draws draws(r.in<std::int64_t>(0), i);
                  r.out<T>(0)[i] = static_cast<T>(draw.template operator()<T>(draws, r, i));
                }
              });
            },
            0, kCost * static_cast<double>(n)};
  });
}
struct GammaDraw {
  template <class T>
  double operator()(Draws& d, const Run& r, Dim i) const {
    return d.gamma(r.in<T>(1)[i]);
  }
};
struct BinomialDraw {
  template <class T>
  double operator()(Draws& d, const Run& r, Dim i) const {
    return d.binomial(r.in<T>(1)[i], r.in<T>(2)[i]);
  }
};
Bound bind_gamma(const BindArgs& a) { return bind_draws(a, GammaDraw{}); }
Bound bind_binomial(const BindArgs& a) { return bind_draws(a, BinomialDraw{}); }

const Register ops{
    {.name = "random_gamma", .traits = kRandom, .infer = infer_draws<1>, .bind = bind_gamma},
    {.name = "random_binomial", .traits = kRandom, .infer = infer_draws<2>, .bind = bind_binomial},
};

}  // namespace
}  // namespace lamina
