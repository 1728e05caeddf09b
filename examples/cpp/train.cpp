// A small network trained from C++: is a point inside the unit circle or not?
//
// Builder records one training step (forward, loss, gradients, update) as a graph; Program makes it
// ready to run; run_epoch runs it over all the data.
#include <lamina/epoch.h>
#include <lamina/runtime.h>

#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <random>
#include <vector>

using namespace lamina;

namespace {

constexpr Dim kRows = 1024, kBatch = 32, kHidden = 32;
constexpr int kEpochs = 20;

struct Points {
  std::vector<float> x, inside;
};

Points make_points(std::mt19937& random) {
  std::uniform_real_distribution<float> coordinate(-1.5f, 1.5f);
  Points points;
  for (Dim i = 0; i < kRows; ++i) {
    const float a = coordinate(random), b = coordinate(random);
    points.x.insert(points.x.end(), {a, b});
    points.inside.push_back(a * a + b * b < 1 ? 1.0f : 0.0f);
  }
  return points;
}

VariablePtr zeros(const char* name, Shape shape) {
  return std::make_shared<Variable>(name, Tensor::zeros({DType::f32, std::move(shape)}));
}

VariablePtr glorot_uniform(const char* name, Dim in, Dim out, std::mt19937& random) {
  const float limit = std::sqrt(6.0f / static_cast<float>(in + out));
  std::uniform_real_distribution<float> weight(-limit, limit);
  Tensor values(Spec{DType::f32, {in, out}});
  for (std::size_t i = 0; i < values.size(); ++i) values.data<float>()[i] = weight(random);
  return std::make_shared<Variable>(name, std::move(values));
}

// One step on a batch: every weight takes the value that Adam gives it, and `loss_sum` grows.
Graph training_step(const std::vector<VariablePtr>& weights, const VariablePtr& loss_sum) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input({DType::f32, {kBatch, 2}});
  const ValueId target = b.input({DType::f32, {kBatch, 1}});
  std::vector<ValueId> w;
  for (const VariablePtr& weight : weights) w.push_back(b.variable(weight));

  const ValueId hidden = b.emit("dense", {x, w[0], w[1]}, {{"activation", std::string("tanh")}});
  const ValueId logits = b.emit("dense", {hidden, w[2], w[3]});
  const ValueId loss = b.emit("mean", {b.emit("sigmoid_cross_entropy", {logits, target})});
  b.output(loss);

  const std::vector<ValueId> gradient = gradients(graph, loss, w);
  graph.seam = graph.nodes.size();  // what follows changes state
  const ValueId rate = b.scalar(DType::f32, 0.01);
  const ValueId step =
      b.variable(std::make_shared<Variable>("step", Tensor::scalar(std::int64_t{0})));
  for (std::size_t i = 0; i < w.size(); ++i) {
    const ValueId m = b.variable(zeros("m", weights[i]->spec().shape));
    const ValueId v = b.variable(zeros("v", weights[i]->spec().shape));
    const auto updated = b.emit_all("adam_update", {w[i], m, v, gradient[i], rate, step});
    b.assign(w[i], updated[0]);
    b.assign(m, updated[1]);
    b.assign(v, updated[2]);
  }
  b.assign(step, b.add(step, b.constant(Tensor::scalar(std::int64_t{1}))));
  const ValueId total = b.variable(loss_sum);
  b.assign(total, b.add(total, loss));
  return graph;
}

void train() {
  std::mt19937 random(1);
  const Points points = make_points(random);
  const std::vector<VariablePtr> weights = {
      glorot_uniform("hidden/kernel", 2, kHidden, random), zeros("hidden/bias", {kHidden}),
      glorot_uniform("output/kernel", kHidden, 1, random), zeros("output/bias", {1})};
  const VariablePtr loss_sum = zeros("loss_sum", {});
  const auto program = Program::make(training_step(weights, loss_sum));

  const Column columns[] = {{points.x.data()}, {points.inside.data()}};
  std::vector<std::int64_t> order(kRows);
  EpochOptions options;
  options.rows = kRows;
  options.batch = kBatch;
  options.order = order.data();
  for (int epoch = 1; epoch <= kEpochs; ++epoch) {
    shuffled_order(kRows, /*seed=*/1, static_cast<std::uint64_t>(epoch), order.data());
    loss_sum->assign(Tensor::scalar(0.0f));
    const EpochResult done = run_epoch(program, nullptr, columns, options);
    const float loss = loss_sum->value().data<float>()[0] / static_cast<float>(done.batches);
    std::printf("epoch %2d  loss %.4f\n", epoch, static_cast<double>(loss));
  }
}

}  // namespace

int main() {
  try {
    std::printf("lamina %s on %s\n", version(), isa());
    train();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
