// Convolution and pooling as one op against the same graph left as it was.
#include "kernel_testing.h"
#include "lamina/plan.h"

using namespace lamina;

namespace {

const std::string kSame = "same", kValid = "valid";

struct Network {
  Shape x, w;
  Attrs conv, pool;
  std::string activation = "relu";
  bool bias = true, wants_dx = false;
};

const Network kNetworks[] = {
    {.x = {3, 12, 10, 1}, .w = {3, 3, 1, 32}, .conv = {}, .pool = {{"pool_size", Shape{2, 2}}}},
    // rows and columns that no window sees, also above a later window
    {.x = {2, 11, 13, 1},
     .w = {3, 3, 1, 5},
     .conv = {},
     .pool = {{"pool_size", Shape{2, 2}}},
     .wants_dx = true},
    {.x = {2, 17, 13, 2},
     .w = {3, 2, 2, 20},
     .conv = {},
     .pool = {{"pool_size", Shape{2, 2}}, {"strides", Shape{3, 3}}},
     .wants_dx = true},
    {.x = {2, 9, 8, 3},
     .w = {3, 3, 3, 33},
     .conv = {{"padding", kSame}},
     .pool = {{"pool_size", Shape{2, 2}}, {"padding", kSame}},
     .bias = false},
    // several channels whose gradient comes from the winners alone
    {.x = {2, 8, 10, 3}, .w = {3, 3, 3, 20}, .conv = {}, .pool = {{"pool_size", Shape{2, 2}}}},
    {.x = {2, 9, 9, 4},
     .w = {3, 3, 4, 33},
     .conv = {{"padding", kSame}},
     .pool = {{"pool_size", Shape{2, 2}}, {"strides", Shape{3, 3}}}},
    // windows that overlap
    {.x = {2, 13, 11, 3},
     .w = {5, 3, 3, 16},
     .conv = {{"strides", Shape{2, 1}}},
     .pool = {{"pool_size", Shape{3, 3}}, {"strides", Shape{2, 2}}, {"padding", kSame}}},
    {.x = {2, 9, 9, 3},
     .w = {3, 3, 3, 4},
     .conv = {{"padding", kSame}},
     .pool = {{"pool_size", Shape{3, 2}}, {"strides", Shape{1, 1}}},
     .wants_dx = true},
    {.x = {2, 9, 9, 3},
     .w = {3, 3, 3, 4},
     .conv = {{"dilations", Shape{2, 2}}},
     .pool = {{"pool_size", Shape{2, 1}}, {"strides", Shape{2, 2}}},
     .activation = "tanh"},
    {.x = {2, 8, 8, 1},
     .w = {3, 3, 1, 4},
     .conv = {},
     .pool = {{"pool_size", Shape{2, 3}}},
     .activation = "sigmoid"},
    {.x = {2, 8, 8, 1},
     .w = {3, 3, 1, 4},
     .conv = {},
     .pool = {{"pool_size", Shape{2, 2}}},
     .activation = "",
     .wants_dx = true},
    // a sequence
    {.x = {3, 40, 4},
     .w = {5, 4, 18},
     .conv = {{"padding", kSame}},
     .pool = {{"pool_size", Shape{2}}}},
    {.x = {0, 8, 8, 1}, .w = {3, 3, 1, 4}, .conv = {}, .pool = {{"pool_size", Shape{2, 2}}}},
};

std::ostream& operator<<(std::ostream& out, const Network& n) {
  return out << to_string(n.x) << " * " << to_string(n.w) << ' ' << n.activation;
}

// Outputs: the pooled map, then the gradients of a weighted sum of it.
Graph step(const Network& n, DType dtype) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({dtype, n.x}), w = b.input({dtype, n.w}),
                bias = b.input({dtype, {n.w.back()}});
  std::vector<ValueId> operands{x, w};
  if (n.bias) operands.push_back(bias);
  ValueId map = b.emit("conv", operands, n.conv);
  if (!n.activation.empty()) map = b.emit(n.activation, {map});
  const ValueId pooled = b.emit_all("max_pool", {map}, n.pool)[0];
  const ValueId loss = b.emit("sum", {b.mul(pooled, b.input(b.spec(pooled)))});
  b.output(pooled);
  std::vector<ValueId> wrt{w};
  if (n.bias) wrt.push_back(bias);
  if (n.wants_dx) wrt.push_back(x);
  for (const ValueId d : gradients(g, loss, wrt)) b.output(d);
  return g;
}

