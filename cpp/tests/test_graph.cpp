// Builder, verify, text, autodiff and the passes.
#include <gtest/gtest.h>

#include <cmath>

#include "lamina/plan.h"

namespace lamina {
namespace {

Tensor row(std::vector<double> values) {
  const auto n = static_cast<Dim>(values.size());
  return Tensor::of<double>({n}, values);
}

std::size_t count_ops(const Graph& g, std::string_view op) {
  std::size_t n = 0;
  for (const Node& node : g.nodes) n += op_name(node) == op;
  return n;
}

TEST(Builder, NamesOpAndShapesOfABadNode) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {2, 3}}), y = b.input({DType::f32, {4, 5}});
  try {
    b.emit("matmul", {x, y});
    FAIL();
  } catch (const ShapeError& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("matmul"), std::string::npos) << text;
    EXPECT_NE(text.find("(2, 3)"), std::string::npos) << text;
    EXPECT_NE(text.find("(4, 5)"), std::string::npos) << text;
  }
  EXPECT_TRUE(g.nodes.empty());
}

TEST(Builder, SuggestsANearOp) {
  Graph g;
  Builder b(g);
  try {
    b.emit("rleu", {b.input({DType::f32, {2}})});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("relu"), std::string::npos);
  }
}

TEST(Builder, ReadsAVariableOnce) {
  Graph g;
  Builder b(g);
  const auto v = std::make_shared<Variable>("v", row({1, 2}));
  EXPECT_EQ(b.variable(v), b.variable(v));
  EXPECT_THROW(b.assign(b.variable(v), b.scalar(DType::f64, 1)), ShapeError);
}

TEST(Gradients, SumContributionsOfEveryUse) {
  // d/dx sum(x*x + 3x) = 2x + 3
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f64, {3}});
  const ValueId loss = b.emit("sum", {b.add(b.mul(x, x), b.scale(x, 3))});
  const std::vector<ValueId> wrt{x};
  b.output(gradients(g, loss, wrt)[0]);
  const std::vector<Tensor> in{row({1, -2, 0.5})};
  const Tensor d = Program::make(g)->run(in)[0];
  EXPECT_DOUBLE_EQ(d.data<double>()[0], 5);
  EXPECT_DOUBLE_EQ(d.data<double>()[1], -1);
  EXPECT_DOUBLE_EQ(d.data<double>()[2], 4);
}

TEST(Gradients, NoneWhereTheLossDoesNotDepend) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f64, {3}}), y = b.input({DType::f64, {3}});
  const ValueId loss = b.emit("sum", {x});
  const std::vector<ValueId> wrt{x, y};
  const std::vector<ValueId> d = gradients(g, loss, wrt);
  EXPECT_NE(d[0], kNoValue);
  EXPECT_EQ(d[1], kNoValue);
}

TEST(Verify, FindsAUseBeforeTheMaking) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f64, {3}});
  b.output(b.neg(b.emit("exp", {x})));
  EXPECT_NO_THROW(verify(g));
  std::swap(g.nodes[0], g.nodes[1]);
  EXPECT_THROW(verify(g), Error);
}

TEST(Simplify, MergesDuplicatesAndDropsTheDead) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f64, {3}});
  b.output(b.add(b.emit("exp", {x}), b.emit("exp", {x})));
  b.emit("tanh", {x});
  simplify(g);
  EXPECT_EQ(count_ops(g, "exp"), 1u);
  EXPECT_EQ(count_ops(g, "tanh"), 0u);
}

TEST(Simplify, FoldsConstantsAndNeutralArithmetic) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f64, {3}});
  const ValueId two = b.add(b.scalar(DType::f64, 1), b.scalar(DType::f64, 1));
  b.output(b.mul(b.add(b.mul(x, b.scalar(DType::f64, 1)), b.zeros_like(x)), two));
  simplify(g);
  EXPECT_EQ(g.nodes.size(), 1u) << to_text(g);
  const std::vector<Tensor> in{row({1, 2, 3})};
  EXPECT_DOUBLE_EQ(Program::make(g)->run(in)[0].data<double>()[2], 6);
}

