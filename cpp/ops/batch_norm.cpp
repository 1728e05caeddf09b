// batch_norm(x [..., channels], gamma, beta [channels]; epsilon, activation = linear | relu |
// relu6) -> y, mean, variance [channels]: every channel with mean 0 and variance 1 over all other
// axes, then scaled and shifted.
//
// batch_norm_grad(dy, x, gamma, beta, mean, variance; epsilon, activation) -> dx, dgamma, dbeta.
// With an activation dy is the gradient of its result; what it let through is found from x.
#include "kernels/batch_norm.h"

#include <cmath>

#include "ops/moments.h"
#include "ops/second_gradient.h"

namespace lamina {
namespace {

using kernels::BatchNorm;
using kernels::ColumnSlices;

// The bounds of the activation: none, or [0, high].
struct Bounds {
  bool is_bounded;
  double high;
};
Bounds read_bounds(const Attrs& attrs) {
  const std::string activation = attr_str(attrs, "activation", "linear");
  if (activation == "linear") return {false, 0};
  if (activation == "relu") return {true, std::numeric_limits<double>::infinity()};
  if (activation == "relu6") return {true, 6};
  throw Error("activation must be linear, relu or relu6, got '" + activation + "'");
}

void require_columns(const Spec& x) {
  require_floating(x, "x");
  if (x.shape.size() < 2) shape_error("x must have rows of channels, got " + to_string(x.shape));
}
void require_channels(const Spec& x, const Spec& v, const char* operand) {
  require_same_dtype(x, v);
  require_rank(v, 1, operand);
  if (dim_merge(v.shape[0], x.shape.back()) == -2)
    shape_error(std::string(operand) + " has size " + std::to_string(v.shape[0]) + ", but x has " +
                std::to_string(x.shape.back()) + " channels");
}

std::vector<Spec> infer_forward(const InferArgs& a) {
  require_count(a, 3);
  read_bounds(a.attrs);
  require_columns(a[0]);
  require_channels(a[0], a[1], "gamma");
  require_channels(a[0], a[2], "beta");
  return {a[0], a[1], a[1]};
}

// Vectors of a line that a run keeps in its scratch.
template <class T>
class LineVectors {
 public:
  LineVectors(const ColumnSlices& slices, std::byte* scratch)
      : slices_(slices), next_(reinterpret_cast<T*>(scratch)) {}
  // value(column), repeated over a line.
  template <class Value>
  const T* make(const Value& value) {
    T* const v = next_;
    next_ += slices_.width();
    for (Dim c = 0; c < slices_.columns(); ++c) v[c] = value(c);
    slices_.repeat_columns(v);
    return v;
  }
  static std::size_t bytes(const ColumnSlices& slices, std::size_t count) {
    return (count * static_cast<std::size_t>(slices.width()) * sizeof(T) + 63) / 64 * 64;
  }

 private:
  const ColumnSlices& slices_;
  T* next_;
};

template <class T>
kernels::NormalizedColumns<T> make_columns(LineVectors<T>& lines, const T* gamma, const T* beta,
                                           const T* mean, const T* variance, T epsilon) {
  return {lines.make([=](Dim c) { return mean[c]; }),
          lines.make([=](Dim c) { return gamma[c] / std::sqrt(variance[c] + epsilon); }),
          lines.make([=](Dim c) { return beta[c]; })};
}

template <class T>
class Forward {
 public:
  Forward(const Columns& columns, const Bounds& bounds, double epsilon)
      : slices_(columns.slices()),
        grain_(columns.grain()),
        epsilon_(static_cast<T>(epsilon)),
        norm_(slices_, bounds.is_bounded, static_cast<T>(bounds.high)),
        moments_(columns) {}

  std::size_t scratch_bytes() const {
    return lines_bytes() + statistics_bytes() + moments_.scratch_bytes();
  }

  void run(const Run& r) const {
    const T* const x = r.in<T>(0);
    T *const y = r.out<T>(0), *const own = reinterpret_cast<T*>(r.scratch + lines_bytes());
    T* const mean = r.out<T>(1) != nullptr ? r.out<T>(1) : own;
    T* const variance = r.out<T>(2) != nullptr ? r.out<T>(2) : own + slices_.columns();
    moments_.run(x, mean, variance, r.scratch + lines_bytes() + statistics_bytes());
    LineVectors<T> lines(slices_, r.scratch);
    const auto n = make_columns(lines, r.in<T>(1), r.in<T>(2), mean, variance, epsilon_);
    parallel_for(slices_.count(), grain_, [&](Dim begin, Dim end) {
      for (Dim i = begin; i < end; ++i) norm_.forward(i, x, n, y);
    });
    norm_.forward_rest(x, n, y);
  }

