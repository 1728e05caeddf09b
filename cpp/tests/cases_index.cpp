#include "op_cases.h"

using lamina::DType;
using lamina::Shape;
using lamina::Tensor;

namespace {

const auto whole = [](std::int64_t i) { return lamina::Attr(i); };

const AddCases cases{
    {.op = "gather", .in = {uniform({5, 3}), integers({4}, 5)}},
    {.op = "gather",
     .in = {uniform({2, 5, 3}), integers({4, 2}, 5, 2, DType::i64)},
     .attrs = {{"axis", whole(1)}}},
    {.op = "gather", .in = {uniform({5}), integers({}, 5)}},
    {.op = "gather", .in = {uniform({3, 4}), integers({2}, 4)}, .attrs = {{"axis", whole(-1)}}},
    {.op = "embedding", .in = {uniform({7, 4}), integers({3, 5}, 7)}},
    {.op = "embedding", .in = {uniform({7, 1}), integers({6}, 7, 3, DType::i64)}},
    {.op = "take_along_axis",
     .in = {uniform({3, 4}), integers({3, 2}, 4)},
     .attrs = {{"axis", whole(1)}}},
    {.op = "take_along_axis",
     .in = {uniform({3, 4}), integers({6, 4}, 3)},
     .attrs = {{"axis", whole(0)}}},
    {.op = "top_k", .in = {distinct({3, 7})}, .attrs = {{"k", whole(3)}}},
    {.op = "gather_nd", .in = {uniform({3, 4, 2}), integers({5, 2}, 3)}},
    {.op = "gather_nd", .in = {uniform({3, 4}), integers({2, 2, 1}, 3, 2, DType::i64)}},
    {.op = "scatter_add",
     .in = {integers({5, 1}, 3), uniform({5, 2})},
     .attrs = {{"shape", Shape{3, 2}}}},
    {.op = "scatter_add",
     .in = {integers({4, 2}, 3), uniform({4})},
     .attrs = {{"shape", Shape{3, 4}}}},
};

}  // namespace
