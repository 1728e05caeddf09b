#include "op_cases.h"

using lamina::DType;

namespace {

const AddCases cases{
    // Targets need not sum to one.
    {.op = "softmax_cross_entropy", .in = {uniform({5, 3}, -2, 2, 1), uniform({5, 3}, 0, 1, 2)}},
    {.op = "softmax_cross_entropy",
     .in = {uniform({2, 3, 19}, -2, 2, 1), uniform({2, 3, 19}, 0, 1, 2)}},
    {.op = "softmax_cross_entropy", .in = {uniform({4}, -2, 2, 1), uniform({4}, 0, 1, 2)}},
    {.op = "softmax_cross_entropy", .in = {uniform({0, 4}), uniform({0, 4})}},
    {.op = "sparse_softmax_cross_entropy", .in = {uniform({6, 10}, -2, 2), integers({6}, 10)}},
    {.op = "sparse_softmax_cross_entropy",
     .in = {uniform({3, 2, 17}, -2, 2), integers({3, 2}, 17, 1, DType::i64)}},
    {.op = "sigmoid_cross_entropy", .in = {uniform({4, 9}, -3, 3, 1), uniform({4, 9}, 0, 1, 2)}},
    {.op = "sigmoid_cross_entropy", .in = {uniform({4, 3}, -3, 3, 1), uniform({3}, 0, 1, 2)}},
};

}  // namespace
