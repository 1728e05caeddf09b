// Ops whose gradients are no slopes: what arrives where.
#include <gtest/gtest.h>

#include <limits>

#include "lamina/plan.h"
#include "op_cases.h"

using namespace lamina;

namespace {

Tensor vector_of(std::initializer_list<float> values) {
  Tensor t(Spec{DType::f32, {static_cast<Dim>(values.size())}});
  std::copy(values.begin(), values.end(), t.data<float>());
  return t;
}
Tensor scalar_of(float value) {
  Tensor t(Spec{DType::f32, {}});
  *t.data<float>() = value;
  return t;
}
std::vector<float> numbers(const Tensor& t) {
  return {t.data<float>(), t.data<float>() + t.size()};
}

// The op's result, then the gradients of its inputs for the gradient `seed` of the result.
std::vector<Tensor> differentiated(const char* op, const std::vector<Tensor>& in, Attrs attrs,
                                   const Tensor& seed) {
  Graph graph;
  Builder b(graph);
  std::vector<ValueId> ids;
  for (const Tensor& x : in) ids.push_back(b.input(x.spec()));
  const ValueId out = b.emit(op, ids, std::move(attrs));
  b.output(out);
  for (const ValueId id : gradients(graph, out, ids, b.constant(seed)))
    b.output(id == kNoValue ? b.scalar(DType::f32, -1) : id);
  return Program::make(std::move(graph))->run(in);
}

TEST(StraightThrough, GivesTheValueAndPassesTheGradientToTheOther) {
  const auto got =
      differentiated("straight_through", {vector_of({1, 2, 3}), vector_of({1.4F, 1.6F, 3.2F})}, {},
                     vector_of({5, 6, 7}));
  EXPECT_EQ(numbers(got[0]), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(numbers(got[1]), (std::vector<float>{-1}));  // none
  EXPECT_EQ(numbers(got[2]), (std::vector<float>{5, 6, 7}));
}

TEST(StraightThrough, RefusesOperandsThatDiffer) {
  EXPECT_THROW(run_op("straight_through", {{vector_of({1, 2}), vector_of({1})}}), ShapeError);
}

TEST(Float8, OperandsHandTheirNextScaleAndHistoryBack) {
  const Tensor x = vector_of({-3, 2}), history = vector_of({4, 1, 7, 2});
  const auto got = differentiated("float8_operand", {x, x, scalar_of(0.5F), history},
                                  {{"format", std::string("float8_e4m3fn")}}, vector_of({1, 2}));
  EXPECT_EQ(numbers(got[2]), (std::vector<float>{1, 2}));
  EXPECT_FLOAT_EQ(numbers(got[3])[0], 7.0F / 448.0F);
  EXPECT_EQ(numbers(got[4]), (std::vector<float>{3, 7, 2, 4}));
}

TEST(Float8, AScaleStaysWhileNothingFiniteWasSeen) {
  for (const float seen : {0.0F, std::numeric_limits<float>::infinity()}) {
    const Tensor x = vector_of({1}), history = vector_of({seen});
    const auto got =
        differentiated("float8_operand", {x, x, scalar_of(0.5F), history}, {}, vector_of({1}));
    EXPECT_EQ(numbers(got[3])[0], 0.5F);
    EXPECT_EQ(numbers(got[4]), (std::vector<float>{1}));
  }
}

TEST(Float8, GradientsAreRoundedOnTheWayBack) {
  const auto got =
      differentiated("float8_gradient", {vector_of({1, 2, 3}), scalar_of(1), vector_of({0, 0})},
                     {{"format", std::string("float8_e5m2")}}, vector_of({1.1F, -70000.0F, 0.3F}));
  EXPECT_EQ(numbers(got[0]), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(numbers(got[1]), (std::vector<float>{1.0F, -57344.0F, 0.3125F}));
  EXPECT_EQ(numbers(got[2])[0], 1.0F);
  EXPECT_EQ(numbers(got[3]), (std::vector<float>{70000.0F, 0.0F}));
}

TEST(Float8, RefusesAnotherFormat) {
  EXPECT_THROW(run_op("float8_gradient", {{vector_of({1}), scalar_of(1), vector_of({0})}},
                      {{"format", std::string("float16")}}),
               TypeError);
}

}  // namespace
