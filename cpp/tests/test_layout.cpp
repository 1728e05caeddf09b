#include "kernel_testing.h"

using namespace lamina;

namespace {

Attr whole(Dim i) { return i; }

void expect_values(const Tensor& y, const Shape& shape, const std::vector<double>& values) {
  EXPECT_EQ(y.shape(), shape);
  ASSERT_EQ(y.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(y.data<double>()[i], values[i]) << i;
}

TEST(Layout, TransposesEveryOrder) {
  const std::pair<Shape, Shape> cases[] = {{{5, 7}, {1, 0}},
                                           {{40, 33}, {1, 0}},
                                           {{3, 4, 5}, {2, 1, 0}},
                                           {{3, 4, 5}, {0, 2, 1}},
                                           {{3, 4, 5}, {1, 0, 2}},
                                           {{2, 3, 4, 5}, {3, 0, 2, 1}},
                                           {{2, 17, 19, 3}, {0, 2, 1, 3}},
                                           {{1, 6, 1, 5}, {3, 2, 1, 0}},
                                           {{0, 3}, {1, 0}},
                                           {{200, 300}, {1, 0}}};
  for (const auto& [shape, perm] : cases)
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor x = to_floating(arange_like(shape), dtype);
      const Tensor y = run_one("transpose", {x}, {{"perm", perm}});
      const Tensor from = to_floating(x, DType::f64), to = to_floating(y, DType::f64);
      std::vector<Dim> step(shape.size(), 1);
      for (std::size_t i = shape.size() - 1; i-- > 0;) step[i] = step[i + 1] * shape[i + 1];
      for (std::size_t flat = 0; flat < to.size(); ++flat) {
        Dim rest = static_cast<Dim>(flat), source = 0;
        for (std::size_t i = perm.size(); i-- > 0;) {
          const auto axis = static_cast<std::size_t>(perm[i]);
          source += rest % shape[axis] * step[axis];
          rest /= shape[axis];
        }
        ASSERT_EQ(to.data<double>()[flat], from.data<double>()[source])
            << to_string(shape) << to_string(perm);
      }
      expect_same_for_all_threads("transpose", {x}, {{"perm", perm}});
    }
}

TEST(Layout, SlicesLikePython) {
  const Tensor x = arange_like({3, 4});
  expect_values(run_one("slice", {x}, {{"begin", Shape{1, 1}}, {"end", Shape{3, 3}}}), {2, 2},
                {5, 6, 9, 10});
  expect_values(
      run_one("slice", {x},
              {{"begin", Shape{2, 3}}, {"end", Shape{-1, -1}}, {"strides", Shape{-2, -2}}}),
      {2, 2}, {11, 9, 3, 1});
  expect_values(run_one("slice", {x},
                        {{"begin", Shape{0, 0}}, {"end", Shape{3, 4}}, {"strides", Shape{2, 3}}}),
                {2, 2}, {0, 3, 8, 11});
  expect_values(run_one("slice", {x}, {{"begin", Shape{1, 4}}, {"end", Shape{2, 4}}}), {1, 0}, {});
  EXPECT_EQ(inferred("slice", {{kUnknown, 4}}, {{"begin", Shape{0, 1}}, {"end", Shape{1, 3}}}),
            (Shape{1, 2}));
  EXPECT_NE(
      refusal("slice", {{3}}, {{"begin", Shape{1}}, {"end", Shape{5}}}).find("reaches beyond"),
      std::string::npos);
}

TEST(Layout, JoinsAndParts) {
  const Tensor a = arange_like({2, 2}), b = arange_like({2, 1}, 10);
  expect_values(run_one("concat", {a, b}, {{"axis", whole(1)}}), {2, 3}, {0, 1, 10, 2, 3, 11});
  expect_values(run_one("concat", {a, a}, {{"axis", whole(0)}}), {4, 2}, {0, 1, 2, 3, 0, 1, 2, 3});
  const auto parts = run_op("split", std::vector<Tensor>{arange_like({2, 3})},
                            {{"axis", whole(1)}, {"sizes", Shape{1, 2}}});
  expect_values(parts[0], {2, 1}, {0, 3});
  expect_values(parts[1], {2, 2}, {1, 2, 4, 5});
  expect_same_for_all_threads("concat", {uniform({3000, 20}), uniform({3000, 70})},
                              {{"axis", whole(1)}});
  EXPECT_EQ(inferred("concat", {{kUnknown, 2}, {3, 4}}, {{"axis", whole(1)}}), (Shape{3, 6}));
  EXPECT_NE(refusal("concat", {{2, 3}, {4, 3}}, {{"axis", whole(1)}}).find("differ in axis 0"),
            std::string::npos);
  EXPECT_NE(
      refusal("split", {{2, 3}}, {{"axis", whole(1)}, {"sizes", Shape{1, 1}}}).find("add up to 2"),
      std::string::npos);
}

TEST(Layout, PacksAtTheOffsetsOfVariables) {
  const std::vector<Tensor> in{f32(arange_like({3}, 1)), f32(arange_like({20}, 7)),
                               f32(arange_like({}, 9))};
  std::vector<Spec> specs;
  for (const Tensor& t : in) specs.push_back(t.spec());
  const auto offsets = packed_offsets(specs);
  const Tensor y = run_one("pack", in);
  ASSERT_EQ(y.bytes(), offsets.back());
  std::vector<float> want(y.size(), 0.f);
  for (std::size_t k = 0; k < in.size(); ++k)
    std::copy_n(in[k].data<float>(), in[k].size(),
                want.begin() + static_cast<Dim>(offsets[k] / sizeof(float)));
  EXPECT_EQ(std::memcmp(y.raw(), want.data(), y.bytes()), 0);
}

TEST(Layout, Pads) {
  const Tensor x = arange_like({2, 3}, 1);
  const auto pad = [&](const char* mode) {
    return run_one(
        "pad", {x},
        {{"low", Shape{0, 2}}, {"high", Shape{1, 1}}, {"mode", std::string(mode)}, {"value", -1.}});
  };
  expect_values(pad("constant"), {3, 6},
                {-1, -1, 1, 2, 3, -1, -1, -1, 4, 5, 6, -1, -1, -1, -1, -1, -1, -1});
  expect_values(pad("reflect"), {3, 6}, {3, 2, 1, 2, 3, 2, 6, 5, 4, 5, 6, 5, 3, 2, 1, 2, 3, 2});
  expect_values(pad("symmetric"), {3, 6}, {2, 1, 1, 2, 3, 3, 5, 4, 4, 5, 6, 6, 5, 4, 4, 5, 6, 6});
  EXPECT_NE(refusal("pad", {{2}},
                    {{"low", Shape{2}}, {"high", Shape{0}}, {"mode", std::string("reflect")}})
                .find("at most 1"),
            std::string::npos);
}

TEST(Layout, RepeatsFlipsAndTriangles) {
  const Tensor x = arange_like({2, 2}, 1);
  expect_values(run_one("repeat", {x}, {{"repeats", whole(2)}, {"axis", whole(1)}}), {2, 4},
                {1, 1, 2, 2, 3, 3, 4, 4});
  expect_values(run_one("repeat", {x}, {{"repeats", whole(2)}, {"axis", whole(0)}}), {4, 2},
                {1, 2, 1, 2, 3, 4, 3, 4});
  expect_values(run_one("flip", {x}, {{"axes", Shape{0, 1}}}), {2, 2}, {4, 3, 2, 1});
  expect_values(run_one("tril", {arange_like({2, 3}, 1)}), {2, 3}, {1, 0, 0, 4, 5, 0});
  expect_values(run_one("triu", {arange_like({2, 3}, 1)}, {{"k", whole(1)}}), {2, 3},
                {0, 2, 3, 0, 0, 6});
  expect_values(run_one("diag", {arange_like({2}, 1)}, {{"k", whole(-1)}}), {3, 3},
                {0, 0, 0, 1, 0, 0, 0, 2, 0});
  expect_values(run_one("diag", {arange_like({2, 3}, 1)}, {{"k", whole(1)}}), {2}, {2, 6});
}

TEST(Layout, ReshapesAndBroadcasts) {
  EXPECT_EQ(inferred("reshape", {{6, 4}}, {{"shape", Shape{-1, 8}}}), (Shape{3, 8}));
  EXPECT_EQ(inferred("reshape", {{kUnknown, 4}}, {{"shape", Shape{-1, 2, 2}}}),
            (Shape{kUnknown, 2, 2}));
  EXPECT_NE(refusal("reshape", {{6}}, {{"shape", Shape{4}}}).find("cannot reshape 6 elements"),
            std::string::npos);
  EXPECT_NE(refusal("reshape", {{6}}, {{"shape", Shape{-1, -1}}}).find("only one size"),
            std::string::npos);
  expect_values(run_one("broadcast_to", {arange_like({2, 1})}, {{"shape", Shape{2, 3}}}), {2, 3},
                {0, 0, 0, 1, 1, 1});
  EXPECT_NE(refusal("broadcast_to", {{3}}, {{"shape", Shape{2}}}).find("broadcast"),
            std::string::npos);
  EXPECT_NE(refusal("transpose", {{2, 3}}, {{"perm", Shape{0, 0}}}).find("twice"),
            std::string::npos);
}

}  // namespace
