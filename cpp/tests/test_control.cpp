// Bodies: what branches and loops do beside their gradients, which cases_control.cpp checks.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "lamina/plan.h"
#include "op_cases.h"

using namespace lamina;

namespace {

GraphPtr graph_of(
    const std::vector<Spec>& inputs,
    const std::function<std::vector<ValueId>(Builder&, const std::vector<ValueId>&)>& make) {
  auto graph = std::make_shared<Graph>();
  Builder b(*graph);
  std::vector<ValueId> in;
  for (const Spec& spec : inputs) in.push_back(b.input(spec));
  for (const ValueId id : make(b, in)) b.output(id);
  return graph;
}

const Spec kNumber{DType::f64, {}};
const Spec kCount{DType::i64, {}};

GraphPtr counts_to(std::int64_t end) {
  return graph_of({kCount, kNumber, kNumber}, [end](Builder& b, const auto& in) {
    return std::vector{b.emit("less", {in[0], b.scalar(DType::i64, static_cast<double>(end))})};
  });
}
// (i, a, b) -> i + 1, b, a: each variable takes the place of another.
GraphPtr exchange() {
  return graph_of({kCount, kNumber, kNumber}, [](Builder& b, const auto& in) {
    return std::vector{b.add(in[0], b.scalar(DType::i64, 1)), in[2], in[1]};
  });
}
Attrs exchange_until(std::int64_t end) {
  return {{"cond", counts_to(end)}, {"body", exchange()}, {"variables", std::int64_t{3}}};
}

TEST(While, VariablesMayChangePlaces) {
  for (const std::int64_t end : {0, 1, 2, 5}) {
    const std::vector<Tensor> out = run_op(
        "while", {{Tensor::scalar(std::int64_t{0}), Tensor::scalar(1.0), Tensor::scalar(2.0)}},
        exchange_until(end));
    EXPECT_EQ(*out[0].data<std::int64_t>(), end);
    EXPECT_EQ(*out[1].data<double>(), end % 2 == 0 ? 1.0 : 2.0);
    EXPECT_EQ(*out[2].data<double>(), end % 2 == 0 ? 2.0 : 1.0);
  }
}

TEST(While, StopsAtTheMaximum) {
  Attrs attrs = exchange_until(100);
  attrs["maximum"] = std::int64_t{7};
  const std::vector<Tensor> out =
      run_op("while", {{Tensor::scalar(std::int64_t{0}), Tensor::scalar(1.0), Tensor::scalar(2.0)}},
             attrs);
  EXPECT_EQ(*out[0].data<std::int64_t>(), 7);
}

TEST(While, HasNoGradientWithoutAMaximum) {
  Graph graph;
  Builder b(graph);
  const ValueId i = b.constant(Tensor::scalar(std::int64_t{0}));
  const ValueId x = b.input(kNumber), y = b.input(kNumber);
  const std::vector<ValueId> out = b.emit_all("while", {i, x, y}, exchange_until(3));
  const ValueId wrt[] = {x};
  EXPECT_THROW(gradients(graph, out[1], wrt), Error);
}

TEST(While, ABodyMustKeepTheSpecs) {
  const GraphPtr wrong = graph_of({kCount, kNumber, kNumber}, [](Builder& b, const auto& in) {
    return std::vector{in[0], b.reshape(in[1], {1}), in[2]};
  });
  Attrs attrs = exchange_until(3);
  attrs["body"] = wrong;
  const Spec in[] = {kCount, kNumber, kNumber};
  EXPECT_THROW(infer("while", in, attrs), ShapeError);
}

// A branch that fails if it runs: an index out of range.
GraphPtr take_row(std::int64_t row) {
  return graph_of({{DType::f64, {2, 3}}}, [row](Builder& b, const auto& in) {
    const ValueId id = b.constant(Tensor::scalar(row));
    return std::vector{b.emit("gather", {in[0], id}, {{"axis", std::int64_t{0}}})};
  });
}

TEST(Cond, OnlyTheBranchThatIsTakenRunsAndItsFailureIsRaised) {
  const Tensor x = arange_like({2, 3});
  const Attrs attrs{{"then", take_row(1)}, {"else", take_row(5)}};
  EXPECT_EQ(run_op("cond", {{Tensor::scalar(true), x, x}}, attrs)[0].data<double>()[0], 3.0);
  EXPECT_THROW(run_op("cond", {{Tensor::scalar(false), x, x}}, attrs), Error);
}

TEST(Cond, TheSamePlanRunsAgainAfterAFailure) {
  Graph graph;
  Builder b(graph);
  const ValueId pred = b.input({DType::boolean, {}}), x = b.input({DType::f64, {2, 3}});
  b.output(b.emit("cond", {pred, x, x}, {{"then", take_row(1)}, {"else", take_row(5)}}));
  const auto program = Program::make(graph);
  const Tensor data = arange_like({2, 3});
  EXPECT_THROW(program->run({{Tensor::scalar(false), data}}), Error);
  EXPECT_EQ(program->run({{Tensor::scalar(true), data}})[0].data<double>()[2], 5.0);
}

TEST(Scan, StacksInTheOrderOfTheElementsAlsoInReverse) {
  const GraphPtr body = graph_of({kNumber, kNumber}, [](Builder& b, const auto& in) {
    const ValueId sum = b.add(in[0], in[1]);
    return std::vector{sum, sum};
  });
  for (const bool reverse : {false, true}) {
    const std::vector<Tensor> out = run_op("scan", {{Tensor::scalar(0.0), arange_like({4}, 1)}},
                                           {{"body", body},
                                            {"carries", std::int64_t{1}},
                                            {"xs", std::int64_t{1}},
                                            {"length", std::int64_t{4}},
                                            {"reverse", reverse}});
    EXPECT_EQ(*out[0].data<double>(), 10.0);
    EXPECT_EQ(out[1].data<double>()[0], reverse ? 10.0 : 1.0);
    EXPECT_EQ(out[1].data<double>()[3], reverse ? 4.0 : 10.0);
  }
}

TEST(Scan, TwoProgramsOfOneGraphRunAtOnceAndAgain) {
  Graph graph;
  Builder b(graph);
  const GraphPtr body = graph_of({{DType::f64, {64}}}, [](Builder& inner, const auto& in) {
    return std::vector{inner.emit("sin", {in[0]})};
  });
  const ValueId x = b.input({DType::f64, {64}});
  b.output(b.emit("scan", {x},
                  {{"body", body},
                   {"carries", std::int64_t{1}},
                   {"xs", std::int64_t{0}},
                   {"length", std::int64_t{50}}}));
  const auto program = Program::make(graph);
  const Tensor data = uniform({64});
  const Tensor first = program->run({{data}})[0], second = program->run({{data}})[0];
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(first.data<double>()[i], second.data<double>()[i]);
}

TEST(CustomGradient, TakesWhatThePullbackSays) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input({DType::f64, {3}}), c = b.input({DType::f64, {3}});
  const ValueId y = b.emit("exp", {x});
  const GraphPtr pullback =
      graph_of({{DType::f64, {3}}, {DType::f64, {3}}},
               [](Builder& inner, const auto& in) { return std::vector{inner.mul(in[0], in[1])}; });
  const ValueId z = b.emit(
      "custom_gradient", {y, x, c},
      {{"pullback", pullback}, {"results", std::int64_t{1}}, {"arguments", std::int64_t{1}}});
  const ValueId wrt[] = {x};
  b.output(z);
  b.output(gradients(graph, b.sum_to(z, {}), wrt)[0]);
  const Tensor at = uniform({3}), factor = uniform({3}, -1, 1, 2);
  const std::vector<Tensor> out = Program::make(graph)->run({{at, factor}});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(out[0].data<double>()[i], std::exp(at.data<double>()[i]));
    EXPECT_EQ(out[1].data<double>()[i], factor.data<double>()[i]);
  }
}

TEST(CustomGradient, APullbackOfTooManyInputsIsAnError) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input(kNumber), y = b.mul(x, x);
  const GraphPtr pullback = graph_of({kNumber, kNumber}, [](Builder& p, const auto& in) {
    return std::vector{p.mul(in[0], in[1])};
  });
  const ValueId z = b.emit(
      "custom_gradient", {y, x},
      {{"pullback", pullback}, {"results", std::int64_t{1}}, {"arguments", std::int64_t{1}}});
  EXPECT_THROW(gradients(graph, z, std::vector{x}), Error);
}

}  // namespace
