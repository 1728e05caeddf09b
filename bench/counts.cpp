// Small programs for counting instructions: `counts WORKLOAD train|predict STEPS` runs so many
// steps of a model and ends. The difference between two numbers of steps is the cost of a step,
// whatever starting costs. The graphs are those that the Python layers of the same name trace.
#include <lamina/epoch.h>
#include <lamina/runtime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <random>
#include <string>
#include <vector>

using namespace lamina;

namespace {

constexpr Dim kBatches = 8;  // of an epoch

// A model's weights, and its logits for a batch of rows.
struct Model {
  Spec row;  // of one row of x
  Dim batch, classes;
  std::vector<Spec> weights;
  ValueId (*logits)(Builder&, ValueId x, const std::vector<ValueId>& w);
};

ValueId dense(Builder& b, ValueId x, ValueId kernel, ValueId bias, const char* activation) {
  return b.emit("dense", {x, kernel, bias}, {{"activation", std::string(activation)}});
}

ValueId two_layers(Builder& b, ValueId x, const std::vector<ValueId>& w) {
  return dense(b, dense(b, x, w[0], w[1], "relu"), w[2], w[3], "linear");
}

ValueId convolution(Builder& b, ValueId x, const std::vector<ValueId>& w) {
  x = b.emit("conv", {x, w[0], w[1]}, {{"activation", std::string("relu")}});
  x = b.emit("max_pool", {x}, {{"pool_size", Shape{2, 2}}});
  const Shape shape = b.shape(x);
  x = b.reshape(x, {shape[0], shape[1] * shape[2] * shape[3]});
  return dense(b, dense(b, x, w[2], w[3], "relu"), w[4], w[5], "linear");
}

ValueId recurrent(Builder& b, ValueId x, const std::vector<ValueId>& w) {
  x = b.emit("embedding", {w[0], x});
  const Dim units = b.shape(w[2])[0];
  const ValueId start = b.broadcast_to(b.scalar(DType::f32, 0), {b.shape(x)[0], units});
  const ValueId last = b.emit("lstm", {x, w[1], w[2], w[3], start, start});
  return dense(b, last, w[4], w[5], "linear");
}

Spec f32(Shape shape) { return {DType::f32, std::move(shape)}; }

const std::map<std::string, Model> kModels = {
    {"xor", {f32({2}), 1, 1, {f32({2, 4}), f32({4}), f32({4, 1}), f32({1})}, two_layers}},
    {"mlp_small", {f32({10}), 10, 1, {f32({10, 8}), f32({8}), f32({8, 1}), f32({1})}, two_layers}},
    {"cnn",
     {f32({12, 12, 1}),
      8,
      10,
      {f32({3, 3, 1, 16}), f32({16}), f32({400, 32}), f32({32}), f32({32, 10}), f32({10})},
      convolution}},
    {"lstm",
     {{DType::i32, {12}},
      8,
      1,
      {f32({50, 16}), f32({16, 64}), f32({16, 64}), f32({64}), f32({16, 1}), f32({1})},
      recurrent}},
};

Tensor numbers(const Spec& spec, std::mt19937& random) {
  Tensor t(spec);
  for (std::size_t i = 0; i < t.size(); ++i)
    if (spec.dtype == DType::i32)
      t.data<std::int32_t>()[i] = static_cast<std::int32_t>(random() % 50);
    else
      t.data<float>()[i] = static_cast<float>(random() % 1000) / 1000 - 0.5f;
  return t;
}

Spec rows_of(const Spec& row, Dim rows) {
  Spec spec = row;
  spec.shape.insert(spec.shape.begin(), rows);
  return spec;
}

struct Weights {
  std::vector<VariablePtr> each;
  VariablePtr flat;  // all of them in one buffer, as the optimizer keeps them
};

Weights make_weights(const std::vector<Spec>& specs, std::mt19937& random) {
  Weights weights;
  for (const Spec& spec : specs)
    weights.each.push_back(std::make_shared<Variable>("w", numbers(spec, random)));
  weights.flat = pack(weights.each, "weights");
  return weights;
}

ValueId read(Builder& b, const Model& model, const Weights& weights, ValueId x,
             std::vector<ValueId>& w) {
  for (const VariablePtr& weight : weights.each) w.push_back(b.variable(weight));
  return model.logits(b, x, w);
}

// Forward, loss, gradients, one sweep of Adam, the mean loss.
Graph training_step(const Model& model, const Weights& weights) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input(rows_of(model.row, model.batch));
  const ValueId y = b.input(f32({model.batch, model.classes}));
  std::vector<ValueId> w;
  const ValueId logits = read(b, model, weights, x, w);
  const char* kind = model.classes > 1 ? "softmax_cross_entropy" : "sigmoid_cross_entropy";
  const ValueId loss = b.emit("mean", {b.emit(kind, {logits, y})});
  b.output(loss);
  const ValueId gradient = b.emit("pack", gradients(graph, loss, w));
  graph.seam = graph.nodes.size();
  const Spec flat = weights.flat->spec();
  const auto state = [&](const char* name, const Tensor& value) {
    return b.variable(std::make_shared<Variable>(name, value));
  };
  const ValueId m = state("m", Tensor::zeros(flat)), v = state("v", Tensor::zeros(flat));
  const ValueId step = state("step", Tensor::scalar(std::int64_t{0}));
  const ValueId p = b.variable(weights.flat);
  const auto updated =
      b.emit_all("adam_update", {p, m, v, gradient, b.scalar(DType::f32, 0.001), step});
  b.assign(p, updated[0]);
  b.assign(m, updated[1]);
  b.assign(v, updated[2]);
  b.assign(step, b.add(step, b.constant(Tensor::scalar(std::int64_t{1}))));
  const ValueId total = state("loss", Tensor::zeros(f32({})));
  b.assign(total, b.add(total, loss));
  return graph;
}

