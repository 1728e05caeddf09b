// softmax, log_softmax and layer_norm against the definition.
#include <limits>
#include <random>

#include "kernel_testing.h"
#include "lamina/plan.h"

using namespace lamina;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor random(Shape shape, unsigned seed = 1) {
  Tensor t(Spec{DType::f32, std::move(shape)});
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> draw(-10, 10);
  for (std::size_t i = 0; i < t.size(); ++i) t.data<float>()[i] = draw(engine);
  return t;
}

// Every element of x seen as outer x extent x inner.
std::vector<double> naive(const Tensor& x, Dim outer, Dim extent, Dim inner, bool log) {
  std::vector<double> y(x.size());
  for (Dim i = 0; i < outer; ++i) {
    for (Dim j = 0; j < inner; ++j) {
      const auto at = [&](Dim k) { return static_cast<std::size_t>((i * extent + k) * inner + j); };
      double sum = 0;
      for (Dim k = 0; k < extent; ++k) sum += std::exp(static_cast<double>(x.data<float>()[at(k)]));
      for (Dim k = 0; k < extent; ++k) {
        const double z = x.data<float>()[at(k)];
        y[at(k)] = log ? z - std::log(sum) : std::exp(z) / sum;
      }
    }
  }
  return y;
}

void compare(const Shape& shape, int axis) {
  Dim outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[static_cast<std::size_t>(i)];
  for (std::size_t i = static_cast<std::size_t>(axis) + 1; i < shape.size(); ++i) inner *= shape[i];
  const Tensor x = random(shape);
  for (const bool log : {false, true}) {
    const Tensor y = run_op(log ? "log_softmax" : "softmax", std::vector<Tensor>{x},
                            {{"axis", std::int64_t{axis}}})[0];
    const std::vector<double> wanted =
        naive(x, outer, shape[static_cast<std::size_t>(axis)], inner, log);
    for (std::size_t i = 0; i < y.size(); ++i)
      ASSERT_NEAR(y.data<float>()[i], wanted[i], 4e-7 * std::max(1.0, std::fabs(wanted[i])))
          << to_string(shape) << " axis " << axis << " element " << i;
  }
}

TEST(Softmax, EqualsTheDefinition) {
  for (const Dim width : {1, 2, 10, 15, 16, 17, 32, 100, 1000, 20000}) compare({5, width}, 1);
  for (const Dim inner : {2, 3, 16, 33}) {
    for (const Dim extent : {1, 7, 40}) compare({3, extent, inner}, 1);
  }
  compare({6, 4, 2}, 0);
}

TEST(Softmax, ARowHasTheSameBitsInAnyBatch) {
  for (const Dim width : {3, 10, 16, 41, 1000}) {
    const Tensor x = random({29, width});
    for (const std::string op : {"softmax", "log_softmax"}) {
      const Tensor all = run_op(op, std::vector<Tensor>{x})[0];
      for (Dim row = 0; row < 29; ++row) {
        Tensor one(Spec{DType::f32, {1, width}});
        std::memcpy(one.raw(), x.data<float>() + row * width, one.bytes());
        const Tensor alone = run_op(op, std::vector<Tensor>{one})[0];
        EXPECT_EQ(std::memcmp(alone.raw(), all.data<float>() + row * width, alone.bytes()), 0)
            << op << " " << width;
      }
    }
  }
}

TEST(Softmax, ThreadsDoNotChangeTheBits) {
  const int before = num_threads();
  for (const std::int64_t axis : {0, 1}) {
    Graph graph;
    Builder b(graph);
    const Tensor x = random({300, 217});
    const ValueId in = b.input(x.spec());
    const ValueId y = b.emit("softmax", {in}, {{"axis", axis}});
    b.output(y);
    b.output(gradients(graph, b.emit("sum", {b.mul(y, y)}), std::vector<ValueId>{in})[0]);
    const auto program = Program::make(graph);
    set_num_threads(1);
    const std::vector<Tensor> one = program->run(std::vector<Tensor>{x});
    set_num_threads(3);
    const std::vector<Tensor> three = program->run(std::vector<Tensor>{x});
    for (std::size_t i = 0; i < one.size(); ++i)
      EXPECT_EQ(std::memcmp(one[i].raw(), three[i].raw(), one[i].bytes()), 0);
  }
  set_num_threads(before);
}