TEST(Simplify, JoinsTransposes) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f64, {2, 3, 4}});
  const ValueId first = b.emit("transpose", {x}, {{"perm", Shape{0, 2, 1}}});
  b.output(b.emit("exp", {b.emit("transpose", {first}, {{"perm", Shape{0, 2, 1}}})}));
  simplify(g);
  EXPECT_EQ(count_ops(g, "transpose"), 0u);

  Graph turned;
  Builder c(turned);
  const ValueId y = c.input({DType::f64, {2, 3, 4}});
  const ValueId cycled = c.emit("transpose", {y}, {{"perm", Shape{1, 2, 0}}});
  c.output(c.emit("transpose", {cycled}, {{"perm", Shape{1, 2, 0}}}));
  simplify(turned);
  ASSERT_EQ(count_ops(turned, "transpose"), 1u);
  EXPECT_EQ(c.shape(turned.outputs[0]), (Shape{4, 2, 3}));
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(turned.nodes[0].attrs.at("perm")),
            (Shape{2, 0, 1}));
}

TEST(Simplify, NeverMergesRandomOps) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {64}});
  const ValueId state = b.constant(Tensor::of<std::int64_t>({2}, {1, 2}));
  const Attrs attrs{{"rate", 0.5}};
  b.output(b.emit("dropout", {x, state}, attrs));
  b.output(b.emit("dropout", {x, state}, attrs));
  simplify(g);
  EXPECT_EQ(count_ops(g, "dropout"), 2u);
}

TEST(Fuse, PutsBiasAndActivationIntoTheProduct) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {4, 3}}), w = b.input({DType::f32, {3, 2}}),
                bias = b.input({DType::f32, {2}});
  b.output(b.emit("relu", {b.add(b.emit("matmul", {x, w}), bias)}));
  const Graph plain = g;
  simplify(g);
  fuse(g);
  verify(g);
  ASSERT_EQ(g.nodes.size(), 1u) << to_text(g);
  EXPECT_EQ(op_name(g.nodes[0]), "dense");
  const std::vector<Tensor> in{Tensor::of<float>({4, 3}, {1, -2, 3, 4, 5, -6, 7, 8, 9, -1, 0, 2}),
                               Tensor::of<float>({3, 2}, {1, 2, -3, 4, 5, -6}),
                               Tensor::of<float>({2}, {0.5F, -1})};
  const Tensor a = Program::make(g)->run(in)[0],
               c = Program::make(plain, {false, false})->run(in)[0];
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a.data<float>()[i], c.data<float>()[i]);
}

TEST(Fuse, PutsTheBiasOfHeadsIntoTheirProduct) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {4, 3}}), w = b.input({DType::f32, {3, 6}}),
                bias = b.input({DType::f32, {2, 3}});
  b.output(b.add(bias, b.reshape(b.emit("matmul", {x, w}), {2, 2, 2, 3})));
  const Graph plain = g;
  simplify(g);
  fuse(g);
  verify(g);
  EXPECT_EQ(count_ops(g, "dense"), 1u) << to_text(g);
  EXPECT_EQ(count_ops(g, "add") + count_ops(g, "matmul"), 0u) << to_text(g);
  const std::vector<Tensor> in{
      Tensor::of<float>({4, 3}, {1, -2, 3, 4, 5, -6, 7, 8, 9, -1, 0, 2}),
      Tensor::of<float>({3, 6}, {1, 2, -3, 4, 5, -6, 7, 8, 9, 1, -2, 3, -4, 5, 6, 7, 8, -9}),
      Tensor::of<float>({2, 3}, {0.5F, -1, 2, 3, -4, 0.25F})};
  const Tensor a = Program::make(g)->run(in)[0],
               c = Program::make(plain, {false, false})->run(in)[0];
  ASSERT_EQ(a.shape(), c.shape());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a.data<float>()[i], c.data<float>()[i]);
}

TEST(Fuse, PutsBiasAndActivationIntoTheTransposedConvolution) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {2, 3, 4}}), w = b.input({DType::f32, {2, 5, 4}}),
                bias = b.input({DType::f32, {5}});
  const ValueId z =
      b.emit("conv_input_grad", {x, w}, {{"input_shape", Shape{2, 6, 5}}, {"strides", Shape{2}}});
  b.output(b.emit("relu", {b.add(z, bias)}));
  simplify(g);
  fuse(g);
  verify(g);
  ASSERT_EQ(g.nodes.size(), 1u) << to_text(g);
  EXPECT_EQ(op_name(g.nodes[0]), "conv_input_grad");
}

