#include "op_cases.h"

using namespace lamina;

namespace {

Spec vector_of(Dim n) { return {DType::f64, {n}}; }

// x -> sin(x) * w
GraphPtr sine_body() {
  auto g = std::make_shared<Graph>();
  Builder b(*g);
  const ValueId x = b.input(vector_of(3)), w = b.input(vector_of(3));
  b.output(b.mul(b.emit("sin", {x}), w));
  return g;
}
// x -> x * x
GraphPtr square_body() {
  auto g = std::make_shared<Graph>();
  Builder b(*g);
  const ValueId x = b.input(vector_of(3));
  b.output(b.mul(x, x));
  return g;
}
// (carry, x, w) -> tanh(carry * w + x), carry + x
GraphPtr step_body() {
  auto g = std::make_shared<Graph>();
  Builder b(*g);
  const ValueId c = b.input(vector_of(3)), x = b.input(vector_of(3)), w = b.input(vector_of(3));
  b.output(b.emit("tanh", {b.add(b.mul(c, w), x)}));
  b.output(b.add(c, x));
  return g;
}
// (v, n) -> sum(v) < limit
GraphPtr below(double limit) {
  auto g = std::make_shared<Graph>();
  Builder b(*g);
  const ValueId v = b.input(vector_of(3));
  b.input({DType::i32, {}});
  b.output(b.emit("less", {b.sum_to(v, {}), b.scalar(DType::f64, limit)}));
  return g;
}
// (v, n, w) -> v * w + v, n + 1
GraphPtr growing_body() {
  auto g = std::make_shared<Graph>();
  Builder b(*g);
  const ValueId v = b.input(vector_of(3)), n = b.input({DType::i32, {}});
  const ValueId w = b.input(vector_of(3));
  b.output(b.add(b.mul(v, w), v));
  b.output(b.add(n, b.scalar(DType::i32, 1)));
  return g;
}
Tensor truth(bool value) { return Tensor::scalar(value); }
Attrs branches() { return {{"then", sine_body()}, {"else", square_body()}}; }
Attrs scan(std::int64_t length, bool reverse) {
  return {{"body", step_body()},
          {"carries", std::int64_t{1}},
          {"xs", std::int64_t{1}},
          {"length", length},
          {"reverse", reverse}};
}

const AddCases cases{
    {.op = "cond",
     .in = {truth(true), uniform({3}), uniform({3}, -1, 1, 2), uniform({3}, -1, 1, 3)},
     .attrs = branches()},
    {.op = "cond",
     .in = {truth(false), uniform({3}), uniform({3}, -1, 1, 2), uniform({3}, -1, 1, 3)},
     .attrs = branches()},
    {.op = "scan",
     .in = {uniform({3}), uniform({4, 3}, -1, 1, 2), uniform({3}, -1, 1, 3)},
     .attrs = scan(4, false)},
    {.op = "scan",
     .in = {uniform({3}), uniform({5, 3}, -1, 1, 2), uniform({3}, -1, 1, 3)},
     .attrs = scan(5, true)},
    {.op = "scan",
     .in = {uniform({3}), uniform({0, 3}), uniform({3}, -1, 1, 3)},
     .attrs = scan(0, false)},
    {.op = "while",
     .in = {uniform({3}, 0.5, 1), Tensor::scalar(std::int32_t{0}), uniform({3}, 0.5, 1, 3)},
     .attrs = {{"cond", below(7)},
               {"body", growing_body()},
               {"variables", std::int64_t{2}},
               {"maximum", std::int64_t{9}}}},
};

}  // namespace
