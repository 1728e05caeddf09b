// The gradient checks' table: cases_<family>.cpp adds rows, test_op_gradients.cpp walks them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "lamina/graph.h"

struct OpCase {
  std::string op;
  std::vector<lamina::Tensor> in;  // float64 where floating; away from kinks and ties
  lamina::Attrs attrs = {};
  std::vector<int> differentiable = {};  // inputs to check; empty: all floating ones
  double tolerance = 1e-6;               // relative to max(1, |gradient|)
  int output = -1;                       // the output to check; -1: all floating ones
};

std::vector<OpCase>& op_cases();

// static const AddCases cases{{.op = "add", .in = {uniform({2, 3}), uniform({3})}}, ...};
struct AddCases {
  AddCases(std::initializer_list<OpCase> cases);
};

// float64, independent draws in [lo, hi).
lamina::Tensor uniform(lamina::Shape shape, double lo = -1, double hi = 1, std::uint64_t seed = 1);
// float64, evenly spaced in [lo, hi] in a shuffled order: no two alike.
lamina::Tensor distinct(lamina::Shape shape, double lo = -1, double hi = 1, std::uint64_t seed = 1);
// float64: start, start + step, ...
lamina::Tensor arange_like(lamina::Shape shape, double start = 0, double step = 1);
// Whole numbers in [0, bound).
lamina::Tensor integers(lamina::Shape shape, std::int64_t bound, std::uint64_t seed = 1,
                        lamina::DType dtype = lamina::DType::i32);
// Floating tensors in another floating type; others as they are.
lamina::Tensor to_floating(const lamina::Tensor& x, lamina::DType dtype);
