#include "op_cases.h"

using lamina::Shape;

namespace {

const std::string kSame = "same";

const AddCases cases{
    {.op = "max_pool", .in = {distinct({2, 4, 6, 3})}, .attrs = {{"pool_size", Shape{2, 2}}}},
    {.op = "max_pool", .in = {distinct({1, 5, 7, 2})}, .attrs = {{"pool_size", Shape{2, 3}}}},
    // overlapping windows, with edges; gaps between windows; one row; more channels than lanes
    {.op = "max_pool",
     .in = {distinct({1, 5, 6, 2})},
     .attrs = {{"pool_size", Shape{3, 3}}, {"strides", Shape{1, 2}}, {"padding", kSame}}},
    {.op = "max_pool",
     .in = {distinct({1, 6, 7, 2})},
     .attrs = {{"pool_size", Shape{1, 2}}, {"strides", Shape{3, 3}}}},
    {.op = "max_pool",
     .in = {distinct({2, 1, 9, 2})},
     .attrs = {{"pool_size", Shape{1, 3}}, {"strides", Shape{1, 2}}}},
    {.op = "max_pool", .in = {distinct({1, 4, 4, 19})}, .attrs = {{"pool_size", Shape{2, 2}}}},
    {.op = "max_pool", .in = {distinct({0, 4, 4, 2})}, .attrs = {{"pool_size", Shape{2, 2}}}},

    {.op = "avg_pool", .in = {uniform({2, 4, 6, 3})}, .attrs = {{"pool_size", Shape{2, 2}}}},
    {.op = "avg_pool",
     .in = {uniform({1, 5, 6, 2})},
     .attrs = {{"pool_size", Shape{3, 3}}, {"strides", Shape{1, 2}}, {"padding", kSame}}},
    {.op = "avg_pool",
     .in = {uniform({1, 6, 7, 2})},
     .attrs = {{"pool_size", Shape{1, 2}}, {"strides", Shape{3, 3}}}},
    {.op = "avg_pool", .in = {uniform({1, 4, 4, 19})}, .attrs = {{"pool_size", Shape{2, 2}}}},
    {.op = "avg_pool_grad",
     .in = {uniform({1, 5, 3, 2})},
     .attrs = {{"pool_size", Shape{3, 3}},
               {"strides", Shape{1, 2}},
               {"padding", kSame},
               {"input_shape", Shape{1, 5, 6, 2}}}},

    // one and three spatial axes; parts of equal size, with and without overlap
    {.op = "max_pool",
     .in = {distinct({2, 9, 3})},
     .attrs = {{"pool_size", Shape{3}}, {"strides", Shape{2}}, {"padding", kSame}}},
    {.op = "max_pool",
     .in = {distinct({1, 4, 5, 3, 2})},
     .attrs = {{"pool_size", Shape{2, 3, 2}}, {"strides", Shape{2, 1, 1}}, {"padding", kSame}}},
    {.op = "max_pool", .in = {distinct({2, 7, 6, 2})}, .attrs = {{"output_size", Shape{3, 2}}}},
    {.op = "max_pool", .in = {distinct({1, 3, 2, 2})}, .attrs = {{"output_size", Shape{5, 2}}}},
    {.op = "avg_pool",
     .in = {uniform({2, 9, 3})},
     .attrs = {{"pool_size", Shape{2}}, {"strides", Shape{3}}}},
    {.op = "avg_pool",
     .in = {uniform({1, 4, 5, 3, 2})},
     .attrs = {{"pool_size", Shape{2, 3, 2}}, {"strides", Shape{2, 1, 1}}, {"padding", kSame}}},
    {.op = "avg_pool",
     .in = {uniform({1, 4, 5, 6, 2})},
     .attrs = {{"output_size", Shape{3, 2, 4}}}},
    {.op = "avg_pool", .in = {uniform({2, 5, 3})}, .attrs = {{"output_size", Shape{8}}}},
};

}  // namespace
