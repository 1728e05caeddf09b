// Gradients of long series in large batches, which the backward pass takes block by block of steps
// and group by group of rows: they are those of the rows alone.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "lamina/plan.h"
#include "op_cases.h"

using namespace lamina;

namespace {

constexpr Dim kBatch = 20, kFeatures = 3;

struct Layer {
  std::string op;
  Dim gates;
  bool reset_after = true;
  Dim steps = 150, units = 5;

  bool is_lstm() const { return op == "lstm"; }
  Shape bias() const {
    const Dim wide = gates * units;
    return op == "gru" && reset_after ? Shape{2, wide} : Shape{wide};
  }
};
const std::vector<Layer> kLayers{{"lstm", 4}, {"simple_rnn", 1}, {"gru", 3}, {"gru", 3, false}};

// Operands, and which of their axes counts the rows; -1: none.
struct Operands {
  std::vector<Tensor> values;
  std::vector<int> row_axis;
  std::size_t differentiable = 0;  // the first so many

  void add(Tensor value, int axis) {
    values.push_back(std::move(value));
    row_axis.push_back(axis);
  }
};

Operands operands(const Layer& layer, bool masked) {
  const Dim wide = layer.gates * layer.units;
  Operands in;
  in.add(uniform({kBatch, layer.steps, kFeatures}, -1, 1, 1), 0);
  in.add(uniform({kFeatures, wide}, -0.6, 0.6, 2), -1);
  in.add(uniform({layer.units, wide}, -0.5, 0.5, 3), -1);
  in.add(uniform(layer.bias(), -0.5, 0.5, 4), -1);
  in.add(uniform({kBatch, layer.units}, -0.8, 0.8, 5), 0);
  if (layer.is_lstm()) in.add(uniform({kBatch, layer.units}, -0.8, 0.8, 6), 0);
  in.differentiable = in.values.size();
  if (!masked) return in;
  const Tensor draws = uniform({kBatch, layer.steps}, 0, 1, 7);
  Tensor mask(Spec{DType::boolean, {kBatch, layer.steps}});
  for (std::size_t i = 0; i < mask.size(); ++i)
    mask.data<bool>()[i] = draws.data<double>()[i] < 0.7;
  in.add(mask, 0);
  if (layer.gates > 1) {
    in.add(uniform({layer.gates, kBatch, layer.units}, 0.5, 1.5, 8), 1);
  } else {
    in.add(uniform({kBatch, layer.units}, 0.5, 1.5, 8), 0);
  }
  return in;
}

// The row's part of an operand.
Tensor part(const Tensor& x, Dim row, int axis) {
  if (axis < 0) return x;
  Shape shape = x.shape();
  shape[static_cast<std::size_t>(axis)] = 1;
  Tensor out(Spec{x.dtype(), shape});
  const std::size_t outer = axis == 0 ? 1 : static_cast<std::size_t>(x.shape()[0]);
  const std::size_t bytes = out.bytes() / outer;
  for (std::size_t i = 0; i < outer; ++i) {
    const std::size_t from = i * static_cast<std::size_t>(kBatch) + static_cast<std::size_t>(row);
    std::memcpy(static_cast<std::byte*>(out.raw()) + i * bytes,
                static_cast<const std::byte*>(x.raw()) + from * bytes, bytes);
  }
  return out;
}

std::vector<Tensor> gradients_of(const Layer& layer, const std::vector<Tensor>& in,
                                 std::size_t differentiable, const Attrs& attrs) {
  Graph graph;
  Builder b(graph);
  std::vector<ValueId> ids;
  for (const Tensor& x : in) ids.push_back(b.input(x.spec()));
  const std::vector<ValueId> out = b.emit_all(layer.op, ids, attrs);
  const ValueId loss = b.emit("sum_squares", {out[0]});
  ids.resize(differentiable);
  for (const ValueId d : gradients(graph, loss, ids)) b.output(d);
  return Program::make(graph)->run(in);
}

void compare(const Layer& layer, bool backwards, bool masked) {
  const Operands in = operands(layer, masked);
  Attrs attrs{{"return_sequences", true},
              {"go_backwards", backwards},
              {"has_mask", masked},
              {"has_recurrent_mask", masked}};
  if (layer.op == "gru") attrs["reset_after"] = layer.reset_after;
  const std::vector<Tensor> all = gradients_of(layer, in.values, in.differentiable, attrs);
  std::vector<std::vector<double>> sums(all.size());
  for (Dim row = 0; row < kBatch; ++row) {
    std::vector<Tensor> one;
    for (std::size_t i = 0; i < in.values.size(); ++i)
      one.push_back(part(in.values[i], row, in.row_axis[i]));
    const std::vector<Tensor> alone = gradients_of(layer, one, in.differentiable, attrs);
    for (std::size_t i = 0; i < alone.size(); ++i) {
      const double* d = alone[i].data<double>();
      if (in.row_axis[i] == 0) {
        const Tensor wanted = part(all[i], row, 0);
        EXPECT_EQ(std::memcmp(d, wanted.raw(), wanted.bytes()), 0)
            << layer.op << ", gradient " << i << ", row " << row;
      } else {
        sums[i].resize(alone[i].size());
        for (std::size_t j = 0; j < sums[i].size(); ++j) sums[i][j] += d[j];
      }
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i)
    for (std::size_t j = 0; j < sums[i].size(); ++j)
      ASSERT_NEAR(all[i].data<double>()[j], sums[i][j], 1e-10 * (1 + std::abs(sums[i][j])))
          << layer.op << ", gradient " << i << ", element " << j;
}

TEST(RecurrentBlocks, GradientsOfABatchAreThoseOfItsRows) {
  for (const Layer& layer : kLayers)
    for (const bool backwards : {false, true})
      for (const bool masked : {false, true}) compare(layer, backwards, masked);
}

// More than 16 MB is kept for the backward pass, and of the rows alone less: it is written in
// another way.
TEST(RecurrentBlocks, SeriesThatNoCacheHoldsGiveTheSame) {
  for (const Layer& layer :
       {Layer{"lstm", 4, true, 560, 32}, Layer{"gru", 3, true, 660, 32},
        Layer{"gru", 3, false, 820, 32}, Layer{"simple_rnn", 1, true, 840, 64}})
    for (const bool masked : {false, true}) compare(layer, false, masked);
}

}  // namespace
