#include "op_cases.h"

using lamina::Shape;
using lamina::Tensor;

namespace {

Tensor state(std::int64_t seed, std::int64_t counter) {
  return Tensor::of<std::int64_t>({2}, {seed, counter});
}

const AddCases cases{
    {.op = "dropout", .in = {uniform({5, 40}), state(1, 2)}, .attrs = {{"rate", 0.3}}},
    {.op = "dropout", .in = {uniform({7}), state(1, 2)}, .attrs = {{"rate", 0.0}}},
    {.op = "dropout", .in = {uniform({7}), state(1, 2)}, .attrs = {{"rate", 1.0}}},
    {.op = "dropout",
     .in = {uniform({4, 5, 3}), state(3, 0)},
     .attrs = {{"rate", 0.5}, {"noise_shape", Shape{4, 1, -1}}}},
};

}  // namespace
