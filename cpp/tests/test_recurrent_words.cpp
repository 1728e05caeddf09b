// A recurrent layer over an embedding works once for each distinct word: the pass that joins the
// two, and that nothing but the time changes.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "kernels/distinct.h"
#include "lamina/plan.h"
#include "lamina/runtime.h"
#include "op_cases.h"

using namespace lamina;

namespace {

constexpr Dim kRows = 11, kBatch = 19, kSteps = 6, kFeatures = 5, kUnits = 9;

Tensor words(Dim batch, unsigned seed) {
  Tensor ids(Spec{DType::i32, {batch, kSteps}});
  std::mt19937 engine(seed);
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids.data<std::int32_t>()[i] = static_cast<std::int32_t>(engine() % (kRows - 3));
  return ids;
}

TEST(Distinct, NumbersEveryValueOnceAndKnowsItsPlaces) {
  const std::vector<Dim> ids{4, 1, 4, 0, 1, 4};
  std::vector<std::byte> memory(Distinct::bytes(6, 5), std::byte{0x7f});  // whatever was there
  Distinct distinct(memory.data(), 6, 5);
  distinct.build([&](Dim place) { return ids[static_cast<std::size_t>(place)]; });
  distinct.link_places();
  ASSERT_EQ(distinct.count(), 3);
  std::vector<Dim> values, places;
  for (Dim slot = 0; slot < 3; ++slot) {
    values.push_back(distinct.value(slot));
    for (Dim i = distinct.first(slot); i >= 0; i = distinct.next(i)) places.push_back(i);
  }
  EXPECT_EQ(values, (std::vector<Dim>{4, 1, 0}));
  EXPECT_EQ(places, (std::vector<Dim>{0, 2, 5, 1, 4, 3}));
  for (std::size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(distinct.value(distinct.slot(static_cast<Dim>(i))), ids[i]);
}

struct Layer {
  std::string op;
  Dim gates;
  Shape bias;
};
const std::vector<Layer> kLayers{
    {"lstm", 4, {4 * kUnits}}, {"gru", 3, {2, 3 * kUnits}}, {"simple_rnn", 1, {kUnits}}};

Tensor weights(Shape shape, DType dtype, unsigned seed) {
  return to_floating(uniform(std::move(shape), -0.5, 0.5, seed), dtype);
}

// One step of training: the table and the kernels lie in one flat parameter's gradient.
struct Model {
  std::vector<VariablePtr> parameters;
  Graph graph;

  // With `both_ways` a second layer, of the same weights, reads the text backwards.
  Model(const Layer& layer, DType dtype, Dim batch, bool train, bool both_ways = false) {
    const Dim wide = layer.gates * kUnits;
    Builder b(graph);
    const std::vector<Shape> shapes{
        {kRows, kFeatures}, {kFeatures, wide}, {kUnits, wide}, layer.bias};
    std::vector<ValueId> ids;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const auto seed = static_cast<unsigned>(i + 1);
      parameters.push_back(std::make_shared<Variable>("p", weights(shapes[i], dtype, seed)));
      ids.push_back(b.variable(parameters.back()));
    }
    const ValueId text = b.input({DType::i32, {batch, kSteps}});
    const ValueId zero = b.constant(weights({batch, kUnits}, dtype, 8));
    std::vector<ValueId> in{b.emit("embedding", {ids[0], text}), ids[1], ids[2], ids[3], zero};
    if (layer.op == "lstm") in.push_back(zero);
    ValueId y = b.emit_all(layer.op, in, {{"return_sequences", true}})[0];
    if (both_ways)
      y = b.add(y,
                b.emit_all(layer.op, in, {{"return_sequences", true}, {"go_backwards", true}})[0]);
    b.output(y);
    if (train) add_update(b, ids, b.emit("sum_squares", {y}), dtype);
  }

  void add_update(Builder& b, const std::vector<ValueId>& ids, ValueId loss, DType dtype) {
    const std::vector<ValueId> gradients_of = gradients(graph, loss, ids);
    const ValueId gradient = b.emit("pack", gradients_of), flat = b.emit("pack", ids);
    const ValueId next = b.emit("sgd_update", {flat, gradient, b.scalar(dtype, 0.1)});
    b.output(next);
  }
};

std::vector<Tensor> run(const Layer& layer, DType dtype, Dim batch, ProgramOptions options,
                        const Tensor& text, bool train = true, bool both_ways = false) {
  const Model model(layer, dtype, batch, train, both_ways);
  return Program::make(model.graph, options)->run(std::vector<Tensor>{text});
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

TEST(RecurrentWords, TakeThePlaceOfTheEmbedding) {
  for (const Layer& layer : kLayers) {
    const Model model(layer, DType::f32, kBatch, true);
    const std::string text = to_text(Program::make(model.graph)->graph());
    EXPECT_EQ(count(text, "embedding"), 0u) << text;
    EXPECT_EQ(count(text, "has_words=true"), 2u) << text;
  }
}

TEST(RecurrentWords, AreReadInBothDirections) {
  const Tensor text = words(kBatch, 3);
  for (const Layer& layer : kLayers) {
    const Model model(layer, DType::f64, kBatch, true, true);
    const std::string nodes = to_text(Program::make(model.graph)->graph());
    EXPECT_EQ(count(nodes, "embedding"), 0u) << nodes;
    EXPECT_EQ(count(nodes, "has_words=true"), 4u) << nodes;
    const auto fused = run(layer, DType::f64, kBatch, {true, true}, text, true, true);
    const auto plain = run(layer, DType::f64, kBatch, {false, false}, text, true, true);
    EXPECT_EQ(std::memcmp(fused[0].raw(), plain[0].raw(), plain[0].bytes()), 0) << layer.op;
    for (std::size_t i = 0; i < plain[1].size(); ++i)
      ASSERT_NEAR(fused[1].data<double>()[i], plain[1].data<double>()[i], 1e-12)
          << layer.op << ", element " << i;
  }
}

TEST(RecurrentWords, LeaveAnEmbeddingThatOthersRead) {
  Graph graph;
  Builder b(graph);
  const ValueId table = b.input({DType::f32, {kRows, kFeatures}});
  const ValueId text = b.input({DType::i32, {kBatch, kSteps}});
  const ValueId x = b.emit("embedding", {table, text});
  const ValueId kernel = b.input({DType::f32, {kFeatures, kUnits}});
  const ValueId recurrent = b.input({DType::f32, {kUnits, kUnits}});
  const ValueId bias = b.input({DType::f32, {kUnits}}), h = b.input({DType::f32, {kBatch, kUnits}});
  b.output(b.emit_all("simple_rnn", {x, kernel, recurrent, bias, h})[0]);
  b.output(b.emit("sum", {x}));
  const std::string fused = to_text(Program::make(graph)->graph());
  EXPECT_EQ(count(fused, "embedding("), 1u) << fused;
  EXPECT_EQ(count(fused, "has_words=true"), 1u) << fused;
}

TEST(RecurrentWords, GiveTheSameOutputToTheBitAndTheSameUpdate) {
  for (const Layer& layer : kLayers)
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor text = words(kBatch, 3);
      const auto fused = run(layer, dtype, kBatch, {true, true}, text);
      const auto plain = run(layer, dtype, kBatch, {false, false}, text);
      EXPECT_EQ(std::memcmp(fused[0].raw(), plain[0].raw(), plain[0].bytes()), 0) << layer.op;
      const Tensor a = to_floating(fused[1], DType::f64), e = to_floating(plain[1], DType::f64);
      for (std::size_t i = 0; i < a.size(); ++i)
        ASSERT_NEAR(a.data<double>()[i], e.data<double>()[i], dtype == DType::f64 ? 1e-12 : 1e-4)
            << layer.op << ", element " << i;
    }
}

TEST(RecurrentWords, HaveBitsThatDependOnNoThreadAndNoOtherRow) {
  const int before = num_threads();
  const Tensor text = words(kBatch, 5);
  for (const Layer& layer : kLayers) {
    set_num_threads(1);
    const auto serial = run(layer, DType::f32, kBatch, {}, text);
    set_num_threads(4);
    const auto threaded = run(layer, DType::f32, kBatch, {}, text);
    for (std::size_t i = 0; i < serial.size(); ++i)
      EXPECT_EQ(std::memcmp(serial[i].raw(), threaded[i].raw(), serial[i].bytes()), 0) << layer.op;
  }
  set_num_threads(before);
  Tensor first(Spec{DType::i32, {1, kSteps}});
  std::memcpy(first.raw(), text.raw(), first.bytes());
  for (const Layer& layer : kLayers) {
    const auto all = run(layer, DType::f32, kBatch, {}, text, false);
    const auto alone = run(layer, DType::f32, 1, {}, first, false);
    EXPECT_EQ(std::memcmp(alone[0].raw(), all[0].raw(), alone[0].bytes()), 0) << layer.op;
  }
}

TEST(RecurrentWords, HaveTheRangeOfTheTable) {
  for (const Layer& layer : kLayers) {
    const Model model(layer, DType::f32, kBatch, true);
    EXPECT_EQ(Program::make(model.graph)->input_bounds(), std::vector<Dim>{kRows}) << layer.op;
  }
}

TEST(RecurrentWords, ComplainAboutAWordOutOfRange) {
  Tensor text = words(kBatch, 3);
  text.data<std::int32_t>()[40] = kRows;
  EXPECT_THROW(run(kLayers[0], DType::f32, kBatch, {}, text, false), Error);
}

}  // namespace
