// Random numbers: pure functions of a state (int64: seed, counter) and the element's position.
#include "kernels/random.h"

#include <algorithm>
#include <numbers>

#include "base/parallel.h"
#include "ops/elementwise.h"

namespace lamina {
namespace {

using namespace kernels;

constexpr Dim kGroupsPerChunk = 64;

void require_state(const Spec& spec) {
  if (spec.dtype != DType::i64 || spec.shape != Shape{2})
    type_error("the random state must be int64 of shape (2,): seed and counter, got " +
               to_string(spec));
}
RandomStream stream_of(const std::int64_t* state) {
  return {static_cast<std::uint64_t>(state[0]), static_cast<std::uint64_t>(state[1])};
}

// Calls body(group, first element, elements) for the groups of n elements, in parallel.
template <class F>
void each_group(Dim n, const F& body) {
  parallel_for((n + kGroupWords - 1) / kGroupWords, kGroupsPerChunk, [&](Dim begin, Dim end) {
    for (Dim g = begin; g < end; ++g)
      body(static_cast<std::uint64_t>(g), g * kGroupWords,
           std::min<Dim>(kGroupWords, n - g * kGroupWords));
  });
}

// ---- dropout(x, state; rate, noise_shape)
Shape noise_shape(const Attrs& attrs, const Shape& shape) {
  if (attrs.find("noise_shape") == attrs.end()) return shape;
  Shape noise = attr_ints(attrs, "noise_shape");
  if (noise.size() != shape.size())
    shape_error("noise_shape " + to_string(Attr(noise)) + " must have one entry for each of the " +
                std::to_string(shape.size()) + " axes");
  for (std::size_t i = 0; i < noise.size(); ++i) {
    if (noise[i] == -1) noise[i] = shape[i];
    if (noise[i] != 1 && dim_merge(noise[i], shape[i]) == -2)
      shape_error("noise_shape " + to_string(Attr(noise)) +
                  " must be 1 or the size of the axis in " + to_string(shape));
  }
  return noise;
}
std::vector<Spec> infer_dropout(const InferArgs& a) {
  require_count(a, 2);
  require_floating(a[0], "the operand");
  require_state(a[1]);
  const double rate = attr_real(a.attrs, "rate", 0.5);
  if (!(rate >= 0 && rate <= 1))
    throw Error("rate must be between 0 and 1, got " + to_string(Attr(rate)));
  noise_shape(a.attrs, a[0].shape);
  return {a[0]};
}

struct Drop {
  std::uint32_t threshold;
  double scale;
  bool all;
  explicit Drop(double rate)
      : threshold(static_cast<std::uint32_t>(rate < 1 ? word_threshold(rate) : 0)),
        scale(rate < 1 ? 1 / (1 - rate) : 0),
        all(rate >= 1) {}

  template <class T>
  void run(const RandomStream& s, const T* x, T* out, Dim n) const {
    if (all) {
      std::fill_n(out, n, T{0});
      return;
    }
    each_group(n, [&, philox = Philox(s)](std::uint64_t g, Dim at, Dim count) {
      std::uint32_t words[kGroupWords];
      philox.group(g, words);
      drop_group<T>(words, threshold, x + at, static_cast<T>(scale), out + at,
                    static_cast<int>(count));
    });
  }
};

struct Masked {  // the mask holds 0 or the scale
  template <class V>
  V operator()(V x, V mask) const {
    return select(mask == V{}, V{}, x * mask);
  }
};
// The mask is smaller than x: made in the scratch, then spread.
template <class T>
Bound bind_shared_noise(const BindArgs& a, const Drop& drop, const Shape& noise) {
  const Spec in[] = {a.in[0], {a.in[0].dtype, noise}};
  Bound apply =
      bind_elementwise({in, a.out, a.attrs, a.used}, floating_tile<2>(a.in[0].dtype, Masked{}), 1);
  const Dim n = element_count(noise);
  return {[drop, n, apply = std::move(apply.run)](const Run& r) {
            auto* mask = reinterpret_cast<T*>(r.scratch);
            std::fill_n(mask, n, T{1});
            drop.run<T>(stream_of(r.in<std::int64_t>(1)), mask, mask, n);
            void* both[] = {r.ins[0], mask};
            apply({both, r.outs, nullptr, r.failure});
          },
          static_cast<std::size_t>(n) * sizeof(T), apply.flops + 8 * static_cast<double>(n)};
}
Bound bind_dropout(const BindArgs& a) {
  const Drop drop(attr_real(a.attrs, "rate", 0.5));
  const Shape noise = noise_shape(a.attrs, a.in[0].shape);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    if (noise != a.in[0].shape) return bind_shared_noise<T>(a, drop, noise);
    const Dim n = element_count(noise);
    return {[drop, n](const Run& r) {
              drop.run<T>(stream_of(r.in<std::int64_t>(1)), r.in<T>(0), r.out<T>(0), n);
            },
            0, 8 * static_cast<double>(n)};
  });
}
// The same state drops the same positions.
Grads dropout_vjp(Builder& b, const VjpArgs& a) {
  return {b.emit("dropout", {a.d_out[0], a.in[1]}, a.attrs), kNoValue};
}

