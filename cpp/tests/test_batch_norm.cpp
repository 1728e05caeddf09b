// batch_norm against its definition, and how it is joined with its neighbours.
#include <algorithm>
#include <limits>

#include "kernel_testing.h"
#include "lamina/plan.h"

using namespace lamina;

namespace {

const Attrs kEpsilon{{"epsilon", 0.001}};

TEST(BatchNorm, EqualsItsDefinition) {
  for (const Shape& shape : {Shape{7, 3}, Shape{1100, 100}, Shape{5, 9, 9, 37}, Shape{1025, 16},
                             Shape{2, 3, 1}, Shape{300, 528}})
    for (const double offset : {0.0, 100.0}) {
      const Dim c = shape.back();
      const Tensor x = f32(uniform(shape, offset - 1, offset + 1)),
                   gamma = f32(uniform({c}, 1, 2, 2)), beta = f32(uniform({c}, -1, 1, 3));
      const auto got = run_op("batch_norm", std::vector<Tensor>{x, gamma, beta}, kEpsilon);
      const auto bounded = run_op("batch_norm", std::vector<Tensor>{x, gamma, beta},
                                  {{"epsilon", 0.001}, {"activation", std::string("relu")}})[0];
      const auto rows = static_cast<Dim>(x.size()) / c;
      for (Dim k = 0; k < c; ++k) {
        double mean = 0, squares = 0;
        for (Dim i = 0; i < rows; ++i) mean += x.data<float>()[i * c + k];
        mean /= static_cast<double>(rows);
        for (Dim i = 0; i < rows; ++i) squares += std::pow(x.data<float>()[i * c + k] - mean, 2);
        const double variance = squares / static_cast<double>(rows);
        ASSERT_NEAR(got[1].data<float>()[k], mean, 2e-7 + 2e-7 * offset);
        ASSERT_NEAR(got[2].data<float>()[k], variance, 1e-6 + 1e-7 * offset);
        const double scale = gamma.data<float>()[k] / std::sqrt(variance + 0.001);
        for (Dim i = 0; i < rows; ++i) {
          const double wanted = (x.data<float>()[i * c + k] - mean) * scale + beta.data<float>()[k];
          ASSERT_NEAR(got[0].data<float>()[i * c + k], wanted, 5e-6 + 1e-5 * offset);
          ASSERT_EQ(bounded.data<float>()[i * c + k],
                    std::max(got[0].data<float>()[i * c + k], 0.0F));
        }
      }
    }
}

TEST(BatchNorm, ThreadsDoNotChangeTheBits) {
  for (const Dim c : {3, 32, 37}) {
    const Tensor x = f32(uniform({9001, c})), dy = f32(uniform({9001, c}, -1, 1, 5)),
                 gamma = f32(uniform({c}, 1, 2, 2)), beta = f32(uniform({c}, -1, 1, 3)),
                 mean = f32(uniform({c}, -0.1, 0.1, 6)), variance = f32(uniform({c}, 0.2, 0.4, 7));
    for (const std::string activation : {"linear", "relu"}) {
      const Attrs attrs{{"epsilon", 0.001}, {"activation", activation}};
      expect_same_for_all_threads("batch_norm", {x, gamma, beta}, attrs);
      expect_same_for_all_threads("batch_norm_grad", {dy, x, gamma, beta, mean, variance}, attrs);
    }
  }
}

// The variance is taken from distances to the first rows: one that lies far off, and numbers that
// all lie far from zero.
TEST(BatchNorm, VarianceOfUnevenNumbersIsAccurate) {
  for (const bool outlier : {true, false}) {
    const Dim rows = 300, columns = 64;
    Tensor x = f32(uniform({rows, columns}, 0, 1));
    for (Dim i = 0; i < rows * columns; ++i)
      if (!outlier || i < columns) x.data<float>()[i] += 1000;
    const auto got = run_op("moments", std::vector<Tensor>{x});
    for (Dim c = 0; c < columns; ++c) {
      double sum = 0, squares = 0;
      for (Dim r = 0; r < rows; ++r) sum += x.data<float>()[r * columns + c];
      const double mean = sum / static_cast<double>(rows);
      for (Dim r = 0; r < rows; ++r)
        squares += std::pow(x.data<float>()[r * columns + c] - mean, 2);
      const double variance = squares / static_cast<double>(rows);
      EXPECT_NEAR(got[0].data<float>()[c], mean, 1e-7 * mean + 1e-6 * std::sqrt(variance));
      EXPECT_NEAR(got[1].data<float>()[c], variance, (outlier ? 1e-5 : 5e-5) * variance);
    }
  }
}

TEST(BatchNorm, PassesNaNOn) {
  Tensor x = f32(uniform({4, 2}));
  x.data<float>()[2] = std::numeric_limits<float>::quiet_NaN();
  const Tensor ones = Tensor::of<float>({2}, {1, 1});
  const Tensor y = run_op("batch_norm", std::vector<Tensor>{x, ones, ones},
                          {{"epsilon", 0.001}, {"activation", std::string("relu")}})[0];
  for (int i = 0; i < 8; ++i) EXPECT_EQ(std::isnan(y.data<float>()[i]), i % 2 == 0) << i;
}

TEST(BatchNorm, RefusesOperandsThatDoNotFit) {
  EXPECT_NE(
      refusal("batch_norm", {{2, 3}, {4}, {3}}).find("gamma has size 4, but x has 3 channels"),
      std::string::npos);
  EXPECT_NE(refusal("batch_norm", {{3}, {3}, {3}}).find("rows of channels"), std::string::npos);
  EXPECT_NE(refusal("batch_norm_grad", {{2, 3}, {2, 4}, {3}, {3}, {3}, {3}}).find("one shape"),
            std::string::npos);
  EXPECT_NE(refusal("batch_norm", {{2, 3}, {3}, {3}}, {{"activation", std::string("tanh")}})
                .find("must be linear, relu or relu6"),
            std::string::npos);
}

// ---- Joined with its neighbours.

void expect_same_results(const Graph& g, const std::vector<Tensor>& in, double tolerance) {
  const auto fused = Program::make(g)->run(in), plain = Program::make(g, {false, false})->run(in);
  for (std::size_t k = 0; k < plain.size(); ++k)
    for (std::size_t i = 0; i < plain[k].size(); ++i)
      ASSERT_NEAR(fused[k].data<float>()[i], plain[k].data<float>()[i], tolerance)
          << "output " << k << ", element " << i;
}

TEST(FuseNorm, ReluJoinsBothWays) {
  for (const std::string activation : {"relu", "relu6"}) {
    Graph g;
    Builder b(g);
    const ValueId x = b.input({DType::f32, {50, 6, 5}}), gamma = b.input({DType::f32, {5}}),
                  beta = b.input({DType::f32, {5}});
    const ValueId y = b.emit(activation, {b.emit_all("batch_norm", {x, gamma, beta}, kEpsilon)[0]});
    const ValueId loss = b.emit("sum", {b.mul(y, y)});
    b.output(loss);
    const std::vector<ValueId> wrt{x, gamma, beta};
    for (const ValueId id : gradients(g, loss, wrt)) b.output(id);
    const auto program = Program::make(g);
    EXPECT_EQ(count_ops(program->graph(), activation), 0u) << to_text(program->graph());
    EXPECT_EQ(count_ops(program->graph(), activation + "_grad"), 0u) << to_text(program->graph());
    expect_same_results(
        g,
        {f32(uniform({50, 6, 5}, -2, 2)), f32(uniform({5}, 2, 6, 2)), f32(uniform({5}, -1, 3, 3))},
        2e-3);
  }
}

// What reads the values before the ReLU keeps them.
TEST(FuseNorm, LeavesAValueThatOthersRead) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {50, 5}}), ones = b.input({DType::f32, {5}});
  const ValueId y = b.emit_all("batch_norm", {x, ones, ones}, kEpsilon)[0];
  b.output(b.emit("relu", {y}));
  b.output(y);
  EXPECT_EQ(count_ops(Program::make(g)->graph(), "relu"), 1u);
}

