#include <cmath>

#include "lamina/runtime.h"
#include "op_cases.h"

using lamina::Attrs;
using lamina::Shape;
using lamina::Tensor;

namespace {

Attrs over(Shape axes, bool keepdims = false) {
  return {{"axes", std::move(axes)}, {"keepdims", keepdims}};
}

// Rows, columns, few columns, the middle, axes that alternate, all, none.
struct ReductionCases {
  explicit ReductionCases(const std::string& op, double lo = -1, double hi = 1) {
    const auto x = [&](Shape s) { return distinct(std::move(s), lo, hi, 3); };
    AddCases({
        {.op = op, .in = {x({3, 21})}, .attrs = over({1})},
        {.op = op, .in = {x({3, 7})}, .attrs = over({-1}, true)},
        {.op = op, .in = {x({6, 37})}, .attrs = over({0})},
        {.op = op, .in = {x({19, 3})}, .attrs = over({0}, true)},
        {.op = op, .in = {x({2, 5, 4})}, .attrs = over({1})},
        {.op = op, .in = {x({3, 2, 4, 2})}, .attrs = over({0, 2})},
        {.op = op, .in = {x({2, 3, 2, 3})}, .attrs = over({1, 3}, true)},
        {.op = op, .in = {x({4, 1, 3})}, .attrs = over({1})},
        {.op = op, .in = {x({4, 5})}},
        {.op = op, .in = {x({})}},
        {.op = op, .in = {x({4})}, .attrs = over({})},
        {.op = op, .in = {x({0, 3})}, .attrs = over({1})},
    });
  }
};
const ReductionCases sum("sum"), mean("mean"), prod("prod", 0.5, 1.5), max("max"), min("min");
const ReductionCases var("var", -2, 2), logsumexp("logsumexp", -2, 2);

Tensor rounded(Shape shape) {
  Tensor x = uniform(std::move(shape), -2, 2);
  for (std::size_t i = 0; i < x.size(); ++i) x.data<double>()[i] = std::round(x.data<double>()[i]);
  return x;
}

// x has equal places; y takes part as it stands.
OpCase extreme_grad(Shape shape, Shape axes, bool keepdims = false) {
  const std::vector<Tensor> x{rounded(std::move(shape))};
  Tensor y = lamina::run_op("max", x, over(axes, keepdims))[0];
  Tensor dy = uniform(y.shape());
  return {.op = "extreme_grad",
          .in = {x[0], std::move(y), std::move(dy)},
          .attrs = over(std::move(axes)),
          .differentiable = {2}};
}

const AddCases extreme_grads{
    extreme_grad({3, 21}, {1}),          extreme_grad({3, 7}, {-1}, true),
    extreme_grad({6, 37}, {0}),          extreme_grad({2, 5, 4}, {1}),
    extreme_grad({2, 5, 19}, {1}, true), extreme_grad({2, 3, 4, 17}, {1, 2}),
    extreme_grad({4, 5}, {0, 1}),        extreme_grad({0, 3}, {1}),
};

const AddCases others{
    {.op = "prod", .in = {Tensor::of<double>({2, 3}, {0, 2, 3, 0, 0, 1})}, .attrs = over({1})},
    {.op = "moments", .in = {uniform({6, 37}, 1, 3)}},
    {.op = "moments", .in = {uniform({5, 8, 3})}},
    {.op = "moments", .in = {uniform({19, 3})}, .output = 0},
    {.op = "moments", .in = {uniform({3, 30, 17})}, .output = 1},
    {.op = "sum_squares", .in = {uniform({3, 5})}},
    {.op = "sum_squares", .in = {uniform({9000})}},
    {.op = "sum_squares", .in = {uniform({})}},
    {.op = "cumsum", .in = {uniform({3, 4})}, .attrs = {{"axis", std::int64_t{1}}}},
    {.op = "cumsum",
     .in = {uniform({3, 4, 2})},
     .attrs = {{"axis", std::int64_t{0}}, {"reverse", true}}},
    {.op = "cumprod", .in = {uniform({3, 4}, 0.5, 1.5)}, .attrs = {{"axis", std::int64_t{0}}}},
    {.op = "cumprod",
     .in = {uniform({2, 4, 3}, 0.5, 1.5)},
     .attrs = {{"axis", std::int64_t{1}}, {"reverse", true}}},
};

}  // namespace