// ---- Generators: (state; shape, dtype, ...)
Spec generated(const InferArgs& a) {
  require_count(a, 1);
  require_state(a[0]);
  const Shape shape = attr_ints(a.attrs, "shape");
  for (const Dim d : shape)
    if (d < kUnknown) shape_error("sizes must not be negative, got " + to_string(Attr(shape)));
  return {parse_dtype(attr_str(a.attrs, "dtype", "float32")), shape};
}
std::vector<Spec> infer_floating(const InferArgs& a) {
  const Spec out = generated(a);
  require_floating(out, "dtype");
  return {out};
}

// fill(stream, group, T* 64 elements) makes a group; what is left over of the last one is dropped.
template <class T, class Fill>
Bound bind_groups(const BindArgs& a, double cost, Fill fill) {
  const Dim n = element_count(a.out[0].shape);
  return {[n, fill](const Run& r) {
            const RandomStream s = stream_of(r.in<std::int64_t>(0));
            each_group(n, [&](std::uint64_t g, Dim at, Dim count) {
              T group[kGroupWords];
              fill(s, g, group);
              std::copy_n(group, count, r.out<T>(0) + at);
            });
          },
          0, cost * static_cast<double>(n)};
}

Bound bind_uniform(const BindArgs& a) {
  return with_float(a.out[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const T low = static_cast<T>(attr_real(a.attrs, "min", 0)),
            high = static_cast<T>(attr_real(a.attrs, "max", 1));
    const T width = high - low, last = low < high ? std::nextafter(high, low) : high;
    return bind_groups<T>(a, 8, [=](const RandomStream& s, std::uint64_t g, T* out) {
      uniform_group(s, g, out);
      for (int i = 0; i < kGroupWords; ++i)
        out[i] = std::min(low + width * out[i], last);  // high is excluded
    });
  });
}

// Box and Muller: the first half of a group with the second.
template <class T>
void normal_group(const RandomStream& s, std::uint64_t g, T* out) {
  constexpr int kHalf = kGroupWords / 2;
  double u[kGroupWords];
  uniform_group(s, g, u);
  for (int i = 0; i < kHalf; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - u[i]));  // 1 - u is never 0
    const double angle = 2 * std::numbers::pi * u[kHalf + i];
    out[i] = static_cast<T>(radius * std::cos(angle));
    out[kHalf + i] = static_cast<T>(radius * std::sin(angle));
  }
}
// The inverse of the distribution function between two standard deviations.
template <class T>
void truncated_normal_group(const RandomStream& s, std::uint64_t g, T* out) {
  constexpr double kInside = 0.9544997361036416;  // P(|z| < 2)
  double u[kGroupWords];
  uniform_group(s, g, u);
  for (int i = 0; i < kGroupWords; ++i) {
    const double z = std::numbers::sqrt2 * inverse_erf((2 * u[i] - 1) * kInside);
    out[i] = static_cast<T>(std::clamp(z, -2.0, 2.0));
  }
}
template <class T>
using GroupOf = void (*)(const RandomStream&, std::uint64_t, T*);
template <template <class> class Group>
Bound bind_scaled(const BindArgs& a, double cost) {
  const double mean = attr_real(a.attrs, "mean", 0), stddev = attr_real(a.attrs, "stddev", 1);
  return with_float(a.out[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const T m = static_cast<T>(mean), d = static_cast<T>(stddev);
    return bind_groups<T>(a, cost, [m, d](const RandomStream& s, std::uint64_t g, T* out) {
      Group<T>::fill(s, g, out);
      for (int i = 0; i < kGroupWords; ++i) out[i] = m + d * out[i];
    });
  });
}
template <class T>
struct Normal {
  static constexpr GroupOf<T> fill = normal_group<T>;
};
template <class T>
struct TruncatedNormal {
  static constexpr GroupOf<T> fill = truncated_normal_group<T>;
};
Bound bind_normal(const BindArgs& a) { return bind_scaled<Normal>(a, 40); }
Bound bind_truncated_normal(const BindArgs& a) { return bind_scaled<TruncatedNormal>(a, 120); }