TEST(ConvPool, EqualsConvolutionThenPooling) {
  for (const Network& n : kNetworks)
    for (const DType dtype : {DType::f64, DType::f32}) {
      const Graph g = step(n, dtype);
      const auto fused = Program::make(g), plain = Program::make(g, {false, false});
      EXPECT_EQ(count_ops(fused->graph(), "conv_max_pool"), 1u) << n;
      EXPECT_EQ(count_ops(fused->graph(), "conv_max_pool_grad"), 1u) << n;
      EXPECT_EQ(count_ops(fused->graph(), "conv_weight_grad"), 0u) << n;
      const std::vector<Tensor> in = operands(g, dtype, false);
      const std::vector<Tensor> a = fused->run(in), b = plain->run(in);
      EXPECT_TRUE(same_bits(a[0], b[0])) << n;
      for (std::size_t i = 1; i < a.size(); ++i)
        expect_near(a[i], b[i], dtype == DType::f64 ? 1e-12 : 2e-4, to_string(n.x));
    }
}

// Whole numbers: many equal cells in a window, and sums without rounding.
TEST(ConvPool, TiesAreDecidedAsThePoolingDecidesThem) {
  for (const Network& n : kNetworks) {
    if (n.activation == "tanh" || n.activation == "sigmoid") continue;
    const Graph g = step(n, DType::f32);
    const std::vector<Tensor> in = operands(g, DType::f32, true);
    const auto a = Program::make(g)->run(in), b = Program::make(g, {false, false})->run(in);
    for (std::size_t i = 0; i < a.size(); ++i) expect_near(a[i], b[i], 0, to_string(n.x));
  }
}

TEST(ConvPool, NumbersThatAreNotFinite) {
  const Network& n = kNetworks[0];
  const Graph g = step(n, DType::f32);
  for (const float value : {NAN, INFINITY, -INFINITY, 3e38f}) {
    std::vector<Tensor> in = operands(g, DType::f32, false);
    in[0].data<float>()[55] = value;
    const auto a = Program::make(g)->run(in)[0], b = Program::make(g, {false, false})->run(in)[0];
    for (std::size_t i = 0; i < a.size(); ++i) {
      const float fused = a.data<float>()[i], plain = b.data<float>()[i];
      EXPECT_TRUE(fused == plain || (std::isnan(fused) && std::isnan(plain))) << value << ' ' << i;
    }
  }
}

// The weights' gradient from the winners alone, and from the map that the input's gradient needs.
TEST(ConvPool, MapAndWinnersGiveTheSameGradient) {
  Network n{.x = {2, 9, 9, 14},
            .w = {3, 3, 14, 33},
            .conv = {{"padding", kSame}},
            .pool = {{"pool_size", Shape{2, 2}}}};
  const Graph winners = step(n, DType::f32);
  n.wants_dx = true;
  const Graph map = step(n, DType::f32);
  const std::vector<Tensor> in = operands(map, DType::f32, false);
  const auto a = Program::make(winners)->run(in), b = Program::make(map)->run(in);
  for (std::size_t i = 0; i < a.size(); ++i) expect_near(a[i], b[i], 2e-4, to_string(n.x));
}

// In windows of any kind.
TEST(ConvPool, ReluLeavesNoWinner) {
  const std::vector<Tensor> in{f32(uniform({2, 9, 12, 1}, -1, 1)),
                               f32(uniform({3, 3, 1, 20}, -1, 1, 2))};
  for (const Shape& size : {Shape{2, 2}, Shape{3, 2}}) {
    const Attrs attrs{{"activation", std::string("relu")}, {"pool_pool_size", size}};
    const std::vector<Tensor> out = run_op("conv_max_pool", in, attrs);
    for (std::size_t i = 0; i < out[0].size(); ++i)
      EXPECT_EQ(out[1].data<std::uint8_t>()[i]<size[0] * size[1], out[0].data<float>()[i]> 0) << i;
  }
}

