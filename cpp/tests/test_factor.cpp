// Values of the factorisations, the Fourier transform and the whole-number ops, against their
// definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "lamina/graph.h"
#include "op_cases.h"

using namespace lamina;

namespace {

Tensor product(const Tensor& a, const Tensor& b, bool transpose_b = false) {
  return run_op("matmul", {{a, b}}, {{"transpose_b", transpose_b}})[0];
}
void expect_near(const Tensor& a, const Tensor& b, double tolerance) {
  ASSERT_EQ(a.shape(), b.shape());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(a.data<double>()[i], b.data<double>()[i], tolerance) << i;
}
Tensor eye(Dim n) {
  Tensor t = Tensor::zeros({DType::f64, {n, n}});
  for (Dim i = 0; i < n; ++i) t.data<double>()[i * n + i] = 1;
  return t;
}

TEST(Factor, InverseAndSolveUndoTheProduct) {
  const Tensor a = uniform({5, 5}), b = uniform({5, 2}, -1, 1, 3);
  expect_near(product(a, run_op("inv", {{a}})[0]), eye(5), 1e-10);
  expect_near(product(a, run_op("solve", {{a, b}})[0]), b, 1e-10);
}

TEST(Factor, SingularMatricesFailWithTheirPlace) {
  const Tensor zero = Tensor::zeros({DType::f64, {2, 3, 3}});
  try {
    run_op("inv", {{zero}});
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("singular"), std::string::npos) << e.what();
  }
  EXPECT_THROW(run_op("cholesky", {{run_op("negative", {{eye(3)}})[0]}}), Error);
  EXPECT_EQ(run_op("det", {{zero}})[0].data<double>()[1], 0.0);
}

TEST(Factor, EmptyMatricesAreFine) {
  const Tensor none(Spec{DType::f64, {2, 0, 0}});
  for (const char* op : {"inv", "cholesky", "det", "slogdet", "lu_factor", "eigh", "svd", "qr"})
    EXPECT_NO_THROW(run_op(op, {{none}})) << op;
  EXPECT_EQ(run_op("det", {{none}})[0].data<double>()[0], 1.0);
}

TEST(Factor, SvdMultipliesBack) {
  for (const Shape& shape : {Shape{4, 3}, Shape{3, 4}, Shape{40, 36}}) {
    const Tensor a = uniform(shape);
    const std::vector<Tensor> f = run_op("svd", {{a}}, {{"full_matrices", false}});
    const Tensor us = run_op("multiply", {{f[0], f[1]}})[0];
    expect_near(product(us, f[2]), a, 1e-10);
  }
}

TEST(Factor, EighMultipliesBackInAscendingOrder) {
  const Tensor x = uniform({6, 6}), a = product(x, x, true);
  const std::vector<Tensor> f = run_op("eigh", {{a}});
  expect_near(product(run_op("multiply", {{f[1], f[0]}})[0], f[1], true), a, 1e-10);
  for (std::size_t i = 1; i < 6; ++i) EXPECT_LE(f[0].data<double>()[i - 1], f[0].data<double>()[i]);
}

// Lengths with small factors, with large primes, and one alone.
class Transform : public testing::TestWithParam<Dim> {};
TEST_P(Transform, IsTheSumOfItsDefinition) {
  const Dim n = GetParam();
  const Tensor re = uniform({n}), im = uniform({n}, -1, 1, 2);
  for (const bool inverse : {false, true}) {
    const std::vector<Tensor> out = run_op("fft", {{re, im}}, {{"inverse", inverse}});
    for (Dim k = 0; k < n; ++k) {
      double sum_re = 0, sum_im = 0;
      for (Dim j = 0; j < n; ++j) {
        const double angle = (inverse ? 2 : -2) * std::numbers::pi *
                             static_cast<double>(j * k % n) / static_cast<double>(n);
        const double c = std::cos(angle), s = std::sin(angle);
        sum_re += re.data<double>()[j] * c - im.data<double>()[j] * s;
        sum_im += re.data<double>()[j] * s + im.data<double>()[j] * c;
      }
      EXPECT_NEAR(out[0].data<double>()[k], sum_re, 1e-10 * static_cast<double>(n));
      EXPECT_NEAR(out[1].data<double>()[k], sum_im, 1e-10 * static_cast<double>(n));
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Length, Transform,
                         testing::Values(1, 2, 3, 4, 6, 8, 13, 17, 60, 64, 97, 128, 390));

TEST(Bits, ShiftsBeyondTheWidthLeaveTheSign) {
  const auto ints = [](std::vector<std::int32_t> v) {
    const Shape shape{static_cast<Dim>(v.size())};
    return Tensor::of<std::int32_t>(shape, v);
  };
  const Tensor x = ints({5, -5, 1}), by = ints({1, 40, 31});
  const Tensor left = run_op("left_shift", {{x, by}})[0];
  const Tensor right = run_op("right_shift", {{x, by}})[0];
  EXPECT_EQ(left.data<std::int32_t>()[0], 10);
  EXPECT_EQ(left.data<std::int32_t>()[1], 0);
  EXPECT_EQ(right.data<std::int32_t>()[0], 2);
  EXPECT_EQ(right.data<std::int32_t>()[1], -1);
  const Tensor divisor = run_op("gcd", {{ints({12, -18, 0}), ints({18, 12, -7})}})[0];
  EXPECT_EQ(divisor.data<std::int32_t>()[0], 6);
  EXPECT_EQ(divisor.data<std::int32_t>()[1], 6);
  EXPECT_EQ(divisor.data<std::int32_t>()[2], 7);
}

TEST(Draws, GammaAndBinomialHaveTheirMoments) {
  const Tensor state = Tensor::of<std::int64_t>({2}, {7, 0});
  Tensor alpha(Spec{DType::f64, {20000}}), trials = alpha.clone(), p = alpha.clone();
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    alpha.data<double>()[i] = i % 2 == 0 ? 0.5 : 4;
    trials.data<double>()[i] = i % 2 == 0 ? 10 : 1000;
    p.data<double>()[i] = 0.3;
  }
  const auto mean_of = [](const Tensor& t, std::size_t first) {
    double sum = 0;
    for (std::size_t i = first; i < t.size(); i += 2) sum += t.data<double>()[i];
    return sum / (static_cast<double>(t.size()) / 2);
  };
  const Tensor g = run_op("random_gamma", {{state, alpha}})[0];
  EXPECT_NEAR(mean_of(g, 0), 0.5, 0.03);
  EXPECT_NEAR(mean_of(g, 1), 4.0, 0.08);
  const Tensor k = run_op("random_binomial", {{state, trials, p}})[0];
  EXPECT_NEAR(mean_of(k, 0), 3.0, 0.06);
  EXPECT_NEAR(mean_of(k, 1), 300.0, 0.6);
}

}  // namespace
