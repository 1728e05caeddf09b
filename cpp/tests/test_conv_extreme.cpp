// The gradients of a convolution from its maximum over all positions, against the same graph left
// as it was.
#include "kernel_testing.h"
#include "lamina/plan.h"

using namespace lamina;

namespace {

const std::string kSame = "same";

struct Network {
  Shape x, w;
  Attrs conv = {};
  std::string activation = "relu", reduction = "max";
  bool bias = true, wants_dx = true, keepdims = false;
};

const Network kNetworks[] = {
    {.x = {5, 40, 16}, .w = {5, 16, 24}},
    {.x = {1, 40, 16}, .w = {3, 16, 7}, .bias = false},
    {.x = {4, 37, 9}, .w = {4, 9, 33}, .conv = {{"padding", kSame}}, .keepdims = true},
    {.x = {2, 99, 8}, .w = {3, 8, 16}, .conv = {{"strides", Shape{3}}, {"padding", kSame}}},
    {.x = {2, 50, 20}, .w = {1, 20, 20}, .activation = "", .wants_dx = false},
    {.x = {2, 40, 16}, .w = {3, 16, 5}, .conv = {{"pads", Shape{6, 5}}}, .activation = "tanh"},
    {.x = {2, 40, 16}, .w = {3, 16, 5}, .activation = "", .reduction = "min"},
    {.x = {3, 9, 8, 8}, .w = {3, 3, 8, 20}, .conv = {{"padding", kSame}}},
    {.x = {3, 13, 17, 12}, .w = {3, 2, 12, 20}, .conv = {{"dilations", Shape{2, 1}}}},
    {.x = {2, 13, 17, 6}, .w = {2, 3, 6, 16}, .conv = {{"strides", Shape{2, 2}}}},
    {.x = {2, 6, 7, 5, 8}, .w = {2, 3, 2, 8, 12}},
    {.x = {0, 40, 16}, .w = {5, 16, 24}},
};

std::ostream& operator<<(std::ostream& out, const Network& n) {
  return out << to_string(n.x) << " * " << to_string(n.w) << ' ' << n.activation;
}

// Outputs: the extremes, then the gradients of a weighted sum of them.
Graph step(const Network& n, DType dtype) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({dtype, n.x}), w = b.input({dtype, n.w}),
                bias = b.input({dtype, {n.w.back()}});
  std::vector<ValueId> operands{x, w};
  if (n.bias) operands.push_back(bias);
  ValueId map = b.emit("conv", operands, n.conv);
  if (!n.activation.empty()) map = b.emit(n.activation, {map});
  Shape spatial;
  for (std::size_t i = 1; i + 1 < n.x.size(); ++i) spatial.push_back(static_cast<Dim>(i));
  const ValueId y = b.emit(n.reduction, {map}, {{"axes", spatial}, {"keepdims", n.keepdims}});
  const ValueId loss = b.emit("sum", {b.mul(y, b.input(b.spec(y)))});
  b.output(y);
  std::vector<ValueId> wrt{w};
  if (n.bias) wrt.push_back(bias);
  if (n.wants_dx) wrt.push_back(x);
  for (const ValueId d : gradients(g, loss, wrt)) b.output(d);
  return g;
}

TEST(ConvExtreme, EqualsTheGradientsOfTheWholeMap) {
  for (const Network& n : kNetworks) {
    if (n.activation == "tanh") continue;
    for (const DType dtype : {DType::f64, DType::f32}) {
      const Graph g = step(n, dtype);
      const auto fused = Program::make(g), plain = Program::make(g, {false, false});
      EXPECT_EQ(count_ops(fused->graph(), "conv_extreme_weight_grad"), 1u) << n;
      EXPECT_EQ(count_ops(fused->graph(), "conv_extreme_input_grad"), n.wants_dx ? 1u : 0u) << n;
      for (const char* gone : {"conv_weight_grad", "conv_input_grad", "extreme_grad"})
        EXPECT_EQ(count_ops(fused->graph(), gone), 0u) << gone << ' ' << n;
      const std::vector<Tensor> in = operands(g, dtype);
      const std::vector<Tensor> a = fused->run(in), b = plain->run(in);
      EXPECT_TRUE(same_bits(a[0], b[0])) << n;
      for (std::size_t i = 1; i < a.size(); ++i)
        expect_near(a[i], b[i], dtype == DType::f64 ? 1e-12 : 1e-4, to_string(n.x));
    }
  }
}

// Whole numbers: many equal places, also of maps that relu has made zero.
TEST(ConvExtreme, EqualPlacesShare) {
  for (const Network& n : kNetworks) {
    const Graph g = step(n, DType::f64);
    const std::vector<Tensor> in = operands(g, DType::f64, true);
    const auto a = Program::make(g)->run(in), b = Program::make(g, {false, false})->run(in);
    for (std::size_t i = 0; i < a.size(); ++i) expect_near(a[i], b[i], 1e-12, to_string(n.x));
  }
}