void train(const Model& model, std::int64_t steps) {
  std::mt19937 random(1);
  const Weights weights = make_weights(model.weights, random);
  const auto program = Program::make(training_step(model, weights));
  const Dim rows = kBatches * model.batch;
  const Tensor x = numbers(rows_of(model.row, rows), random);
  Tensor y = Tensor::zeros(f32({rows, model.classes}));
  for (Dim i = 0; i < rows; ++i) y.data<float>()[i * model.classes + i % model.classes] = 1;
  const Column columns[] = {{x.raw()}, {y.raw()}};
  std::vector<std::int64_t> order(static_cast<std::size_t>(rows));
  EpochOptions options;
  options.rows = rows;
  options.batch = model.batch;
  options.order = order.data();
  for (std::int64_t epoch = 0; epoch < steps / kBatches; ++epoch) {
    shuffled_order(rows, 1, static_cast<std::uint64_t>(epoch), order.data());
    run_epoch(program, nullptr, columns, options);
  }
}

void predict(const Model& model, std::int64_t times) {
  std::mt19937 random(1);
  const Weights weights = make_weights(model.weights, random);
  Graph graph;
  Builder b(graph);
  std::vector<ValueId> w;
  const ValueId logits = read(b, model, weights, b.input(rows_of(model.row, 1)), w);
  b.output(b.emit(model.classes > 1 ? "softmax" : "sigmoid", {logits}));
  const auto program = Program::make(std::move(graph));
  const Tensor row = numbers(rows_of(model.row, 1), random);
  std::vector<float> result(static_cast<std::size_t>(model.classes));
  const void* in[] = {row.raw()};
  void* out[] = {result.data()};
  for (std::int64_t i = 0; i < times; ++i) program->run_into(in, out);
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count == 4) {
      const Model& model = kModels.at(arguments[1]);
      const std::int64_t steps = std::atoll(arguments[3]);
      std::string(arguments[2]) == "train" ? train(model, steps) : predict(model, steps);
      return 0;
    }
    std::printf("%s\n%s\n", isa(), compiler());
    for (const auto& [name, model] : kModels) std::printf("%s\n", name.c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