TEST(Simplify, TakesOneElementOfAConstantOfEqualOnes) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f64, {3}});
  b.output(b.mul(x, b.constant(row({4, 4, 4}))));
  b.output(b.mul(x, b.constant(row({4, 4, 5}))));
  simplify(g);
  EXPECT_TRUE(g.values[g.nodes[0].in[1]].spec.shape.empty());
  EXPECT_EQ(g.values[g.nodes[1].in[1]].spec.shape, (Shape{3}));
  const std::vector<Tensor> in{row({1, 2, 3})};
  EXPECT_DOUBLE_EQ(Program::make(g)->run(in)[0].data<double>()[2], 12);
}

TEST(Fuse, LeavesAValueThatOthersRead) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {4, 3}}), w = b.input({DType::f32, {3, 2}});
  const ValueId z = b.emit("dense", {x, w});
  b.output(b.emit("relu", {z}));
  b.output(z);
  fuse(g);
  EXPECT_EQ(count_ops(g, "relu"), 1u);
}

// relu then dropout, and back: the numbers are drawn once, and the results are those of the plain
// program.
TEST(Fuse, DropoutBehindAReluIsDrawnOnce) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {40, 30}}), w = b.input({DType::f32, {30, 20}}),
                state = b.input({DType::i64, {2}});
  const ValueId kept =
      b.emit("dropout", {b.emit("relu", {b.emit("matmul", {x, w})}), state}, {{"rate", 0.4}});
  const ValueId loss = b.emit("sum", {b.mul(kept, kept)});
  b.output(loss);
  const std::vector<ValueId> wrt{w};
  b.output(gradients(g, loss, wrt)[0]);
  const auto fused = Program::make(g), plain = Program::make(g, {false, false});
  EXPECT_EQ(count_ops(fused->graph(), "dropout"), 1u) << to_text(fused->graph());
  EXPECT_EQ(count_ops(plain->graph(), "dropout"), 2u);
  std::vector<Tensor> in{Tensor(Spec{DType::f32, {40, 30}}), Tensor(Spec{DType::f32, {30, 20}}),
                         Tensor::of<std::int64_t>({2}, {7, 3})};
  for (int k = 0; k < 2; ++k)
    for (std::size_t i = 0; i < in[k].size(); ++i)
      in[k].data<float>()[i] = std::sin(static_cast<float>(3 * i + k));
  const auto a = fused->run(in), c = plain->run(in);
  for (std::size_t k = 0; k < a.size(); ++k)
    for (std::size_t i = 0; i < a[k].size(); ++i)
      ASSERT_EQ(a[k].data<float>()[i], c[k].data<float>()[i]) << "output " << k;
}

// Another state drops other positions.
TEST(Fuse, DropoutOfAnotherStateStays) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {40}}), state = b.input({DType::i64, {2}}),
                other = b.input({DType::i64, {2}});
  const ValueId y = b.emit("relu", {x});
  b.output(b.emit("dropout", {y, state}));
  b.output(b.emit("relu_grad", {y, b.emit("dropout", {x, other})}));
  EXPECT_EQ(count_ops(Program::make(g)->graph(), "dropout"), 2u);
}

// An update whose gradient is x^T dy and something else; `also` may read the gradient too.
template <class Also>
Graph update_of_a_weight(Dim batch, Dim in, Dim out, const Also& also) {
  Graph g;
  Builder b(g);
  const ValueId x = b.input({DType::f32, {batch, in}}), dy = b.input({DType::f32, {batch, out}});
  const ValueId dw = b.emit("matmul", {x, dy}, {{"transpose_a", true}});
  const ValueId packed =
      b.emit("pack", {dw, b.emit("sum", {dy}, {{"axes", std::vector<std::int64_t>{0}}})});
  const ValueId p = b.input(g.values[packed].spec);
  b.output(b.emit("sgd_update", {p, also(b, dw, packed), b.scalar(DType::f32, 0.1)}));
  return g;
}

