// The cross entropies against their definitions, stability, and labels out of range.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "lamina/plan.h"
#include "lamina/runtime.h"

using namespace lamina;

namespace {

Tensor random(Shape shape, float low, float high, unsigned seed) {
  Tensor t(Spec{DType::f32, std::move(shape)});
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> draw(low, high);
  for (std::size_t i = 0; i < t.size(); ++i) t.data<float>()[i] = draw(engine);
  return t;
}

Tensor labels_below(Dim rows, Dim classes) {
  Tensor t(Spec{DType::i32, {rows}});
  std::mt19937 engine(7);
  for (Dim i = 0; i < rows; ++i)
    t.data<std::int32_t>()[i] =
        static_cast<std::int32_t>(engine() % static_cast<unsigned>(classes));
  return t;
}

double log_sum_exp(const float* row, Dim classes) {
  double sum = 0;
  for (Dim i = 0; i < classes; ++i) sum += std::exp(static_cast<double>(row[i]));
  return std::log(sum);
}

TEST(CrossEntropy, EqualsTheDefinition) {
  for (const Dim classes : {1, 2, 10, 16, 17, 100, 3000}) {
    const Dim rows = 37;
    const Tensor z = random({rows, classes}, -5, 5, 1), t = random({rows, classes}, 0, 1, 2);
    const Tensor labels = labels_below(rows, classes);
    const Tensor dense = run_op("softmax_cross_entropy", std::vector<Tensor>{z, t})[0];
    const Tensor sparse = run_op("sparse_softmax_cross_entropy", std::vector<Tensor>{z, labels})[0];
    ASSERT_EQ(dense.shape(), (Shape{rows}));
    for (Dim i = 0; i < rows; ++i) {
      const float* row = z.data<float>() + i * classes;
      const double total = log_sum_exp(row, classes);
      double wanted = 0;
      for (Dim k = 0; k < classes; ++k)
        wanted -= t.data<float>()[i * classes + k] * (row[k] - total);
      ASSERT_NEAR(dense.data<float>()[i], wanted, 1e-6 * std::max(1.0, wanted)) << classes;
      const double one = total - row[labels.data<std::int32_t>()[i]];
      ASSERT_NEAR(sparse.data<float>()[i], one, 1e-6 * std::max(1.0, one)) << classes;
    }
  }
}

TEST(CrossEntropy, SigmoidEqualsTheDefinition) {
  const Tensor z = random({5, 33}, -6, 6, 1), t = random({5, 33}, 0, 1, 2);
  const Tensor loss = run_op("sigmoid_cross_entropy", std::vector<Tensor>{z, t})[0];
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double p = 1 / (1 + std::exp(-static_cast<double>(z.data<float>()[i])));
    const double target = t.data<float>()[i];
    ASSERT_NEAR(loss.data<float>()[i], -target * std::log(p) - (1 - target) * std::log(1 - p),
                2e-6);
  }
}

TEST(CrossEntropy, IsStableForExtremeLogits) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor z = Tensor::of<float>({2, 3}, {1000, 0, -1000, 0, -inf, 0});
  const Tensor t = Tensor::of<float>({2, 3}, {0, 0, 1, 1, 0, 0});
  const Tensor dense = run_op("softmax_cross_entropy", std::vector<Tensor>{z, t})[0];
  EXPECT_EQ(dense.data<float>()[0], 2000.0f);
  EXPECT_NEAR(dense.data<float>()[1], std::log(2.0f), 1e-6);
  const Tensor logits = Tensor::of<float>({4}, {20, -20, 200, -200});
  const Tensor ones = Tensor::of<float>({4}, {1, 1, 1, 1});
  const Tensor loss = run_op("sigmoid_cross_entropy", std::vector<Tensor>{logits, ones})[0];
  EXPECT_NEAR(loss.data<float>()[0], 2.0611536e-9f, 1e-14);
  EXPECT_EQ(loss.data<float>()[1], 20.0f);
  EXPECT_EQ(loss.data<float>()[2], 0.0f);
  EXPECT_EQ(loss.data<float>()[3], 200.0f);
}

TEST(CrossEntropy, ALabelThatIsNoClassIsAnError) {
  const Tensor z = random({3, 4}, -1, 1, 1);
  for (const std::int32_t bad : {4, -1}) {
    const Tensor labels = Tensor::of<std::int32_t>({3}, {0, bad, 3});
    try {
      run_op("sparse_softmax_cross_entropy", std::vector<Tensor>{z, labels});
      FAIL() << "no error for label " << bad;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("label " + std::to_string(bad) + " is out of range"),
                std::string::npos)
          << e.what();
    }
  }
}

// Losses and gradients of the rows of a batch.
std::vector<Tensor> train(const std::string& op, const Tensor& z, const Tensor& t) {
  Graph graph;
  Builder b(graph);
  const ValueId logits = b.input(z.spec()), targets = b.input(t.spec());
  const ValueId loss = b.emit(op, {logits, targets});
  b.output(loss);
  b.output(gradients(graph, b.emit("sum", {loss}), std::vector<ValueId>{logits})[0]);
  return Program::make(graph)->run(std::vector<Tensor>{z, t});
}

TEST(CrossEntropy, BitsDependOnTheRowAlone) {
  const int before = num_threads();
  const Dim rows = 700, classes = 90;
  const Tensor z = random({rows, classes}, -5, 5, 1), t = random({rows, classes}, 0, 1, 2);
  const Tensor labels = labels_below(rows, classes);
  for (const auto& [op, targets] :
       {std::pair{"softmax_cross_entropy", t}, {"sparse_softmax_cross_entropy", labels}}) {
    set_num_threads(1);
    const std::vector<Tensor> one = train(op, z, targets);
    set_num_threads(3);
    const std::vector<Tensor> three = train(op, z, targets);
    for (std::size_t i = 0; i < one.size(); ++i)
      EXPECT_EQ(std::memcmp(one[i].raw(), three[i].raw(), one[i].bytes()), 0) << op;
    for (const Dim row : {Dim{0}, Dim{17}, rows - 1}) {
      Tensor zi(Spec{DType::f32, {1, classes}});
      std::memcpy(zi.raw(), z.data<float>() + row * classes, zi.bytes());
      const bool sparse = targets.dtype() == DType::i32;
      Tensor ti(Spec{targets.dtype(), sparse ? Shape{1} : Shape{1, classes}});
      std::memcpy(
          ti.raw(),
          static_cast<const std::byte*>(targets.raw()) + static_cast<std::size_t>(row) * ti.bytes(),
          ti.bytes());
      const std::vector<Tensor> alone = train(op, zi, ti);
      EXPECT_EQ(alone[0].data<float>()[0], one[0].data<float>()[row]) << op;
      EXPECT_EQ(std::memcmp(alone[1].raw(), one[1].data<float>() + row * classes, alone[1].bytes()),
                0)
          << op;
    }
  }
  set_num_threads(before);
}

TEST(CrossEntropy, ShapesMustAgree) {
  const Tensor z = random({3, 4}, -1, 1, 1);
  EXPECT_THROW(run_op("softmax_cross_entropy", std::vector<Tensor>{z, random({3, 5}, 0, 1, 1)}),
               ShapeError);
  EXPECT_THROW(run_op("sparse_softmax_cross_entropy", std::vector<Tensor>{z, labels_below(4, 4)}),
               ShapeError);
  const std::vector<Spec> unknown{{DType::f32, {kUnknown, 4}}, {DType::i32, {kUnknown}}};
  EXPECT_EQ(infer("sparse_softmax_cross_entropy", unknown, {})[0].shape, (Shape{kUnknown}));
}

}  // namespace
