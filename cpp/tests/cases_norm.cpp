#include "op_cases.h"

namespace {

const lamina::Attrs kEpsilon{{"epsilon", 0.01}};

const AddCases cases{
    {.op = "softmax", .in = {uniform({4, 10}, -3, 3)}},
    {.op = "softmax", .in = {uniform({3, 37}, -3, 3)}},
    {.op = "softmax", .in = {uniform({7}, -3, 3)}},
    {.op = "softmax", .in = {uniform({3, 1}, -3, 3)}},
    {.op = "softmax", .in = {uniform({2, 5, 3}, -3, 3)}, .attrs = {{"axis", std::int64_t{1}}}},
    {.op = "softmax", .in = {uniform({4, 2, 9}, -3, 3)}, .attrs = {{"axis", std::int64_t{0}}}},
    {.op = "softmax", .in = {uniform({0, 4})}},
    {.op = "softmax_grad", .in = {uniform({3, 5}, 0.1, 0.4, 1), uniform({3, 5}, -1, 1, 2)}},
    {.op = "softmax_grad",
     .in = {uniform({2, 4, 3}, 0.1, 0.4, 1), uniform({2, 4, 3}, -1, 1, 2)},
     .attrs = {{"axis", std::int64_t{1}}}},
    {.op = "log_softmax_grad", .in = {uniform({3, 5}, -2, 0, 1), uniform({3, 5}, -1, 1, 2)}},
    {.op = "log_softmax_grad",
     .in = {uniform({2, 4, 3}, -2, 0, 1), uniform({2, 4, 3}, -1, 1, 2)},
     .attrs = {{"axis", std::int64_t{1}}}},
    {.op = "log_softmax", .in = {uniform({4, 10}, -3, 3)}},
    {.op = "layer_norm", .in = {uniform({4, 10})}, .attrs = kEpsilon},
    {.op = "layer_norm",
     .in = {uniform({3, 2, 37}), uniform({37}, 0.5, 1.5, 2), uniform({37}, -1, 1, 3)},
     .attrs = kEpsilon},
    {.op = "layer_norm",
     .in = {uniform({70, 3}), uniform({3}, 0.5, 1.5, 2), uniform({3}, -1, 1, 3)},
     .attrs = kEpsilon},
    {.op = "layer_norm", .in = {uniform({6})}, .attrs = kEpsilon},
    {.op = "layer_norm", .in = {uniform({0, 4})}, .attrs = kEpsilon},
    {.op = "layer_norm_grad",
     .in = {uniform({3, 5}, -1, 1, 1), uniform({3, 5}, -1, 1, 2)},
     .attrs = kEpsilon},
    {.op = "layer_norm_grad",
     .in = {uniform({2, 3, 9}, -1, 1, 1), uniform({2, 3, 9}, -1, 1, 2), uniform({9}, 0.5, 1.5, 3)},
     .attrs = kEpsilon},
    {.op = "layer_norm_grad",
     .in = {uniform({4, 6}, -1, 1, 1), uniform({4, 6}, -1, 1, 2), uniform({6}, 0.5, 1.5, 3)},
     .attrs = kEpsilon,
     .output = 1},
    {.op = "log_softmax", .in = {uniform({3, 33}, -3, 3)}},
    {.op = "log_softmax", .in = {uniform({2, 5, 3}, -3, 3)}, .attrs = {{"axis", std::int64_t{-2}}}},
};

}  // namespace
