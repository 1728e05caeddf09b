// The stored types: conversion, ops on them, gradients through them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernel_testing.h"
#include "kernels/narrow.h"
#include "lamina/plan.h"

using namespace lamina;
using namespace lamina::kernels;

namespace {

// What the code of a float with these bit counts means, by definition.
double meaning(std::uint32_t code, int exponent_bits, int mantissa_bits, bool finite) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const std::uint32_t size = code & ((1u << (exponent_bits + mantissa_bits)) - 1);
  const std::uint32_t top = (1u << exponent_bits) - 1;
  const std::uint32_t exponent = size >> mantissa_bits;
  const std::uint32_t mantissa = size & ((1u << mantissa_bits) - 1);
  const double sign = code == size ? 1 : -1;
  if (finite ? size == (1u << (exponent_bits + mantissa_bits)) - 1
             : exponent == top && mantissa != 0)
    return std::numeric_limits<double>::quiet_NaN();
  if (!finite && exponent == top) return sign * std::numeric_limits<double>::infinity();
  const int scale = exponent == 0 ? 1 - bias : static_cast<int>(exponent) - bias;
  return sign * std::ldexp((exponent == 0 ? 0 : 1 << mantissa_bits) + static_cast<double>(mantissa),
                           scale - mantissa_bits);
}

template <class N, class Bits>
void expect_exact(int exponent_bits, int mantissa_bits, bool finite) {
  const std::uint32_t codes = 1u << (1 + exponent_bits + mantissa_bits);
  for (std::uint32_t code = 0; code < codes; ++code) {
    N n;
    n.bits = static_cast<Bits>(code);
    const double want = meaning(code, exponent_bits, mantissa_bits, finite);
    const auto got = static_cast<float>(n);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << code;
      EXPECT_TRUE(std::isnan(static_cast<float>(N(got)))) << code;
      continue;
    }
    ASSERT_EQ(got, want) << code;
    ASSERT_EQ(N(got).bits, code) << got;
    if (code >= codes / 2 || std::isinf(got)) continue;
    // Half way to the next number: to the even code; a little beside: to the nearer one.
    const double next = meaning(code + 1, exponent_bits, mantissa_bits, finite);
    if (!std::isfinite(next)) continue;
    const double middle = (want + next) / 2;
    const double aside = (next - want) * 1e-9;
    ASSERT_EQ(N(middle).bits, code % 2 == 0 ? code : code + 1) << middle;
    ASSERT_EQ(N(middle + aside).bits, code + 1) << middle;
    ASSERT_EQ(N(middle - aside).bits, code) << middle;
    ASSERT_EQ(N(-middle - aside).bits, (code + 1) | codes >> 1) << middle;
  }
}

TEST(Narrow, EveryCodeMeansItsNumberAndRoundingIsToTheNearest) {
  expect_exact<Half, std::uint16_t>(5, 10, false);
  expect_exact<Float8E4M3, std::uint8_t>(4, 3, true);
  expect_exact<Float8E5M2, std::uint8_t>(5, 2, false);
}

TEST(Narrow, BFloat16IsTheUpperHalfOfFloat) {
  for (std::uint32_t code = 0; code < 0x10000u; ++code) {
    const auto x = std::bit_cast<float>(code << 16);
    if (std::isnan(x)) continue;
    BFloat16 n;
    n.bits = static_cast<std::uint16_t>(code);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(static_cast<float>(n)), code << 16);
    ASSERT_EQ(BFloat16(x).bits, code);
    if ((code & 0x7fffu) >= 0x7f7fu) continue;
    const auto middle = std::bit_cast<float>(code << 16 | 0x8000u);
    const auto above = std::bit_cast<float>(code << 16 | 0x8001u);
    ASSERT_EQ(BFloat16(middle).bits, code % 2 == 0 ? code : code + 1);
    ASSERT_EQ(BFloat16(above).bits, code + 1);
  }
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::nanf("")))));
  EXPECT_TRUE(std::isinf(static_cast<float>(BFloat16(3.4e38f))));
}

