#include <cmath>

#include "op_cases.h"

using lamina::Attrs;
using lamina::DType;
using lamina::Tensor;

namespace {

// Two operands: same shape, either side broadcast, both, a scalar, a row of one, nothing at all.
struct BinaryCases {
  BinaryCases(const std::string& op, double lo, double hi) {
    const auto a = [&](lamina::Shape s) { return uniform(std::move(s), lo, hi, 3); };
    const auto b = [&](lamina::Shape s) { return uniform(std::move(s), lo + 0.01, hi + 0.01, 4); };
    AddCases({
        {.op = op, .in = {a({3, 5}), b({3, 5})}},
        {.op = op, .in = {a({4, 3, 5}), b({5})}},
        {.op = op, .in = {a({3, 1}), b({4, 1, 7})}},
        {.op = op, .in = {a({}), b({17})}},
        {.op = op, .in = {a({2, 600}), b({1, 600})}},
        {.op = op, .in = {a({0, 3}), b({3})}},
    });
  }
};
const BinaryCases add("add", -1, 1), subtract("subtract", -1, 1), multiply("multiply", -1, 1);
const BinaryCases divide("divide", 0.5, 2), maximum("maximum", -1, 1), minimum("minimum", -1, 1);
const BinaryCases power("power", 0.5, 2), slope("power_slope", 0.5, 2);
const BinaryCases arctan2("arctan2", 0.3, 2);

const AddCases binary{
    {.op = "divide", .in = {uniform({3, 4}), uniform({3, 4}, -2, -0.5)}},
    {.op = "arctan2", .in = {uniform({9}, -1, -0.2), uniform({9}, -1, -0.3, 2)}},
    {.op = "mod", .in = {uniform({3, 5}, 0.1, 0.9), uniform({5}, 1, 2, 2)}},
    {.op = "mod", .in = {uniform({11}, 5.1, 5.9), uniform({11}, -3, -2.99, 2)}},
    {.op = "power", .in = {uniform({3, 3}, -2, -1), Tensor::scalar(3.0)}, .differentiable = {0}},
    {.op = "power", .in = {uniform({3, 3}), Tensor::scalar(2.0)}, .differentiable = {0}},
    {.op = "select", .in = {integers({3, 5}, 2, 1, DType::boolean), uniform({3, 5}), uniform({5})}},
    {.op = "select",
     .in = {integers({3, 1}, 2, 1, DType::boolean), uniform({}), uniform({2, 1, 5})}},
    {.op = "cast", .in = {uniform({7})}, .attrs = {{"dtype", std::string("float64")}}},
};

// One operand of 33 elements (whole vectors and a rest), of none, and of two axes.
struct UnaryCases {
  UnaryCases(const std::string& op, double lo, double hi, const Attrs& attrs = {},
             double tolerance = 1e-6) {
    AddCases({
        {.op = op, .in = {uniform({33}, lo, hi, 5)}, .attrs = attrs, .tolerance = tolerance},
        {.op = op, .in = {uniform({3, 4}, lo, hi, 6)}, .attrs = attrs, .tolerance = tolerance},
        {.op = op, .in = {uniform({0, 2}, lo, hi)}, .attrs = attrs},
    });
  }
};
const UnaryCases unary[] = {
    {"identity", -1, 1},      {"negative", -1, 1},
    {"abs", 0.1, 1},          {"abs", -1, -0.1},
    {"square", -1, 1},        {"exp", -2, 2},
    {"expm1", -2, 2},         {"log", 0.3, 3},
    {"log1p", -0.6, 3},       {"log2", 0.3, 3},
    {"log10", 0.3, 3},        {"sqrt", 0.3, 3},
    {"rsqrt", 0.3, 3},        {"reciprocal", 0.3, 3},
    {"sin", -3, 3},           {"cos", -3, 3},
    {"tan", -1.2, 1.2},       {"arcsin", -0.8, 0.8},
    {"arccos", -0.8, 0.8},    {"arctan", -3, 3},
    {"sinh", -2, 2},          {"cosh", -2, 2},
    {"tanh", -2, 2},          {"arcsinh", -2, 2},
    {"arccosh", 1.3, 3},      {"arctanh", -0.8, 0.8},
    {"erf", -2, 2},           {"erfinv", -0.8, 0.8},
    {"sigmoid", -4, 4},       {"silu", -4, 4},
    {"softplus", -4, 4},      {"softsign", 0.1, 3},
    {"softsign", -3, -0.1},   {"log_sigmoid", -4, 4},
    {"mish", -3, 3},          {"relu", 0.1, 1},
    {"relu", -1, -0.1},       {"relu6", 0.1, 5.9},
    {"relu6", 6.1, 8},        {"leaky_relu", -1, -0.1},
    {"leaky_relu", 0.1, 1},   {"elu", -2, -0.1},
    {"elu", 0.1, 2},          {"selu", -2, -0.1},
    {"selu", 0.1, 2},         {"hard_sigmoid", -2.9, 2.9},
    {"hard_sigmoid", 3.1, 5}, {"hard_silu", -2.9, 2.9},
    {"hard_silu", 3.1, 5},    {"celu", -2, -0.1},
};
const UnaryCases with_attributes[] = {
    {"elu", -2, -0.1, {{"alpha", 0.5}}},
    {"celu", -2, -0.1, {{"alpha", 0.7}}},
    {"celu", 0.1, 2, {{"alpha", 0.7}}},
    {"leaky_relu", -1, -0.1, {{"negative_slope", 0.01}}},
    {"gelu", -3, 3, {{"approximate", true}}},
    {"gelu", -3, 3, {{"approximate", false}}},
    {"clip", -0.39, 0.39, {{"min", -0.4}, {"max", 0.4}}},
    {"clip", 0.5, 1, {{"min", -0.4}, {"max", 0.4}}},
};

}  // namespace
