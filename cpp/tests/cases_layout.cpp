#include "op_cases.h"

using lamina::Shape;

namespace {

const auto whole = [](std::int64_t i) { return lamina::Attr(i); };

const AddCases cases{
    {.op = "reshape", .in = {uniform({3, 4})}, .attrs = {{"shape", Shape{2, -1}}}},
    {.op = "reshape", .in = {uniform({0, 4})}, .attrs = {{"shape", Shape{4, 0}}}},
    {.op = "transpose", .in = {uniform({3, 4})}},
    {.op = "transpose", .in = {uniform({2, 3, 4, 5})}, .attrs = {{"perm", Shape{2, 0, 3, 1}}}},
    {.op = "transpose", .in = {uniform({17, 1, 33})}, .attrs = {{"perm", Shape{2, 1, 0}}}},
    {.op = "broadcast_to", .in = {uniform({3, 1})}, .attrs = {{"shape", Shape{2, 3, 4}}}},
    {.op = "broadcast_to", .in = {uniform({})}, .attrs = {{"shape", Shape{5}}}},
    {.op = "flip", .in = {uniform({2, 3, 4})}, .attrs = {{"axes", Shape{0, 2}}}},
    {.op = "repeat", .in = {uniform({2, 3})}, .attrs = {{"repeats", whole(3)}, {"axis", whole(0)}}},
    {.op = "repeat",
     .in = {uniform({2, 3})},
     .attrs = {{"repeats", whole(2)}, {"axis", whole(-1)}}},

    {.op = "slice",
     .in = {uniform({5, 6})},
     .attrs = {{"begin", Shape{1, 2}}, {"end", Shape{4, 5}}}},
    {.op = "slice",
     .in = {uniform({5, 6})},
     .attrs = {{"begin", Shape{0, 1}}, {"end", Shape{5, 6}}, {"strides", Shape{2, 3}}}},
    {.op = "slice",
     .in = {uniform({5, 6})},
     .attrs = {{"begin", Shape{4, 5}}, {"end", Shape{-1, 0}}, {"strides", Shape{-1, -2}}}},
    {.op = "slice",
     .in = {uniform({5, 6})},
     .attrs = {{"begin", Shape{2, 0}}, {"end", Shape{2, 6}}}},
    {.op = "slice_scatter",
     .in = {uniform({3, 2})},
     .attrs = {{"shape", Shape{5, 6}},
               {"begin", Shape{0, 1}},
               {"end", Shape{5, 6}},
               {"strides", Shape{2, 3}}}},

    {.op = "concat",
     .in = {uniform({2, 3}), uniform({2, 1}), uniform({2, 4})},
     .attrs = {{"axis", whole(1)}}},
    {.op = "concat", .in = {uniform({2, 3}), uniform({1, 3})}, .attrs = {{"axis", whole(0)}}},
    {.op = "concat",
     .in = {uniform({2, 3, 2}), uniform({2, 0, 2})},
     .attrs = {{"axis", whole(-2)}}},
    {.op = "split",
     .in = {uniform({2, 6})},
     .attrs = {{"axis", whole(1)}, {"sizes", Shape{1, 3, 2}}}},
    {.op = "split", .in = {uniform({4, 2})}, .attrs = {{"axis", whole(0)}, {"sizes", Shape{3, 1}}}},
    {.op = "split",
     .in = {uniform({2, 6})},
     .attrs = {{"axis", whole(1)}, {"sizes", Shape{4, 2}}},
     .output = 1},

    {.op = "pad",
     .in = {uniform({3, 4})},
     .attrs = {{"low", Shape{1, 0}}, {"high", Shape{2, 3}}, {"value", 1.5}}},
    {.op = "pad",
     .in = {uniform({3, 4})},
     .attrs = {{"low", Shape{2, 1}}, {"high", Shape{1, 3}}, {"mode", std::string("reflect")}}},
    {.op = "pad",
     .in = {uniform({3, 4})},
     .attrs = {{"low", Shape{2, 1}}, {"high", Shape{3, 4}}, {"mode", std::string("symmetric")}}},

    {.op = "tril", .in = {uniform({2, 3, 4})}},
    {.op = "tril", .in = {uniform({4, 4})}, .attrs = {{"k", whole(-1)}}},
    {.op = "triu", .in = {uniform({4, 3})}, .attrs = {{"k", whole(1)}}},
    {.op = "diag", .in = {uniform({3})}, .attrs = {{"k", whole(1)}}},
    {.op = "diag", .in = {uniform({3, 5})}, .attrs = {{"k", whole(-1)}}},
    {.op = "diag", .in = {uniform({4, 4})}},
};

}  // namespace