TEST(Narrow, TooLargeBecomesInfinityOrNan) {
  EXPECT_EQ(static_cast<float>(Half(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(static_cast<float>(Half(65520.0f))));
  EXPECT_TRUE(std::isinf(static_cast<float>(Half(-1e30))));
  EXPECT_EQ(static_cast<float>(Float8E4M3(448.0f)), 448.0f);
  EXPECT_TRUE(std::isnan(static_cast<float>(Float8E4M3(1000.0f))));
  EXPECT_TRUE(std::isinf(static_cast<float>(Float8E5M2(1e9f))));
}

Attrs to(const char* dtype) { return {{"dtype", std::string(dtype)}}; }
Tensor as(const Tensor& t, const char* dtype) { return run_op("cast", {{t}}, to(dtype))[0]; }
std::vector<float> floats(const Tensor& t) {
  const Tensor wide = as(t, "float32");
  return {wide.data<float>(), wide.data<float>() + wide.size()};
}

TEST(Narrow, CastsBetweenAllTypesKeepSmallWholeNumbers) {
  const Tensor x = Tensor::of<float>({5}, {0, 1, 2, 7, 64});
  const char* names[] = {"float32", "float64",       "int32",      "int64", "uint8",
                         "float16", "bfloat16",      "int8",       "int16", "uint16",
                         "uint32",  "float8_e4m3fn", "float8_e5m2"};
  for (const char* from : names)
    for (const char* name : names)
      EXPECT_EQ(floats(as(as(x, from), name)), floats(x)) << from << " to " << name;
}

TEST(Narrow, IntegersWrap) {
  const Tensor x = Tensor::of<std::int64_t>({3}, {300, -1, 65536 + 5});
  EXPECT_EQ(floats(as(x, "int8")), (std::vector<float>{44, -1, 5}));
  EXPECT_EQ(floats(as(x, "uint16")), (std::vector<float>{300, 65535, 5}));
  EXPECT_EQ(floats(as(as(x, "int32"), "uint32"))[1], 4294967295.0f);
  const Tensor a = as(Tensor::of<std::int32_t>({1}, {100}), "int8");
  EXPECT_EQ(floats(run_op("add", {{a, a}})[0]), std::vector<float>{-56});
}

TEST(Narrow, OpsComputeWidenedAndRoundWhatFollowsTheOperands) {
  const Tensor x = as(Tensor::of<float>({4}, {0.1f, 3, 2.5f, -1}), "float16");
  const Tensor y = run_op("exp", {{x}})[0];
  EXPECT_EQ(y.dtype(), DType::f16);
  EXPECT_EQ(floats(y), floats(as(run_op("exp", {{as(x, "float32")}})[0], "float16")));
  EXPECT_EQ(run_op("less", {{x, x}})[0].dtype(), DType::boolean);
  EXPECT_EQ(run_op("argmax", {{x}}, {{"axis", std::int64_t{0}}})[0].dtype(), DType::i64);
  const auto top = run_op("top_k", {{as(x, "int8")}}, {{"k", std::int64_t{2}}});
  EXPECT_EQ(top[0].dtype(), DType::i8);
  EXPECT_EQ(top[1].dtype(), DType::i32);
  const Tensor moved = run_op("reshape", {{x}}, {{"shape", Shape{2, 2}}})[0];
  EXPECT_EQ(moved.raw(), x.raw());  // a view, whatever the type
  const auto parts = run_op("split", {{x}}, {{"axis", std::int64_t{0}}, {"sizes", Shape{1, 3}}});
  EXPECT_EQ(floats(run_op("concat", {{parts[1], parts[0]}}, {{"axis", std::int64_t{0}}})[0])[3],
            floats(x)[0]);
}

TEST(Narrow, AnAttributeMayAskForANarrowType) {
  const Tensor ids = Tensor::of<std::int32_t>({2}, {0, 2});
  Attrs attrs = to("bfloat16");
  attrs["classes"] = std::int64_t{3};
  const Tensor y = run_op("one_hot", {{ids}}, attrs)[0];
  EXPECT_EQ(y.dtype(), DType::bf16);
  EXPECT_EQ(floats(y), (std::vector<float>{1, 0, 0, 0, 0, 1}));
  const std::vector<Spec> specs{ids.spec()};
  EXPECT_EQ(infer("one_hot", specs, attrs)[0].dtype, DType::bf16);
}

// sum(tanh(x w)) with x in float16: the plan gives what the eager driver does, and the gradients
// have the types of what they belong to.
TEST(Narrow, GraphsAndGradientsCastAroundTheOps) {
  const Tensor x = as(Tensor::of<float>({2, 2}, {1, 2, 3, 4}), "float16");
  const Tensor w = as(Tensor::of<float>({2, 2}, {0.1f, 0.2f, 0.3f, 0.4f}), "float16");
  Graph graph;
  Builder b(graph);
  const ValueId in = b.input(x.spec()), weight = b.constant(w);
  const ValueId y = b.emit("tanh", {b.emit("matmul", {in, weight})});
  const ValueId loss = b.emit("sum", {y});
  const ValueId wrt[] = {in};
  const ValueId dx = gradients(graph, loss, wrt)[0];
  EXPECT_EQ(b.dtype(y), DType::f16);
  EXPECT_EQ(b.spec(dx), x.spec());
  b.output(loss);
  b.output(dx);
  const auto out = Program::make(std::move(graph))->run({{x}});
  const Tensor eager = run_op("sum", {{run_op("tanh", {{run_op("matmul", {{x, w}})[0]}})[0]}})[0];
  EXPECT_EQ(floats(out[0]), floats(eager));
  EXPECT_NEAR(floats(out[1])[0],
              0.1 * (1 - std::pow(std::tanh(0.7), 2)) + 0.2 * (1 - std::pow(std::tanh(1.0), 2)),
              1e-3);
}

TEST(Narrow, ScalarsAndNeutralElements) {
  Graph graph;
  Builder b(graph);
  const ValueId in = b.input({DType::bf16, {3}});
  const ValueId one = b.scalar(DType::bf16, 1.0);
  b.output(b.cast(b.mul(b.cast(in, DType::f32), b.cast(one, DType::f32)), DType::bf16));
  simplify(graph);
  EXPECT_EQ(b.dtype(one), DType::bf16);
  EXPECT_EQ(number_at(graph.values[one].constant.raw(), DType::bf16), 1.0);
}

}  // namespace
