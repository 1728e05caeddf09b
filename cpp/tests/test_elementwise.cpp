#include <bit>
#include <limits>

#include "kernel_testing.h"

using namespace lamina;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The spacing of floats at a value.
double ulp(long double value) {
  int exponent;
  std::frexp(std::fabs(static_cast<float>(value)), &exponent);
  return std::ldexp(1.0, exponent - 24);
}

// Floats from all binades between lo and hi, both signs where they fit.
Tensor floats_between(float lo, float hi) {
  std::vector<float> values;
  for (std::uint32_t bits = 0x00800000u; bits < 0x7f800000u; bits += 4999) {
    const float x = std::bit_cast<float>(bits);
    if (x >= lo && x <= hi) values.push_back(x);
    if (-x >= lo && -x <= hi) values.push_back(-x);
  }
  return Tensor::of<float>({static_cast<Dim>(values.size())}, values);
}

struct Accuracy {
  std::string op;
  float lo, hi;
  double ulps;
  long double (*exact)(long double);
};
const Accuracy kAccuracies[] = {
    {"exp", -87, 88.7f, 1.01, [](long double x) { return std::exp(x); }},
    {"expm1", -87, 88.7f, 1.6, [](long double x) { return std::expm1(x); }},
    {"log", 1e-37f, 3e38f, 1.5, [](long double x) { return std::log(x); }},
    {"log1p", -0.99999f, 3e38f, 2, [](long double x) { return std::log1p(x); }},
    {"sigmoid", -87, 88, 2.5, [](long double x) { return 1 / (1 + std::exp(-x)); }},
    {"tanh", -20, 20, 2.5, [](long double x) { return std::tanh(x); }},
    {"erf", -6, 6, 3, [](long double x) { return std::erf(x); }},
    {"softplus", -80, 200, 2.5,
     [](long double x) { return std::fmax(x, 0.0L) + std::log1p(std::exp(-std::fabs(x))); }},
    {"sqrt", 0, 3e38f, 0.51, [](long double x) { return std::sqrt(x); }},
    {"rsqrt", 1e-30f, 3e38f, 1.6, [](long double x) { return 1 / std::sqrt(x); }},
};

TEST(Elementwise, FunctionsOfFloatAreAccurate) {
  for (const Accuracy& c : kAccuracies) {
    const Tensor x = floats_between(c.lo, c.hi), y = run_one(c.op, {x});
    double worst = 0;
    float where = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const long double want = c.exact(x.data<float>()[i]);
      if (std::fabs(want) < 1.2e-38L) continue;  // subnormal
      const auto miss =
          static_cast<double>(std::fabs(static_cast<long double>(y.data<float>()[i]) - want));
      const double error = miss / ulp(want);
      if (!(error <= worst)) worst = error, where = x.data<float>()[i];
    }
    EXPECT_LE(worst, c.ulps) << c.op << " at " << where;
  }
}

TEST(Elementwise, SpecialValues) {
  const Tensor x = Tensor::of<float>({4}, {kNan, kInf, -kInf, 0});
  const auto expect = [&](const char* op, std::vector<float> want) {
    const Tensor y = run_one(op, {x});
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (std::isnan(want[i]))
        EXPECT_TRUE(std::isnan(y.data<float>()[i])) << op << " " << i;
      else
        EXPECT_EQ(y.data<float>()[i], want[i]) << op << " " << i;
    }
  };
  expect("exp", {kNan, kInf, 0, 1});
  expect("expm1", {kNan, kInf, -1, 0});
  expect("log", {kNan, kInf, kNan, -kInf});
  expect("log1p", {kNan, kInf, kNan, 0});
  expect("sigmoid", {kNan, 1, 0, 0.5});
  expect("tanh", {kNan, 1, -1, 0});
  expect("erf", {kNan, 1, -1, 0});
  expect("relu", {kNan, kInf, 0, 0});
  expect("relu6", {kNan, 6, 0, 0});
  expect("softplus", {kNan, kInf, 0, std::log(2.f)});
  expect("elu", {kNan, kInf, -1, 0});
  expect("sign", {kNan, 1, -1, 0});
  expect("square", {kNan, kInf, kInf, 0});
  for (const char* op : {"maximum", "minimum"}) {
    const Tensor one = Tensor::scalar(1.f);
    EXPECT_TRUE(std::isnan(run_one(op, {x, one}).data<float>()[0])) << op;
    EXPECT_TRUE(std::isnan(run_one(op, {one, x}).data<float>()[0])) << op;
  }
}