 private:
  std::size_t lines_bytes() const { return LineVectors<T>::bytes(slices_, 3); }
  std::size_t statistics_bytes() const { return LineVectors<T>::bytes(slices_, 2); }

  ColumnSlices slices_;
  Dim grain_;
  T epsilon_;
  BatchNorm<T> norm_;
  MomentsPass<T> moments_;
};

Bound bind_forward(const BindArgs& a) {
  const Columns columns(a.in[0].shape);
  Bound bound;
  bound.flops = 8 * columns.elements();
  with_float(a.in[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    const Forward<T> forward(columns, read_bounds(a.attrs), attr_real(a.attrs, "epsilon", 0));
    bound.scratch_bytes = forward.scratch_bytes();
    bound.run = [forward](const Run& r) { forward.run(r); };
  });
  return bound;
}

Grads vjp_forward(Builder& b, const VjpArgs& v) {
  Grads grads{kNoValue, kNoValue, kNoValue};
  if (v.d_out[0] != kNoValue)
    grads = b.emit_all("batch_norm_grad",
                       {v.d_out[0], v.in[0], v.in[1], v.in[2], v.out[1], v.out[2]}, v.attrs);
  const ValueId dx = moments_gradient(b, v.in[0], v.out[1], v.d_out[1], v.d_out[2]);
  if (dx != kNoValue) grads[0] = grads[0] == kNoValue ? dx : b.add(grads[0], dx);
  return grads;
}

// ---- The gradient.

std::vector<Spec> infer_grad(const InferArgs& a) {
  require_count(a, 6);
  read_bounds(a.attrs);
  require_columns(a[1]);
  require_same_dtype(a[0], a[1]);
  if (a[0].shape != a[1].shape)
    shape_error("dy and x must have one shape, got " + to_string(a[0].shape) + " and " +
                to_string(a[1].shape));
  require_channels(a[1], a[2], "gamma");
  require_channels(a[1], a[3], "beta");
  require_channels(a[1], a[4], "mean");
  require_channels(a[1], a[5], "variance");
  return {a[1], a[2], a[2]};
}

template <class T>
class Backward {
 public:
  Backward(const Columns& columns, const Bounds& bounds, double epsilon)
      : slices_(columns.slices()),
        grain_(columns.grain()),
        epsilon_(static_cast<T>(epsilon)),
        norm_(slices_, bounds.is_bounded, static_cast<T>(bounds.high)) {}

  std::size_t scratch_bytes() const { return lines_bytes() + totals_bytes() + parts_bytes(); }

  void run(const Run& r) const {
    const T *const dy = r.in<T>(0), *const x = r.in<T>(1);
    const Dim columns = slices_.columns();
    LineVectors<T> lines(slices_, r.scratch);
    const auto n = make_columns(lines, r.in<T>(2), r.in<T>(3), r.in<T>(4), r.in<T>(5), epsilon_);
    auto* const totals = reinterpret_cast<double*>(r.scratch + lines_bytes());
    add_up(dy, x, n, reinterpret_cast<T*>(r.scratch + lines_bytes() + totals_bytes()), totals);
    // The second half are sums of d * (x - mean), the normalized x without its scale.
    const T* const variance = r.in<T>(5);
    const auto scale = [&](Dim c) {
      return 1 / std::sqrt(static_cast<double>(variance[c] + epsilon_));
    };
    if (T* const dgamma = r.out<T>(1))
      for (Dim c = 0; c < columns; ++c) dgamma[c] = static_cast<T>(totals[columns + c] * scale(c));
    if (T* const dbeta = r.out<T>(2))
      for (Dim c = 0; c < columns; ++c) dbeta[c] = static_cast<T>(totals[c]);
    if (r.out<T>(0) == nullptr) return;
    const auto rows = static_cast<double>(slices_.rows());
    const kernels::NormalizedGradient<T> g{
        lines.make([&](Dim c) { return static_cast<T>(totals[c] / rows); }), lines.make([&](Dim c) {
          return static_cast<T>(totals[columns + c] / rows * scale(c) * scale(c));
        })};
    parallel_for(slices_.count(), grain_, [&](Dim begin, Dim end) {
      for (Dim i = begin; i < end; ++i) norm_.backward(i, dy, x, n, g, r.out<T>(0));
    });
    norm_.backward_rest(dy, x, n, g, r.out<T>(0));
  }