TEST(Fuse, AnUpdateMultipliesTheFactorsOfAGradient) {
  const auto products = [](Dim batch, Dim in, Dim out, const auto& also) {
    const auto program = Program::make(update_of_a_weight(batch, in, out, also));
    return count_ops(program->graph(), "matmul");
  };
  const auto plain = [](Builder&, ValueId, ValueId packed) { return packed; };
  EXPECT_EQ(products(8, 80, 60, plain), 0u);
  EXPECT_EQ(products(8, 8, 6, plain), 1u);     // too little to be worth it
  EXPECT_EQ(products(70, 80, 60, plain), 1u);  // the factors are larger than the gradient
  EXPECT_EQ(products(8, 80, 60,
                     [](Builder& b, ValueId dw, ValueId packed) {
                       b.output(dw);
                       return packed;
                     }),
            1u);
  EXPECT_EQ(products(8, 80, 60,
                     [](Builder& b, ValueId, ValueId packed) {
                       b.output(b.emit("sum_squares", {packed}));
                       return packed;
                     }),
            1u);
  EXPECT_EQ(
      products(8, 80, 60, [](Builder& b, ValueId, ValueId packed) { return b.scale(packed, 0.5); }),
      1u);
}

TEST(Fuse, WeightsThatAnUpdateMultipliesAreReadInSlices) {
  const auto slices = [](Dim batch, Dim in) {
    Graph g;
    Builder b(g);
    const ValueId x = b.input({DType::f32, {batch, in}}), w = b.input({DType::f32, {in, 60}}),
                  p = b.input({DType::f32, {in * 60}});
    const ValueId y = b.emit("dense", {x, w});
    const ValueId dw = b.emit("matmul", {x, b.emit("tanh_grad", {y, y})}, {{"transpose_a", true}});
    b.output(y);
    b.output(b.emit("sgd_update", {p, b.emit("pack", {dw}), b.scalar(DType::f32, 0.1)}));
    const auto program = Program::make(g);
    for (const Node& node : program->graph().nodes)
      if (const auto found = node.attrs.find("slices"); found != node.attrs.end())
        return std::get<std::int64_t>(found->second);
    return std::int64_t{1};
  };
  EXPECT_EQ(slices(8, 80), 2);
  EXPECT_EQ(slices(8, 2100), 4);
  EXPECT_EQ(slices(70, 80), 1);  // the gradient is a product of its own
}

TEST(Fuse, PutsTheGradientOfAReluIntoTheProduct) {
  const auto fused = [](Dim rows, const auto& also) {
    Graph g;
    Builder b(g);
    const ValueId d = b.input({DType::f32, {2 * rows, 5}}), w = b.input({DType::f32, {7, 5}}),
                  y = b.input({DType::f32, {2, rows, 7}});
    const ValueId product = b.emit("matmul", {d, w}, {{"transpose_b", true}});
    const ValueId shaped = b.reshape(product, {2, rows, 7});
    b.output(b.emit("relu_grad", {y, also(b, product, shaped)}));
    return count_ops(Program::make(g)->graph(), "matmul_relu_grad");
  };
  EXPECT_EQ(fused(4, [](Builder&, ValueId, ValueId d) { return d; }), 1u);
  EXPECT_EQ(fused(4, [](Builder& b, ValueId, ValueId d) { return b.scale(d, 1.25); }), 1u);
  EXPECT_EQ(fused(4,
                  [](Builder& b, ValueId product, ValueId d) {
                    b.output(product);
                    return d;
                  }),
            0u);
  EXPECT_EQ(fused(40000, [](Builder&, ValueId, ValueId d) { return d; }), 0u);  // too large
}

TEST(Text, ShowsOpsShapesAndOrigins) {
  Graph g;
  Builder b(g);
  b.set_origin("model/dense");
  b.output(b.emit("exp", {b.input({DType::f32, {2, 3}})}));
  const std::string text = to_text(g);
  EXPECT_NE(text.find("exp("), std::string::npos);
  EXPECT_NE(text.find("(2, 3) float32"), std::string::npos);
  EXPECT_NE(text.find("@model/dense"), std::string::npos);
}

}  // namespace
}  // namespace lamina