// An element's bits depend neither on where it lies, nor on its neighbours, nor on the threads.
TEST(Elementwise, BitsDoNotDependOnPosition) {
  const Tensor x = f32(uniform({131}, 0.1, 0.9));
  for (const char* op : {"exp", "expm1", "log", "log1p", "log2", "sigmoid", "tanh", "erf",
                         "softplus", "gelu", "silu", "mish", "selu", "sin", "erfinv", "rsqrt"}) {
    const Tensor whole = run_one(op, {x});
    for (std::size_t n : {1u, 3u, 7u, 16u, 33u})
      for (std::size_t at = 0; at + n <= x.size(); at += 5) {
        const float* from = x.data<float>() + at;
        const Tensor part =
            Tensor::of<float>({static_cast<Dim>(n)}, std::vector<float>(from, from + n));
        ASSERT_EQ(
            std::memcmp(run_one(op, {part}).raw(), whole.data<float>() + at, n * sizeof(float)), 0)
            << op << ", " << n << " elements from " << at;
      }
    expect_same_for_all_threads(op, {f32(uniform({700, 301}, 0.1, 0.9))});
  }
}

// NumPy's rule, element by element.
std::size_t broadcast_index(std::size_t flat, const Shape& out, const Shape& in) {
  std::size_t index = 0, step = 1;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto size = static_cast<std::size_t>(out[out.size() - 1 - i]), at = flat % size;
    flat /= size;
    if (i >= in.size()) continue;
    const auto own = static_cast<std::size_t>(in[in.size() - 1 - i]);
    if (own != 1) index += at * step;
    step *= own;
  }
  return index;
}

TEST(Elementwise, Broadcasts) {
  const std::pair<Shape, Shape> pairs[] = {{{3, 5}, {3, 5}},
                                           {{7, 10}, {10}},
                                           {{10}, {7, 10}},
                                           {{64, 700}, {700}},
                                           {{}, {33}},
                                           {{33}, {1}},
                                           {{5, 1}, {1, 6}},
                                           {{2, 1, 3, 1}, {4, 1, 5}},
                                           {{300, 1}, {300, 9}},
                                           {{1, 1}, {1}},
                                           {{9, 300, 3}, {300, 1}},
                                           {{0, 4}, {4}},
                                           {{200, 300, 3}, {3}},
                                           {{40, 1, 900}, {40, 5, 1}},
                                           {{2, 3, 1000}, {3, 1000}},
                                           {{128, 513}, {128, 1}}};
  for (const auto& [a_shape, b_shape] : pairs) {
    const Tensor a = f32(uniform(a_shape, -1, 1, 3)), b = f32(uniform(b_shape, -1, 1, 4));
    const Tensor y = run_one("subtract", {a, b});
    for (std::size_t i = 0; i < y.size(); ++i)
      ASSERT_EQ(y.data<float>()[i], a.data<float>()[broadcast_index(i, y.shape(), a_shape)] -
                                        b.data<float>()[broadcast_index(i, y.shape(), b_shape)])
          << to_string(a_shape) << " - " << to_string(b_shape) << " at " << i;
    expect_same_for_all_threads("subtract", {a, b});
  }
}

TEST(Elementwise, ThreeOperandsBroadcastTogether) {
  const Tensor c = integers({40, 1}, 2, 1, DType::boolean), a = f32(uniform({40, 300})),
               b = f32(uniform({300}, 2, 3));
  const Tensor y = run_one("select", {c, a, b});
  for (std::size_t i = 0; i < y.size(); ++i)
    ASSERT_EQ(y.data<float>()[i],
              c.data<bool>()[i / 300] ? a.data<float>()[i] : b.data<float>()[i % 300]);
}

