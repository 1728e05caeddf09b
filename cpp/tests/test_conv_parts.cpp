// Convolutions of concatenated images that are never laid out, against the same graph left as it
// was.
#include "kernel_testing.h"
#include "lamina/plan.h"

using namespace lamina;

namespace {

struct Network {
  Shape x;  // its channels are those of all parts
  std::vector<Dim> parts;
  Dim filters;
  Shape kernel{3, 3};
  bool fits = true;
};

const Network kNetworks[] = {
    {{2, 12, 13, 32}, {16, 16}, 16},
    {{1, 8, 9, 48}, {16, 32}, 24},
    {{3, 10, 10, 112}, {48, 16, 48}, 70},
    {{5, 40, 48}, {32, 16}, 20, {5}},
    {{2, 12, 12, 64}, {64}, 16},
    {{2, 12, 12, 33}, {16, 17}, 16, {3, 3}, false},
    {{2, 12, 12, 32}, {16, 16}, 16, {2, 2}, false},
};

std::ostream& operator<<(std::ostream& out, const Network& n) { return out << to_string(n.x); }

// Outputs: the map, then the gradients of a weighted sum of it.
Graph step(const Network& n, DType dtype, bool whole_is_read = false) {
  Graph g;
  Builder b(g);
  std::vector<ValueId> parts;
  for (const Dim channels : n.parts) {
    Shape part = n.x;
    part.back() = channels;
    parts.push_back(b.input({dtype, part}));
  }
  Shape kernel = n.kernel;
  kernel.insert(kernel.end(), {n.x.back(), n.filters});
  const ValueId w = b.input({dtype, kernel}), bias = b.input({dtype, {n.filters}});
  const ValueId x = b.emit("concat", std::span<const ValueId>(parts), {{"axis", std::int64_t{-1}}});
  const ValueId map =
      b.emit("relu", {b.emit("conv", {x, w, bias}, {{"padding", std::string("same")}})});
  b.output(map);
  std::vector<ValueId> wrt = parts;
  wrt.insert(wrt.end(), {w, bias});
  const ValueId loss = b.emit("sum", {b.mul(map, b.input(b.spec(map)))});
  for (const ValueId d : gradients(g, loss, wrt)) b.output(d);
  if (whole_is_read) b.output(b.emit("sum", {x}));
  return g;
}

// Fused and plain give the same bits; `joined` operations of each kind were made.
void expect_same(const Graph& g, DType dtype, std::size_t joined, const Network& n) {
  const auto fused = Program::make(g), plain = Program::make(g, {false, false});
  for (const char* op : {"concat_conv", "concat_conv_weight_grad"})
    EXPECT_EQ(count_ops(fused->graph(), op), joined) << op << ' ' << n;
  const std::vector<Tensor> in = operands(g, dtype), a = fused->run(in), b = plain->run(in);
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(same_bits(a[i], b[i])) << "output " << i << ' ' << n;
}

TEST(ConvParts, HaveTheBitsOfTheWhole) {
  for (const Network& n : kNetworks) {
    const Graph g = step(n, DType::f32);
    expect_same(g, DType::f32, n.fits ? 1 : 0, n);
    const auto fused = Program::make(g);
    EXPECT_EQ(count_ops(fused->graph(), "conv_input_grad_split"), n.fits ? 1u : 0u);
    expect_same(step(n, DType::f64), DType::f64, 0, n);
  }
}

TEST(ConvParts, TheWholeIsMadeWhereItIsNeeded) {
  const Network& n = kNetworks[0];
  expect_same(step(n, DType::f32, true), DType::f32, 0, n);
}

TEST(ConvParts, PartsThatNobodyWantsAreNotWritten) {
  const Shape whole{2, 12, 12, 48}, w{3, 3, 48, 16};
  const Tensor dy = f32(uniform({2, 12, 12, 16})), weights = f32(uniform(w, -1, 1, 2));
  const Attrs attrs{{"padding", std::string("same")}, {"input_shape", whole}};
  Graph g;
  Builder b(g);
  const ValueId d = b.input({DType::f32, dy.shape()}), k = b.input({DType::f32, w});
  const ValueId dx = b.emit("conv_input_grad", {d, k}, attrs);
  const Attrs sizes{{"axis", std::int64_t{3}}, {"sizes", Shape{16, 16, 16}}};
  b.output(b.emit_all("split", {dx}, sizes)[1]);
  const auto fused = Program::make(g);
  EXPECT_EQ(count_ops(fused->graph(), "conv_input_grad_split"), 1u);
  const std::vector<Tensor> in{dy, weights};
  EXPECT_TRUE(same_bits(fused->run(in)[0], Program::make(g, {false, false})->run(in)[0]));
}

TEST(ConvParts, ThreadsDoNotMatter) {
  const Tensor a = f32(uniform({9, 20, 20, 16})), b = f32(uniform({9, 20, 20, 32}, -1, 1, 2)),
               w = f32(uniform({3, 3, 48, 40}, -1, 1, 3)), dy = f32(uniform({9, 18, 18, 40}));
  expect_same_for_all_threads("concat_conv", {a, b, w}, {{"parts", std::int64_t{2}}});
  expect_same_for_all_threads("concat_conv_weight_grad", {a, b, dy}, {{"kernel_shape", w.shape()}});
  expect_same_for_all_threads("conv_input_grad_split", {dy, w},
                              {{"input_shape", Shape{9, 20, 20, 48}}, {"sizes", Shape{16, 32}}});
}

TEST(ConvParts, ShapeRules) {
  const Attrs two{{"parts", std::int64_t{2}}};
  EXPECT_EQ(inferred("concat_conv", {{2, 9, 9, 16}, {2, 9, 9, 32}, {3, 3, 48, 5}}, two),
            (Shape{2, 7, 7, 5}));
  EXPECT_NE(refusal("concat_conv", {{2, 9, 9, 16}, {2, 9, 8, 32}, {3, 3, 48, 5}}, two)
                .find("more than their channels"),
            std::string::npos);
  EXPECT_NE(refusal("conv_input_grad_split", {{2, 7, 7, 5}, {3, 3, 48, 5}},
                    {{"input_shape", Shape{2, 9, 9, 48}}, {"sizes", Shape{16, 16}}})
                .find("add up"),
            std::string::npos);
}

}  // namespace