TEST(ConvPool, StaysApartWhereTheMapIsNeeded) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {2, 8, 8, 1}}), w = b.input({DType::f32, {3, 3, 1, 4}});
  const ValueId map = b.emit("relu", {b.emit("conv", {x, w})});
  b.output(b.emit_all("max_pool", {map}, {{"pool_size", Shape{2, 2}}})[0]);
  Graph both = g;
  fuse(g);
  EXPECT_EQ(count_ops(g, "conv_max_pool"), 1u);
  Builder(both).output(map);
  fuse(both);
  EXPECT_EQ(count_ops(both, "conv_max_pool"), 0u);
}

// With many channels the two stay apart, but the gradient of relu is taken of the pooled map.
TEST(ConvPool, ActivationGradientsGoBehindThePooling) {
  const Network n{.x = {2, 8, 8, 20},
                  .w = {3, 3, 20, 24},
                  .conv = {},
                  .pool = {{"pool_size", Shape{2, 2}}},
                  .wants_dx = true};
  const Graph g = step(n, DType::f64);
  const auto fused = Program::make(g);
  EXPECT_EQ(count_ops(fused->graph(), "conv_max_pool"), 0u);
  for (const Node& node : fused->graph().nodes) {
    if (op_name(node) != "relu_grad") continue;
    EXPECT_EQ(fused->graph().values[node.out[0]].spec.shape, (Shape{2, 3, 3, 24}));
  }
  const std::vector<Tensor> in = operands(g, DType::f64, false);
  const auto a = fused->run(in), b = Program::make(g, {false, false})->run(in);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << i;
}

Tensor winners_like(const Tensor& y, int cells) {
  Tensor winners(Spec{DType::u8, y.shape()});
  for (std::size_t i = 0; i < y.size(); ++i)
    winners.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(i * 7 % 5 % cells);
  return winners;
}

TEST(ConvPool, ImagesAndThreadsAreIndependent) {
  for (const Shape& strides : {Shape{2, 2}, Shape{1, 2}}) {
    const Attrs attrs{{"padding", kSame},
                      {"activation", std::string("relu")},
                      {"pool_pool_size", Shape{2, 2}},
                      {"pool_strides", strides}};
    const Tensor x = f32(uniform({9, 30, 26, 3})), w = f32(uniform({3, 3, 3, 24}, -1, 1, 2)),
                 bias = f32(uniform({24}, -1, 1, 3));
    expect_rows_independent("conv_max_pool", {x, w, bias}, attrs);
    expect_same_for_all_threads("conv_max_pool", {x, w, bias}, attrs);
    const Tensor y = run_one("conv_max_pool", {x, w, bias}, attrs);
    Attrs gradient = attrs;
    gradient["kernel_shape"] = w.shape();
    const Tensor dy = f32(uniform(y.shape(), -1, 1, 4));
    expect_same_for_all_threads("conv_max_pool_grad", {x, dy, winners_like(y, 4)}, gradient);
  }
}

TEST(ConvPool, ShapeRules) {
  const Attrs attrs{{"pool_pool_size", Shape{2, 2}}};
  EXPECT_EQ(inferred("conv_max_pool", {{kUnknown, 9, 9, 3}, {2, 2, 3, 5}}, attrs),
            (Shape{kUnknown, 4, 4, 5}));
  EXPECT_NE(refusal("conv_max_pool", {{1, 9, 9, 3}, {2, 2, 4, 5}}, attrs).find("channels"),
            std::string::npos);
  EXPECT_NE(refusal("conv_max_pool", {{1, 9, 9, 3}, {2, 2, 3, 5}}).find("pool_size"),
            std::string::npos);
  Attrs gradient = attrs;
  gradient["kernel_shape"] = Shape{2, 2, 3, 5};
  EXPECT_NE(refusal("conv_max_pool_grad", {{1, 9, 9, 3}, {1, 8, 8, 5}, {1, 8, 8, 5}}, gradient)
                .find("the pooling's output"),
            std::string::npos);
  EXPECT_NE(refusal("conv_max_pool_grad", {{1, 9, 9, 3}, {1, 4, 4, 5}, {1, 4, 4, 5}}, gradient)
                .find("winners"),
            std::string::npos);
}

}  // namespace
