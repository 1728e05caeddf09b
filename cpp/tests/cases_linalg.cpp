#include "op_cases.h"

using lamina::Attrs;

namespace {

const Attrs kTransposeA{{"transpose_a", true}};
const Attrs kTransposeB{{"transpose_b", true}};
const Attrs kTransposeBoth{{"transpose_a", true}, {"transpose_b", true}};
Attrs activation(const char* name) { return {{"activation", std::string(name)}}; }

const AddCases cases{
    {.op = "matmul", .in = {uniform({3, 4}), uniform({4, 5}, -1, 1, 2)}},
    {.op = "matmul", .in = {uniform({4, 3}), uniform({4, 5}, -1, 1, 2)}, .attrs = kTransposeA},
    {.op = "matmul", .in = {uniform({3, 4}), uniform({5, 4}, -1, 1, 2)}, .attrs = kTransposeB},
    {.op = "matmul", .in = {uniform({4, 3}), uniform({5, 4}, -1, 1, 2)}, .attrs = kTransposeBoth},
    {.op = "matmul", .in = {uniform({1, 1}), uniform({1, 1}, -1, 1, 2)}},
    {.op = "matmul", .in = {uniform({2, 0}), uniform({0, 3})}},
    // a batch against one matrix, from either side, and batches that broadcast against each other
    {.op = "matmul", .in = {uniform({2, 3, 4}), uniform({4, 5}, -1, 1, 2)}},
    {.op = "matmul", .in = {uniform({2, 4, 3}), uniform({4, 5}, -1, 1, 2)}, .attrs = kTransposeA},
    {.op = "matmul", .in = {uniform({2, 3, 4}), uniform({5, 4}, -1, 1, 2)}, .attrs = kTransposeB},
    {.op = "matmul", .in = {uniform({3, 4}), uniform({2, 4, 5}, -1, 1, 2)}},
    {.op = "matmul",
     .in = {uniform({2, 1, 3, 4}), uniform({3, 5, 4}, -1, 1, 2)},
     .attrs = kTransposeB},
    {.op = "matmul",
     .in = {uniform({2, 2, 4, 3}), uniform({1, 2, 5, 4}, -1, 1, 2)},
     .attrs = kTransposeBoth},

    {.op = "dense", .in = {uniform({3, 4}), uniform({4, 5}, -1, 1, 2)}},
    {.op = "dense", .in = {uniform({3, 4}), uniform({4, 1}, -1, 1, 2), uniform({1}, -1, 1, 3)}},
    {.op = "dense", .in = {uniform({4}), uniform({4, 5}, -1, 1, 2), uniform({5}, -1, 1, 3)}},
    {.op = "dense",
     .in = {uniform({2, 3, 4}), uniform({4, 5}, -1, 1, 2), uniform({5}, -1, 1, 3)},
     .attrs = activation("tanh")},
    {.op = "dense",
     .in = {uniform({7, 4}), uniform({4, 19}, -1, 1, 2), uniform({19}, -1, 1, 3)},
     .attrs = activation("sigmoid")},
    {.op = "dense",
     .in = {uniform({5, 4}), uniform({4, 6}, -1, 1, 2), uniform({6}, -1, 1, 3)},
     .attrs = activation("relu")},
};

}  // namespace