 private:
  // totals[0 .. columns) of d, totals[columns .. 2 columns) of d * (x - mean): by slices, which are
  // added in order.
  void add_up(const T* dy, const T* x, const kernels::NormalizedColumns<T>& n, T* parts,
              double* totals) const {
    const Dim width = slices_.width(), count = slices_.count();
    parallel_for(count, grain_, [&](Dim begin, Dim end) {
      for (Dim i = begin; i < end; ++i) norm_.sums(i, dy, x, n, parts + 2 * i * width);
    });
    T* const rest = parts + 2 * count * width;
    std::fill_n(rest, 2 * width, T{0});
    norm_.sums_rest(dy, x, n, rest);
    const Dim columns = slices_.columns();
    std::fill_n(totals, 2 * columns, 0.0);
    for (Dim i = 0; i <= count; ++i)
      for (Dim half = 0; half < 2; ++half) {
        const T* const from = parts + (2 * i + half) * width;
        double* const to = totals + half * columns;
        for (Dim first = 0; first < width; first += columns)
          for (Dim c = 0; c < columns; ++c) to[c] += static_cast<double>(from[first + c]);
      }
  }

  std::size_t lines_bytes() const { return LineVectors<T>::bytes(slices_, 5); }
  std::size_t totals_bytes() const {
    return (2 * static_cast<std::size_t>(slices_.columns()) * sizeof(double) + 63) / 64 * 64;
  }
  std::size_t parts_bytes() const {
    return 2 * static_cast<std::size_t>((slices_.count() + 1) * slices_.width()) * sizeof(T);
  }

  ColumnSlices slices_;
  Dim grain_;
  T epsilon_;
  BatchNorm<T> norm_;
};

Bound bind_grad(const BindArgs& a) {
  const Columns columns(a.in[1].shape);
  Bound bound;
  bound.flops = 12 * columns.elements();
  with_float(a.in[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    const Backward<T> backward(columns, read_bounds(a.attrs), attr_real(a.attrs, "epsilon", 0));
    bound.scratch_bytes = backward.scratch_bytes();
    bound.run = [backward](const Run& r) { backward.run(r); };
  });
  return bound;
}

// The gradient written with other ops, to differentiate it once more.
std::vector<ValueId> plain_grad(Builder& b, const Attrs& attrs, const std::vector<ValueId>& in) {
  const ValueId x = in[1], gamma = in[2], beta = in[3], mean = in[4], variance = in[5];
  std::vector<std::int64_t> axes;
  for (std::size_t i = 0; i + 1 < b.shape(x).size(); ++i)
    axes.push_back(static_cast<std::int64_t>(i));
  const auto sum = [&](ValueId v) { return b.emit("sum", {v}, {{"axes", axes}}); };
  const ValueId scale = b.emit("rsqrt", {b.shift(variance, attr_real(attrs, "epsilon", 0))});
  const ValueId normalized = b.mul(b.sub(x, mean), scale);
  ValueId d = in[0];
  const std::string activation = attr_str(attrs, "activation", "linear");
  if (activation != "linear") {
    const ValueId y = b.emit(activation, {b.add(b.mul(normalized, gamma), beta)});
    d = b.emit(activation + "_grad", {y, d});
  }
  const ValueId dgamma = sum(b.mul(d, normalized)), dbeta = sum(d);
  const double share = static_cast<double>(b.shape(x).back()) /
                       static_cast<double>(std::max<Dim>(element_count(b.shape(x)), 1));
  const ValueId apart =
      b.sub(b.sub(d, b.scale(dbeta, share)), b.mul(normalized, b.scale(dgamma, share)));
  return {b.mul(b.mul(gamma, scale), apart), dgamma, dbeta};
}

Grads vjp_grad(Builder& b, const VjpArgs& v) {
  return second_gradient(
      b, v, [&](const std::vector<ValueId>& in) { return plain_grad(b, v.attrs, in); });
}

const Register ops{
    {.name = "batch_norm",
     .traits = kInPlace,
     .infer = infer_forward,
     .bind = bind_forward,
     .vjp = vjp_forward},
    {.name = "batch_norm_grad",
     .traits = kInPlace,
     .infer = infer_grad,
     .bind = bind_grad,
     .vjp = vjp_grad},
};

}  // namespace
}  // namespace lamina
