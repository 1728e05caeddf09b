// Helpers of the tests that compare ops with plain loops, bit by bit where bits are promised.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "lamina/graph.h"
#include "lamina/runtime.h"
#include "op_cases.h"

inline lamina::Tensor run_one(std::string_view op, const std::vector<lamina::Tensor>& in,
                              const lamina::Attrs& attrs = {}) {
  return lamina::run_op(op, in, attrs)[0];
}

inline bool same_bits(const lamina::Tensor& a, const lamina::Tensor& b) {
  return a.spec() == b.spec() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

inline void expect_near(const lamina::Tensor& a, const lamina::Tensor& b, double tolerance,
                        const std::string& what = "") {
  ASSERT_EQ(a.shape(), b.shape()) << what;
  const lamina::Tensor x = to_floating(a, lamina::DType::f64),
                       y = to_floating(b, lamina::DType::f64);
  for (std::size_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(x.data<double>()[i], y.data<double>()[i], tolerance) << what << " element " << i;
}

inline lamina::Tensor f32(const lamina::Tensor& x) { return to_floating(x, lamina::DType::f32); }

inline std::size_t count_ops(const lamina::Graph& g, std::string_view name) {
  std::size_t n = 0;
  for (const lamina::Node& node : g.nodes) n += lamina::op_name(node) == name;
  return n;
}

// Numbers for the inputs of a graph, all of one floating dtype; small whole ones make ties.
inline std::vector<lamina::Tensor> operands(const lamina::Graph& g, lamina::DType dtype,
                                            bool whole_numbers = false) {
  std::vector<lamina::Tensor> in;
  unsigned seed = 1;
  for (const lamina::ValueId id : g.inputs) {
    lamina::Tensor t = uniform(g.values[id].spec.shape, -2, 2, ++seed);
    for (std::size_t i = 0; i < t.size() && whole_numbers; ++i)
      t.data<double>()[i] = std::round(t.data<double>()[i]);
    in.push_back(to_floating(t, dtype));
  }
  return in;
}

// Row `i` of the first axis, kept as an axis of size 1.
inline lamina::Tensor row_of(const lamina::Tensor& x, lamina::Dim i) {
  lamina::Spec spec = x.spec();
  const std::size_t bytes = x.bytes() / static_cast<std::size_t>(spec.shape[0]);
  spec.shape[0] = 1;
  lamina::Tensor row(spec);
  std::memcpy(row.raw(),
              static_cast<const std::byte*>(x.raw()) + static_cast<std::size_t>(i) * bytes, bytes);
  return row;
}

// The same op on one thread and on four.
inline void expect_same_for_all_threads(std::string_view op, const std::vector<lamina::Tensor>& in,
                                        const lamina::Attrs& attrs = {}) {
  const int before = lamina::num_threads();
  lamina::set_num_threads(1);
  const auto serial = lamina::run_op(op, in, attrs);
  lamina::set_num_threads(4);
  const auto threaded = lamina::run_op(op, in, attrs);
  lamina::set_num_threads(before);
  for (std::size_t i = 0; i < serial.size(); ++i)
    EXPECT_TRUE(same_bits(serial[i], threaded[i])) << op << ", output " << i;
}

// Every row of x run alone gives the bits it has within the batch. x is the first operand.
inline void expect_rows_independent(std::string_view op, std::vector<lamina::Tensor> in,
                                    const lamina::Attrs& attrs = {}) {
  const lamina::Tensor x = in[0], whole = run_one(op, in, attrs);
  for (lamina::Dim i = 0; i < x.shape()[0]; ++i) {
    in[0] = row_of(x, i);
    EXPECT_TRUE(same_bits(run_one(op, in, attrs), row_of(whole, i))) << op << ", row " << i;
  }
}

// The text of the error that the shape rule raises.
inline std::string refusal(std::string_view op, const std::vector<lamina::Shape>& shapes,
                           const lamina::Attrs& attrs = {}) {
  std::vector<lamina::Spec> specs;
  for (const lamina::Shape& s : shapes) specs.push_back({lamina::DType::f32, s});
  try {
    lamina::infer(op, specs, attrs);
  } catch (const lamina::Error& e) {
    return e.what();
  }
  return "no error";
}

inline lamina::Shape inferred(std::string_view op, const std::vector<lamina::Shape>& shapes,
                              const lamina::Attrs& attrs = {}) {
  std::vector<lamina::Spec> specs;
  for (const lamina::Shape& s : shapes) specs.push_back({lamina::DType::f32, s});
  return lamina::infer(op, specs, attrs)[0].shape;
}