TEST(ConvExtreme, ConstantMapsGiveEveryPlaceTheSame) {
  Network n = kNetworks[0];
  n.activation = "";
  const Graph g = step(n, DType::f64);
  std::vector<Tensor> in = operands(g, DType::f64);
  std::fill_n(in[0].data<double>(), in[0].size(), 1.5);
  const auto a = Program::make(g)->run(in), b = Program::make(g, {false, false})->run(in);
  for (std::size_t i = 0; i < a.size(); ++i) expect_near(a[i], b[i], 1e-12);
}

TEST(ConvExtreme, NanHasNoPlace) {
  const Graph g = step(kNetworks[0], DType::f32);
  std::vector<Tensor> in = operands(g, DType::f32);
  in[0].data<float>()[55] = NAN;
  const auto a = Program::make(g)->run(in);
  for (std::size_t i = 0; i < a[0].size(); ++i)
    EXPECT_EQ(std::isnan(a[0].data<float>()[i]), i < 24) << i;
}

TEST(ConvExtreme, StaysApartWhereTheMapOrItsGradientIsNeeded) {
  const Shape spatial{1};
  for (const bool gradient_is_needed : {false, true}) {
    Graph g;
    Builder b(g);
    const ValueId x = b.input({DType::f32, {2, 40, 16}}), w = b.input({DType::f32, {3, 16, 20}});
    const ValueId map = b.emit("conv", {x, w}), y = b.emit("max", {map}, {{"axes", spatial}});
    const std::vector<ValueId> wrt{w, map};
    const auto d = gradients(g, b.emit("sum", {y}), wrt);
    b.output(d[0]);
    if (gradient_is_needed) b.output(d[1]);
    const std::vector<Tensor> in{f32(uniform({2, 40, 16})), f32(uniform({3, 16, 20}, -1, 1, 2))};
    const auto fused = Program::make(g), plain = Program::make(g, {false, false});
    EXPECT_EQ(count_ops(fused->graph(), "conv_extreme_weight_grad"), gradient_is_needed ? 0u : 1u);
    const auto got = fused->run(in), expected = plain->run(in);
    for (std::size_t i = 0; i < got.size(); ++i) expect_near(got[i], expected[i], 1e-4);
  }
}

TEST(ConvExtreme, FewPositionsGoTheWayOfAllMaps) {
  const Graph g = step({.x = {2, 20, 16}, .w = {5, 16, 24}}, DType::f32);
  EXPECT_EQ(count_ops(Program::make(g)->graph(), "conv_extreme_weight_grad"), 0u);
}

TEST(ConvExtreme, ThreadsDoNotMatter) {
  const Shape x{9, 60, 32}, w{5, 32, 70};
  const Tensor image = f32(uniform(x)), weights = f32(uniform(w, -1, 1, 2));
  const Tensor map = run_one("conv", {image, weights});
  const Tensor best = run_one("max", {map}, {{"axes", Shape{1}}});
  const Tensor d = f32(uniform(best.shape(), -1, 1, 3));
  const Attrs of_weights{{"kernel_shape", w}}, of_input{{"input_shape", x}};
  expect_same_for_all_threads("conv_extreme_weight_grad", {image, map, best, d}, of_weights);
  expect_same_for_all_threads("conv_extreme_input_grad", {map, weights, best, d}, of_input);
  const Tensor dx = run_one("conv_extreme_input_grad", {map, weights, best, d}, of_input);
  for (Dim i = 0; i < 9; ++i)
    EXPECT_TRUE(same_bits(
        run_one("conv_extreme_input_grad", {row_of(map, i), weights, row_of(best, i), row_of(d, i)},
                {{"input_shape", Shape{1, 60, 32}}}),
        row_of(dx, i)));
}

TEST(ConvExtreme, ShapeRules) {
  const Attrs attrs{{"kernel_shape", Shape{3, 16, 5}}};
  const auto refused = [&](const Shape& map, const Shape& best) {
    return refusal("conv_extreme_weight_grad", {{2, 40, 16}, map, best, best}, attrs);
  };
  EXPECT_NE(refused({2, 37, 5}, {2, 5}).find("the convolution's output"), std::string::npos);
  EXPECT_NE(refused({2, 38, 5}, {2, 6}).find("extremes have shape"), std::string::npos);
  EXPECT_NE(refusal("extreme_grad", {{2, 3, 4}, {2, 4}, {2, 4}}, {{"axes", Shape{0, 2}}})
                .find("neighbours"),
            std::string::npos);
  EXPECT_NE(
      refusal("extreme_grad", {{2, 3, 4}, {2, 3}, {2, 4}}, {{"axes", Shape{1}}}).find("y has"),
      std::string::npos);
}

}  // namespace
