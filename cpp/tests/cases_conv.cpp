#include "op_cases.h"

using lamina::Attrs;
using lamina::Shape;

namespace {

const std::string kSame = "same";

const AddCases cases{
    {.op = "conv2d", .in = {uniform({2, 5, 6, 3}), uniform({3, 2, 3, 4}, -1, 1, 2)}},
    {.op = "conv2d",
     .in = {uniform({2, 5, 6, 1}), uniform({3, 3, 1, 5}, -1, 1, 2), uniform({5}, -1, 1, 3)},
     .attrs = {{"padding", kSame}, {"activation", std::string("tanh")}}},
    {.op = "conv2d",
     .in = {uniform({1, 7, 6, 2}), uniform({3, 2, 2, 3}, -1, 1, 2), uniform({3}, -1, 1, 3)},
     .attrs = {{"strides", Shape{2, 3}}, {"activation", std::string("sigmoid")}}},
    {.op = "conv2d",
     .in = {uniform({1, 7, 6, 2}), uniform({3, 4, 2, 3}, -1, 1, 2)},
     .attrs = {{"strides", Shape{2, 2}}, {"padding", kSame}}},
    {.op = "conv2d",
     .in = {uniform({1, 7, 8, 2}), uniform({3, 2, 2, 3}, -1, 1, 2)},
     .attrs = {{"dilations", Shape{2, 3}}}},
    {.op = "conv2d",
     .in = {uniform({1, 5, 5, 2}), uniform({3, 3, 2, 3}, -1, 1, 2)},
     .attrs = {{"dilations", Shape{2, 2}}, {"padding", kSame}}},
    // pointwise, with and without a stride
    {.op = "conv2d",
     .in = {uniform({2, 3, 4, 5}), uniform({1, 1, 5, 6}, -1, 1, 2), uniform({6}, -1, 1, 3)}},
    {.op = "conv2d",
     .in = {uniform({2, 5, 4, 3}), uniform({1, 1, 3, 2}, -1, 1, 2)},
     .attrs = {{"strides", Shape{2, 2}}}},
    // groups; one filter per channel; two filters per channel
    {.op = "conv2d",
     .in = {uniform({1, 5, 5, 4}), uniform({3, 3, 2, 6}, -1, 1, 2), uniform({6}, -1, 1, 3)},
     .attrs = {{"groups", std::int64_t{2}}, {"padding", kSame}}},
    {.op = "conv2d",
     .in = {uniform({1, 6, 5, 4}), uniform({3, 2, 2, 2}, -1, 1, 2)},
     .attrs = {{"groups", std::int64_t{2}}, {"strides", Shape{2, 1}}}},
    {.op = "conv2d",
     .in = {uniform({2, 5, 5, 3}), uniform({3, 3, 1, 3}, -1, 1, 2), uniform({3}, -1, 1, 3)},
     .attrs = {{"groups", std::int64_t{3}},
               {"padding", kSame},
               {"activation", std::string("tanh")}}},
    {.op = "conv2d",
     .in = {uniform({1, 6, 7, 3}), uniform({3, 2, 1, 3}, -1, 1, 2)},
     .attrs = {{"groups", std::int64_t{3}}, {"strides", Shape{2, 3}}, {"padding", kSame}}},
    {.op = "conv2d",
     .in = {uniform({1, 5, 5, 2}), uniform({2, 2, 1, 4}, -1, 1, 2)},
     .attrs = {{"groups", std::int64_t{2}}}},
    // one dimension; no images at all
    {.op = "conv2d", .in = {uniform({2, 1, 9, 3}), uniform({1, 4, 3, 2}, -1, 1, 2)}},
    {.op = "conv2d", .in = {uniform({0, 5, 5, 2}), uniform({3, 3, 2, 3}, -1, 1, 2)}},

    {.op = "conv2d_input_grad",
     .in = {uniform({1, 3, 3, 3}), uniform({3, 2, 2, 3}, -1, 1, 2)},
     .attrs = {{"input_shape", Shape{1, 7, 6, 2}}, {"strides", Shape{2, 2}}}},
    {.op = "conv2d_input_grad",
     .in = {uniform({1, 5, 5, 4}), uniform({3, 3, 1, 4}, -1, 1, 2)},
     .attrs = {{"input_shape", Shape{1, 5, 5, 2}},
               {"padding", kSame},
               {"groups", std::int64_t{2}}}},
    {.op = "conv2d_weight_grad",
     .in = {uniform({1, 5, 6, 2}), uniform({1, 5, 6, 3}, -1, 1, 2)},
     .attrs = {{"kernel_shape", Shape{3, 2, 2, 3}}, {"padding", kSame}}},
    {.op = "conv2d_weight_grad",
     .in = {uniform({1, 6, 6, 2}), uniform({1, 3, 3, 2}, -1, 1, 2)},
     .attrs = {{"kernel_shape", Shape{2, 2, 1, 2}},
               {"strides", Shape{2, 2}},
               {"groups", std::int64_t{2}}}},
};

}  // namespace