// A ReLU of something else is no part of the gradient.
TEST(FuseNorm, LeavesTheMaskOfAnotherValue) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {50, 5}}), ones = b.input({DType::f32, {5}}),
                other = b.input({DType::f32, {50, 5}});
  const ValueId y = b.emit_all("batch_norm", {x, ones, ones}, kEpsilon)[0];
  const ValueId loss = b.emit("sum", {b.emit("relu", {b.add(y, other)})});
  b.output(loss);
  const std::vector<ValueId> wrt{x};
  b.output(gradients(g, loss, wrt)[0]);
  const auto program = Program::make(g);
  EXPECT_EQ(count_ops(program->graph(), "relu_grad"), 1u) << to_text(program->graph());
}

struct Product {
  std::string op;
  Shape x, w, factor;
  Attrs attrs;
};

TEST(FuseNorm, ScaleAndShiftJoinTheProductBefore) {
  const std::vector<Product> products{
      {"conv", {2, 9, 9, 3}, {3, 3, 3, 5}, {1, 1, 1, 5}, {}},
      {"conv", {2, 9, 9, 4}, {3, 3, 1, 4}, {4}, {{"groups", std::int64_t{4}}}},
      {"dense", {50, 7}, {7, 6}, {1, 6}, {}},
      {"matmul", {50, 7}, {7, 6}, {6}, {}},
  };
  for (const Product& p : products) {
    Graph g;
    Builder b(g);
    const ValueId x = b.input({DType::f32, p.x}), w = b.input({DType::f32, p.w}),
                  factor = b.input({DType::f32, p.factor}), shift = b.input({DType::f32, p.factor});
    b.output(b.emit("relu", {b.add(shift, b.mul(b.emit(p.op, {x, w}, p.attrs), factor))}));
    const auto program = Program::make(g);
    EXPECT_EQ(count_ops(program->graph(), "add"), 0u) << to_text(program->graph());
    EXPECT_EQ(count_ops(program->graph(), "relu"), 0u) << to_text(program->graph());
    expect_same_results(g,
                        {f32(uniform(p.x)), f32(uniform(p.w, -1, 1, 2)),
                         f32(uniform(p.factor, 1, 2, 3)), f32(uniform(p.factor, -1, 1, 4))},
                        1e-5);
  }
}

// Scaling many weights for few results would cost more than it saves.
TEST(FuseNorm, LeavesAProductWithMoreWeightsThanResults) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {1, 70}}), w = b.input({DType::f32, {70, 6}}),
                factor = b.input({DType::f32, {6}});
  b.output(b.add(b.mul(b.emit("dense", {x, w}), factor), factor));
  EXPECT_EQ(count_ops(Program::make(g)->graph(), "multiply"), 1u);
  EXPECT_EQ(count_ops(Program::make(g)->graph(), "add"), 1u);
}

}  // namespace
