#include "kernel_testing.h"

using namespace lamina;

namespace {

// One step of a chain as the engine's level computes it: fused where there is an instruction.
template <class T>
T step(T a, T b, T sum) {
  if (isa_level() == 2) {
    const volatile T product = a * b;
    return product + sum;
  }
  return std::fma(a, b, sum);
}

template <class T>
Tensor chains(const Tensor& a, const Tensor& b, bool ta, bool tb) {
  const Dim m = a.shape()[ta ? 1 : 0], k = a.shape()[ta ? 0 : 1], n = b.shape()[tb ? 0 : 1];
  Tensor c(Spec{a.dtype(), {m, n}});
  const T *x = a.data<T>(), *y = b.data<T>();
  for (Dim i = 0; i < m; ++i)
    for (Dim j = 0; j < n; ++j) {
      T sum = 0;
      for (Dim p = 0; p < k; ++p)
        sum = step(x[ta ? p * m + i : i * k + p], y[tb ? j * k + p : p * n + j], sum);
      c.data<T>()[i * n + j] = sum;
    }
  return c;
}

TEST(Matmul, EveryElementIsOneChainOfFusedSteps) {
  for (const Dim m : {1, 2, 5, 16, 31})
    for (const Dim n : {1, 3, 10, 17, 40})
      for (const Dim k : {1, 2, 9, 64, 600})
        for (int t = 0; t < 4; ++t) {
          const bool ta = t & 1, tb = t & 2;
          const Tensor a = uniform(ta ? Shape{k, m} : Shape{m, k}, -1, 1, 1);
          const Tensor b = uniform(tb ? Shape{n, k} : Shape{k, n}, -1, 1, 2);
          const Attrs attrs{{"transpose_a", ta}, {"transpose_b", tb}};
          ASSERT_TRUE(same_bits(run_one("matmul", {a, b}, attrs), chains<double>(a, b, ta, tb)));
          ASSERT_TRUE(same_bits(run_one("matmul", {f32(a), f32(b)}, attrs),
                                chains<float>(f32(a), f32(b), ta, tb)))
              << m << " x " << n << " x " << k << ", transposes " << t;
        }
}

// The rows [first, first + count) of a matrix.
Tensor rows_of(const Tensor& a, Dim first, Dim count) {
  const Dim columns = a.shape()[1];
  Tensor rows(Spec{a.dtype(), {count, columns}});
  const std::size_t row = static_cast<std::size_t>(columns) * item_size(a.dtype());
  std::memcpy(rows.raw(), static_cast<const std::byte*>(a.raw()) + first * row, rows.bytes());
  return rows;
}

TEST(Matmul, SumsOverManyRowsAreChainsOfSlicesInATree) {
  const Dim k = 4099, m = 19, n = 70;
  const Tensor a = f32(uniform({k, m}, -1, 1, 1)), b = f32(uniform({k, n}, -1, 1, 2));
  Tensor part[4];
  for (Dim i = 0; i < 4; ++i) {
    const Dim first = k * i / 4, count = k * (i + 1) / 4 - first;
    part[i] = chains<float>(rows_of(a, first, count), rows_of(b, first, count), true, false);
  }
  Tensor sum(Spec{DType::f32, {m, n}});
  const auto at = [&part](int i, Dim j) { return part[i].data<float>()[j]; };
  for (Dim j = 0; j < m * n; ++j)
    sum.data<float>()[j] = (at(0, j) + at(1, j)) + (at(2, j) + at(3, j));
  EXPECT_TRUE(same_bits(run_one("matmul", {a, b}, {{"transpose_a", true}}), sum));
}

TEST(Matmul, BatchesAreProductsOfTheirOwn) {
  const Tensor a = uniform({2, 3, 4, 5}), b = uniform({3, 5, 6}, -1, 1, 2);
  const Tensor c = run_one("matmul", {a, b});
  ASSERT_EQ(c.shape(), (Shape{2, 3, 4, 6}));
  for (Dim i = 0; i < 2; ++i)
    for (Dim j = 0; j < 3; ++j) {
      Tensor x(Spec{DType::f64, {4, 5}}), y(Spec{DType::f64, {5, 6}});
      std::memcpy(x.raw(), a.data<double>() + (i * 3 + j) * 20, x.bytes());
      std::memcpy(y.raw(), b.data<double>() + j * 30, y.bytes());
      const Tensor z = chains<double>(x, y, false, false);
      EXPECT_EQ(std::memcmp(z.raw(), c.data<double>() + (i * 3 + j) * 24, z.bytes()), 0);
    }
}

TEST(Matmul, ManySmallProductsEqualOneByOne) {
  const Tensor a = f32(uniform({300, 8, 20})), b = f32(uniform({300, 20, 8}, -1, 1, 2));
  const Tensor c = run_one("matmul", {a, b});
  for (const Dim i : {0, 7, 299})
    EXPECT_TRUE(same_bits(run_one("matmul", {row_of(a, i), row_of(b, i)}), row_of(c, i)));
  expect_same_for_all_threads("matmul", {a, b});
}

TEST(Dense, ActivationHasTheBitsOfTheOpOfThatName) {
  const std::vector<Tensor> in = {f32(uniform({7, 20}, -3, 3)), f32(uniform({20, 37}, -1, 1, 2)),
                                  f32(uniform({37}, -1, 1, 3))};
  const Tensor z = run_one("dense", in);
  for (const std::string name : {"relu", "sigmoid", "tanh"})
    EXPECT_TRUE(same_bits(run_one("dense", in, {{"activation", name}}), run_one(name, {z})))
        << name;
}

TEST(Dense, NanStaysNan) {
  Tensor x = f32(uniform({3, 4}));
  x.data<float>()[5] = NAN;
  const Tensor y =
      run_one("dense", {x, f32(uniform({4, 5}))}, {{"activation", std::string("relu")}});
  for (int i = 0; i < 15; ++i) EXPECT_EQ(std::isnan(y.data<float>()[i]), i / 5 == 1);
}

TEST(Dense, RowsDoNotKnowTheirBatch) {
  for (const Dim n : {1, 10, 128}) {
    const Tensor w = f32(uniform({784, n}, -1, 1, 2)), bias = f32(uniform({n}, -1, 1, 3));
    expect_rows_independent("dense", {f32(uniform({45, 784})), w, bias},
                            {{"activation", std::string("tanh")}});
  }
}

TEST(Matmul, WithTheGradientOfAReluHasTheBitsOfBoth) {
  const auto expect = [](Dim m, Dim n, Dim k, bool tb, double scale) {
    const Tensor a = f32(uniform({m, k}, -1, 1, 1)),
                 b = f32(uniform(tb ? Shape{n, k} : Shape{k, n}, -1, 1, 2)),
                 y = f32(uniform({m, n, 1}, -1, 1, 3));
    Tensor d = run_one("matmul", {a, b}, {{"transpose_b", tb}});
    d = run_one("reshape", {d}, {{"shape", Shape{m, n, 1}}});
    if (scale != 1) d = run_one("multiply", {d, f32(Tensor::scalar(scale))});
    const Attrs attrs{{"transpose_b", tb}, {"scale", scale}};
    EXPECT_TRUE(
        same_bits(run_one("matmul_relu_grad", {a, b, y}, attrs), run_one("relu_grad", {y, d})))
        << m << " x " << n << " x " << k;
    expect_same_for_all_threads("matmul_relu_grad", {a, b, y}, attrs);
  };
  for (const bool tb : {false, true}) {
    expect(1, 50, 20, tb, 1);
    expect(50, 1, 20, tb, 1);
    expect(32, 300, 40, tb, 1.25);  // the transposed result, block by block
    expect(400, 150, 1, tb, 1);
    expect(450, 70, 600, tb, 2);     // several blocks of rows and of k
    expect(20, 2100, 530, tb, 1.5);  // several blocks of columns
  }
  const Tensor a = f32(uniform({4, 5})), b = f32(uniform({5, 6}));
  EXPECT_THROW(run_one("matmul_relu_grad", {a, b, f32(uniform({4, 5}))}), ShapeError);
}

TEST(Dense, SlicesOfTheSumAreChainsInATree) {
  const Dim m = 30, k = 650, n = 70;
  const Tensor x = f32(uniform({m, k}, -1, 1, 1)), w = f32(uniform({k, n}, -1, 1, 2)),
               bias = f32(uniform({n}, -1, 1, 3));
  Tensor part[4], turned(Spec{DType::f32, {k, m}});
  for (Dim i = 0; i < m * k; ++i) turned.data<float>()[i % k * m + i / k] = x.data<float>()[i];
  for (const std::int64_t slices : {2, 4}) {
    for (Dim i = 0; i < slices; ++i) {
      const Dim first = k * i / slices, count = k * (i + 1) / slices - first;
      part[i] = chains<float>(rows_of(turned, first, count), rows_of(w, first, count), true, false);
    }
    Tensor sum(Spec{DType::f32, {m, n}});
    const auto at = [&part](int i, Dim j) { return part[i].data<float>()[j]; };
    for (Dim j = 0; j < m * n; ++j) {
      const float all =
          slices == 2 ? at(0, j) + at(1, j) : (at(0, j) + at(1, j)) + (at(2, j) + at(3, j));
      sum.data<float>()[j] = std::max(all + bias.data<float>()[j % n], 0.0f);
    }
    const Attrs attrs{{"slices", slices}, {"activation", std::string("relu")}};
    EXPECT_TRUE(same_bits(run_one("dense", {x, w, bias}, attrs), sum)) << slices << " slices";
    expect_same_for_all_threads("dense", {x, w, bias}, attrs);
  }
  EXPECT_THROW(run_one("dense", {x, w}, {{"slices", std::int64_t{3}}}), Error);
}

TEST(Dense, ThreadsDoNotMatter) {
  expect_same_for_all_threads("dense", {f32(uniform({64, 700})), f32(uniform({700, 90}, -1, 1, 2)),
                                        f32(uniform({90}, -1, 1, 3))});
  const Tensor x = f32(uniform({1000, 33})), dy = f32(uniform({1000, 65}, -1, 1, 2));
  expect_same_for_all_threads("matmul", {x, dy}, {{"transpose_a", true}});
  expect_same_for_all_threads("matmul", {dy, f32(uniform({33, 65}))}, {{"transpose_b", true}});
  const Tensor many = f32(uniform({9000, 64})), rows = f32(uniform({9000, 90}, -1, 1, 2));
  expect_same_for_all_threads("matmul", {many, rows}, {{"transpose_a", true}});
}

TEST(Qr, FactorsGiveTheMatrixBack) {
  for (const Shape& shape : {Shape{5, 3}, Shape{3, 5}, Shape{4, 4}, Shape{2, 6, 4}})
    for (const std::string mode : {"reduced", "complete"}) {
      const Tensor a = uniform(shape);
      const std::vector<Tensor> qr = run_op("qr", std::vector<Tensor>{a}, {{"mode", mode}});
      expect_near(run_one("matmul", {qr[0], qr[1]}), a, 1e-12, mode);
      const Tensor one = run_one("matmul", {qr[0], qr[0]}, {{"transpose_a", true}});
      const Dim n = one.shape().back();
      for (std::size_t i = 0; i < one.size(); ++i) {
        const Dim at = static_cast<Dim>(i) % (n * n);
        EXPECT_NEAR(one.data<double>()[i], at / n == at % n ? 1 : 0, 1e-12);
      }
      const Dim rows = qr[1].shape()[shape.size() - 2], columns = qr[1].shape().back();
      for (Dim i = 0; i < rows; ++i)
        for (Dim j = 0; j < std::min(i, columns); ++j)
          EXPECT_EQ(qr[1].data<double>()[i * columns + j], 0);
    }
}

TEST(Linalg, ShapeRules) {
  EXPECT_EQ(inferred("matmul", {{kUnknown, 3}, {3, 4}}), (Shape{kUnknown, 4}));
  EXPECT_EQ(inferred("matmul", {{kUnknown, 1, 5, 3}, {7, 3, 4}}), (Shape{kUnknown, 7, 5, 4}));
  EXPECT_EQ(inferred("dense", {{kUnknown, kUnknown, 3}, {3, 4}, {4}}),
            (Shape{kUnknown, kUnknown, 4}));
  EXPECT_NE(refusal("matmul", {{2, 3}, {4, 5}}).find("the inner sizes differ: 3 and 4"),
            std::string::npos);
  EXPECT_NE(refusal("matmul", {{2}, {2, 5}}).find("at least two axes"), std::string::npos);
  EXPECT_NE(refusal("dense", {{2, 3}, {4, 5}})
                .find("the last axis of x has size 3, the kernel has 4 rows"),
            std::string::npos);
  EXPECT_NE(
      refusal("dense", {{2, 4}, {4, 5}, {6}}).find("the bias has size 6, the kernel 5 columns"),
      std::string::npos);
  EXPECT_NE(
      refusal("dense", {{2, 4}, {4, 5}}, {{"activation", std::string("swish")}}).find("'swish'"),
      std::string::npos);
  EXPECT_NE(refusal("qr", {{2, 4}}, {{"mode", std::string("full")}}).find("'full'"),
            std::string::npos);
}

}  // namespace