TEST(Elementwise, IntegersFollowPython) {
  const Tensor a =
      Tensor::of<std::int32_t>({6}, {7, -7, 7, -7, 5, std::numeric_limits<std::int32_t>::min()});
  const Tensor b = Tensor::of<std::int32_t>({6}, {2, 2, -2, -2, 0, -1});
  const auto expect = [&](const char* op, std::vector<std::int32_t> want) {
    const Tensor y = run_one(op, {a, b});
    for (std::size_t i = 0; i < want.size(); ++i)
      EXPECT_EQ(y.data<std::int32_t>()[i], want[i]) << op << " " << i;
  };
  expect("floor_divide", {3, -4, -4, 3, 0, std::numeric_limits<std::int32_t>::min()});
  expect("mod", {1, 1, -1, -1, 0, 0});
  const Tensor base = Tensor::of<std::int64_t>({4}, {3, -2, 2, -1}),
               e = Tensor::of<std::int64_t>({4}, {4, 3, -1, -3});
  const Tensor p = run_one("power", {base, e});
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(p.data<std::int64_t>()[i], ((std::int64_t[]){81, -8, 0, -1})[i]);
  const Tensor x = Tensor::of<float>({4}, {5.5f, -5.5f, 5.5f, -5.5f}),
               d = Tensor::of<float>({4}, {2, 2, -2, -2});
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(run_one("floor_divide", {x, d}).data<float>()[i], ((float[]){2, -3, -3, 2})[i]);
    EXPECT_EQ(run_one("mod", {x, d}).data<float>()[i], ((float[]){1.5f, 0.5f, -0.5f, -1.5f})[i]);
  }
}

TEST(Elementwise, ConvertsAndCompares) {
  const Tensor x = Tensor::of<float>({4}, {-1.7f, 0, 2.5f, 255});
  const auto cast = [&](const char* to) {
    return run_one("cast", {x}, {{"dtype", std::string(to)}});
  };
  EXPECT_EQ(cast("int32").data<std::int32_t>()[0], -1);
  EXPECT_EQ(cast("uint8").data<std::uint8_t>()[3], 255);
  EXPECT_EQ(cast("bool").data<bool>()[1], false);
  EXPECT_EQ(cast("bool").data<bool>()[0], true);
  EXPECT_EQ(cast("float64").data<double>()[2], 2.5);
  const Tensor rounded = run_one("round", {Tensor::of<float>({4}, {0.5f, 1.5f, 2.5f, -0.5f})});
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(rounded.data<float>()[i], ((float[]){0, 2, 2, -0.f})[i]);
  const Tensor less = run_one("less", {x, Tensor::scalar(1.f)});
  EXPECT_TRUE(less.data<bool>()[0]);
  EXPECT_FALSE(less.data<bool>()[2]);
  const Tensor clipped =
      run_one("clip", {Tensor::of<std::int32_t>({3}, {-9, 2, 9})}, {{"min", -1.5}, {"max", 3.5}});
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(clipped.data<std::int32_t>()[i], ((std::int32_t[]){-1, 2, 3})[i]);
}

TEST(Elementwise, RefusesWhatDoesNotFit) {
  EXPECT_EQ(inferred("add", {{kUnknown, 3}, {1, 3}}), (Shape{kUnknown, 3}));
  EXPECT_NE(refusal("add", {{2, 3}, {4}}).find("add((2, 3) float32, (4,) float32)"),
            std::string::npos);
  EXPECT_THROW(infer("add", std::vector<Spec>{{DType::f32, {2}}, {DType::i32, {2}}}, {}),
               TypeError);
  EXPECT_THROW(infer("exp", std::vector<Spec>{{DType::i32, {2}}}, {}), TypeError);
  EXPECT_THROW(infer("logical_and", std::vector<Spec>{{DType::f32, {2}}, {DType::f32, {2}}}, {}),
               TypeError);
  EXPECT_THROW(infer("add", std::vector<Spec>{{DType::f32, {2}}}, {}), Error);
}

}  // namespace