TEST(Softmax, LargeLogitsInfinitiesAndNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Tensor::of<float>({4, 3}, {1000, 1000, -1000,  //
                                              -kInf, 0, 0,        //
                                              0, nan, 0,          //
                                              1, 2, 3});
  const Tensor p = run_op("softmax", std::vector<Tensor>{x})[0];
  const Tensor l = run_op("log_softmax", std::vector<Tensor>{x})[0];
  const float* y = p.data<float>();
  EXPECT_EQ(y[0], 0.5f);
  EXPECT_EQ(y[2], 0.0f);
  EXPECT_EQ(y[3], 0.0f);
  EXPECT_EQ(y[4], 0.5f);
  EXPECT_EQ(l.data<float>()[2], -2000.0f - std::log(2.0f));
  EXPECT_EQ(l.data<float>()[3], -kInf);
  for (int i = 6; i < 9; ++i) {
    EXPECT_TRUE(std::isnan(y[i]));
    EXPECT_TRUE(std::isnan(l.data<float>()[i]));
  }
  EXPECT_FALSE(std::isnan(y[9]));
}

TEST(Softmax, TheAxisMustExist) {
  EXPECT_THROW(run_op("softmax", std::vector<Tensor>{random({2, 3})}, {{"axis", std::int64_t{2}}}),
               Error);
  EXPECT_THROW(run_op("softmax", std::vector<Tensor>{Tensor::of<std::int32_t>({2}, {1, 2})}),
               TypeError);
}

Tensor vector_of(Dim n, unsigned seed) { return random({n}, seed); }

TEST(LayerNorm, EqualsItsDefinition) {
  for (const Dim n : {1, 2, 10, 16, 17, 64, 100, 1000}) {
    const Tensor x = random({9, n}), gamma = vector_of(n, 2), beta = vector_of(n, 3);
    const Attrs attrs{{"epsilon", 0.001}};
    const Tensor y = run_op("layer_norm", std::vector<Tensor>{x, gamma, beta}, attrs)[0];
    const Tensor plain = run_op("layer_norm", std::vector<Tensor>{x}, attrs)[0];
    for (Dim row = 0; row < 9; ++row) {
      const float* v = x.data<float>() + row * n;
      double sum = 0, squares = 0;
      for (Dim i = 0; i < n; ++i) sum += v[i];
      const double mean = sum / static_cast<double>(n);
      for (Dim i = 0; i < n; ++i) squares += (v[i] - mean) * (v[i] - mean);
      const double deviation = std::sqrt(squares / static_cast<double>(n) + 0.001);
      for (Dim i = 0; i < n; ++i) {
        const double wanted = (v[i] - mean) / deviation;
        ASSERT_NEAR(plain.data<float>()[row * n + i], wanted, 1e-5);
        ASSERT_NEAR(y.data<float>()[row * n + i],
                    wanted * gamma.data<float>()[i] + beta.data<float>()[i], 1e-4);
      }
    }
  }
}

// Sizes of every kind of block, with kernels of their own and without.
const Dim kSizes[] = {3, 64, 67, 128, 256, 300, 1000, 3000};

TEST(LayerNorm, RowsAndThreadsAreIndependent) {
  const Attrs attrs{{"epsilon", 0.001}};
  for (const Dim n : kSizes) {
    const Tensor x = random({150, n}), dy = random({150, n}, 4), gamma = vector_of(n, 2);
    expect_rows_independent("layer_norm", {x, gamma, vector_of(n, 3)}, attrs);
    expect_same_for_all_threads("layer_norm", {x, gamma, vector_of(n, 3)}, attrs);
    expect_same_for_all_threads("layer_norm_grad", {dy, x, gamma}, attrs);
    const auto whole = run_op("layer_norm_grad", std::vector<Tensor>{dy, x, gamma}, attrs);
    for (const Dim i : {0, 7, 149}) {
      const auto row =
          run_op("layer_norm_grad", std::vector<Tensor>{row_of(dy, i), row_of(x, i), gamma}, attrs);
      EXPECT_TRUE(same_bits(row[0], row_of(whole[0], i))) << n << ", row " << i;
    }
  }
}

TEST(LayerNorm, GradientsOfFloatAreThoseOfDouble) {
  const Attrs attrs{{"epsilon", 0.001}};
  for (const Dim n : kSizes) {
    const Tensor x = random({70, n}), dy = random({70, n}, 4), gamma = vector_of(n, 2);
    std::vector<Tensor> in{dy, x, gamma}, wide;
    for (const Tensor& t : in) wide.push_back(to_floating(t, DType::f64));
    const auto got = run_op("layer_norm_grad", in, attrs),
               wanted = run_op("layer_norm_grad", wide, attrs);
    for (std::size_t k = 0; k < got.size(); ++k) expect_near(got[k], wanted[k], 1e-4);
  }
}

TEST(LayerNorm, RefusesOperandsThatDoNotFit) {
  EXPECT_NE(refusal("layer_norm", {{2, 3}, {4}, {3}}).find("gamma has size 4, the rows of x 3"),
            std::string::npos);
  EXPECT_NE(refusal("layer_norm_grad", {{2, 3}, {2, 4}}).find("one shape"), std::string::npos);
}

}  // namespace
