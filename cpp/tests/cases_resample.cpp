#include "op_cases.h"

using lamina::Dim;
using lamina::Shape;
using lamina::Tensor;

namespace {

Tensor starts(std::initializer_list<std::int32_t> at) {
  return Tensor::of<std::int32_t>({static_cast<Dim>(at.size())}, at);
}

// The axis grows, shrinks, is the last one; rows longer and shorter than a vector.
const AddCases cases{
    {.op = "resample",
     .in = {uniform({2, 3, 4}), uniform({5, 2}), starts({0, 0, 1, 1, 1})},
     .attrs = {{"axis", Dim{1}}},
     .differentiable = {0}},
    {.op = "resample",
     .in = {uniform({2, 5, 19}), uniform({2, 3}), starts({2, 0})},
     .attrs = {{"axis", Dim{1}}},
     .differentiable = {0}},
    {.op = "resample",
     .in = {uniform({3, 5}), uniform({4, 1}), starts({4, 0, 0, 2})},
     .attrs = {{"axis", Dim{-1}}},
     .differentiable = {0}},
    {.op = "resample_grad",
     .in = {uniform({2, 4, 3}), uniform({4, 2}), starts({0, 3, 1, 1})},
     .attrs = {{"axis", Dim{1}}, {"size", Dim{5}}},
     .differentiable = {0}},
};

}  // namespace