// random_int(state; shape, dtype, min, max): min <= value < max.
std::vector<Spec> infer_int(const InferArgs& a) {
  const Spec out = generated(a);
  if (is_floating(out.dtype) || out.dtype == DType::boolean)
    type_error(std::string("dtype must be an integer type, got ") + dtype_name(out.dtype));
  const Dim low = attr_int(a.attrs, "min", 0), high = attr_int(a.attrs, "max");
  if (low >= high)
    throw Error("min must be below max, got min=" + std::to_string(low) +
                ", max=" + std::to_string(high));
  return {out};
}
Bound bind_int(const BindArgs& a) {
  const auto low = static_cast<std::uint64_t>(attr_int(a.attrs, "min", 0));
  const std::uint64_t range = static_cast<std::uint64_t>(attr_int(a.attrs, "max")) - low;
  return with_any(a.out[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return bind_groups<T>(a, 12, [low, range](const RandomStream& s, std::uint64_t g, T* out) {
      std::uint64_t words[kGroupWords];
      wide_group(s, g, words);
      for (int i = 0; i < kGroupWords; ++i) {
        const auto scaled =
            static_cast<std::uint64_t>((static_cast<unsigned __int128>(words[i]) * range) >> 64);
        out[i] = static_cast<T>(low + scaled);
      }
    });
  });
}

// bernoulli(state; shape, dtype, p): 1 with probability p, else 0.
std::vector<Spec> infer_bernoulli(const InferArgs& a) {
  const double p = attr_real(a.attrs, "p", 0.5);
  if (!(p >= 0 && p <= 1)) throw Error("p must be between 0 and 1, got " + to_string(Attr(p)));
  return {generated(a)};
}
Bound bind_bernoulli(const BindArgs& a) {
  const std::uint64_t threshold = word_threshold(attr_real(a.attrs, "p", 0.5));
  return with_any(a.out[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return bind_groups<T>(a, 8, [threshold](const RandomStream& s, std::uint64_t g, T* out) {
      std::uint32_t words[kGroupWords];
      philox_group(s, g, words);
      for (int i = 0; i < kGroupWords; ++i) out[i] = static_cast<T>(words[i] < threshold);
    });
  });
}

const Register r{
    {.name = "dropout",
     .traits = kRandom | kInPlace,
     .infer = infer_dropout,
     .bind = bind_dropout,
     .vjp = dropout_vjp},
    {.name = "random_uniform", .traits = kRandom, .infer = infer_floating, .bind = bind_uniform},
    {.name = "random_normal", .traits = kRandom, .infer = infer_floating, .bind = bind_normal},
    {.name = "truncated_normal",
     .traits = kRandom,
     .infer = infer_floating,
     .bind = bind_truncated_normal},
    {.name = "random_int", .traits = kRandom, .infer = infer_int, .bind = bind_int},
    {.name = "bernoulli", .traits = kRandom, .infer = infer_bernoulli, .bind = bind_bernoulli},
};

}  // namespace
}  // namespace lamina
