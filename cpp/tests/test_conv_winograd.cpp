// Convolutions that take Winograd's way, of 3 x 3 and along one axis: float32 against the direct
// way in float64.
#include "kernel_testing.h"
#include "lamina/plan.h"

using namespace lamina;

namespace {

struct Case {
  Shape x, w, pads;  // pads: before and after, axis by axis
  Attrs attrs(bool winograd = true) const { return {{"pads", pads}, {"winograd", winograd}}; }
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << to_string(c.x) << " * " << to_string(c.w) << ", pads " << to_string(c.pads);
}

// Sizes that fill their tiles and that do not, one run of tiles in a row and several, channels that
// are multiples of vectors and that are not, all sorts of padding, planes of a volume.
const Case kCases[] = {
    {{2, 6, 6, 16}, {3, 3, 16, 16}, {1, 1, 1, 1}},
    {{1, 8, 12, 8}, {3, 3, 8, 40}, {1, 1, 1, 1}},
    {{3, 13, 11, 17}, {3, 3, 17, 9}, {0, 0, 0, 0}},
    {{1, 9, 75, 33}, {3, 3, 33, 24}, {1, 1, 1, 1}},
    {{2, 10, 9, 12}, {3, 3, 12, 11}, {2, 2, 2, 2}},
    {{1, 10, 16, 16}, {3, 3, 16, 8}, {0, 3, 2, -2}},
    {{1, 10, 10, 16}, {3, 3, 16, 8}, {7, 5, 6, 9}},
    {{9, 16, 16, 70}, {3, 3, 70, 90}, {1, 1, 1, 1}},
    {{1, 3, 8, 8, 10}, {1, 3, 3, 10, 12}, {0, 0, 1, 1, 1, 1}},
    {{3, 40, 16}, {3, 16, 16}, {0, 0}},
    {{2, 41, 17}, {3, 17, 40}, {1, 1}},
    {{2, 43, 33}, {4, 33, 24}, {1, 2}},
    {{33, 40, 24}, {5, 24, 11}, {0, 0}},
    {{2, 47, 16}, {5, 16, 16}, {4, 0}},
    {{2, 13, 16}, {5, 16, 16}, {2, 2}},
    {{1, 17, 16}, {5, 16, 16}, {0, 0}},
    {{2, 101, 70}, {5, 70, 90}, {2, 2}},
    {{1, 45, 16}, {5, 16, 20}, {9, -3}},
    {{2, 50, 20}, {6, 20, 16}, {2, 3}},
    {{2, 3, 42, 10}, {1, 5, 10, 26}, {0, 0, 2, 2}},
};

struct Operands {
  Tensor x, w, dy;  // float64
  explicit Operands(const Case& c)
      : x(f32(uniform(c.x))),
        w(f32(uniform(c.w, -1, 1, 2))),
        dy(f32(uniform(inferred("conv", {c.x, c.w}, c.attrs()), -1, 1, 3))) {
    for (Tensor* t : {&x, &w, &dy}) *t = to_floating(*t, DType::f64);
  }
};

struct Pass {
  const char* op;
  double most;  // its error as a multiple of the direct way's
  std::vector<Tensor> in(const Operands& o) const {
    if (op == std::string("conv")) return {o.x, o.w};
    if (op == std::string("conv_input_grad")) return {o.dy, o.w};
    return {o.x, o.dy};
  }
  Attrs attrs(const Case& c, bool winograd = true) const {
    Attrs attrs = c.attrs(winograd);
    attrs["input_shape"] = c.x;
    attrs["kernel_shape"] = c.w;
    return attrs;
  }
};
const Pass kPasses[] = {{"conv", 3}, {"conv_input_grad", 3}, {"conv_weight_grad", 6}};

std::vector<Tensor> singles(std::vector<Tensor> in) {
  for (Tensor& t : in) t = f32(t);
  return in;
}

// Root mean square of the differences, relative to that of `exact`.
double error(const Tensor& got, const Tensor& exact) {
  double differences = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double e = exact.data<double>()[i], d = got.data<float>()[i] - e;
    differences += d * d;
    size += e * e;
  }
  return std::sqrt(differences / size);
}

TEST(Winograd, EqualsTheDirectWay) {
  for (const Case& c : kCases) {
    const Operands o(c);
    for (const Pass& pass : kPasses) {
      const Tensor got = run_one(pass.op, singles(pass.in(o)), pass.attrs(c));
      const Tensor exact = run_one(pass.op, pass.in(o), pass.attrs(c));
      EXPECT_LT(error(got, exact), 2e-6) << pass.op << ' ' << testing::PrintToString(c);
      const Tensor direct = run_one(pass.op, singles(pass.in(o)), pass.attrs(c, false));
      EXPECT_FALSE(same_bits(got, direct)) << pass.op << ' ' << testing::PrintToString(c);
    }
  }
}

// What has too few outputs for a tile, and images of which planes or rows are cut off or added.
TEST(Winograd, OtherShapesGoTheDirectWay) {
  const Case cases[] = {{{2, 3, 8, 8, 16}, {1, 3, 3, 16, 16}, {0, -1, 1, 1, 1, 1}},
                        {{2, 3, 8, 8, 16}, {1, 3, 3, 16, 16}, {1, 1, 1, 1, 1, 1}},
                        {{2, 4, 40, 16}, {1, 5, 16, 16}, {0, -1, 2, 2}},
                        {{2, 4, 40, 16}, {1, 5, 16, 16}, {1, 0, 2, 2}},
                        {{2, 3, 16}, {5, 16, 16}, {2, 2}},
                        {{2, 1, 16}, {3, 16, 16}, {1, 1}},
                        {{2, 40, 16}, {2, 16, 16}, {0, 0}}};
  for (const Case& c : cases) {
    const Operands o(c);
    for (const Pass& pass : kPasses) {
      const auto in = singles(pass.in(o));
      const Tensor got = run_one(pass.op, in, pass.attrs(c));
      EXPECT_LT(error(got, run_one(pass.op, pass.in(o), pass.attrs(c))), 2e-6) << pass.op;
      EXPECT_TRUE(same_bits(got, run_one(pass.op, in, pass.attrs(c, false)))) << pass.op;
    }
  }
}

// The bound that the documentation gives. It holds for sums of many products of numbers that vary
// about zero; depth and width are those of common networks.
void expect_bounded_error(const Case& c) {
  const Operands o(c);
  for (const Pass& pass : kPasses) {
    const Tensor exact = run_one(pass.op, pass.in(o), pass.attrs(c));
    const auto of = [&](bool winograd) {
      return error(run_one(pass.op, singles(pass.in(o)), pass.attrs(c, winograd)), exact);
    };
    EXPECT_NE(of(true), of(false)) << "took the direct way: " << pass.op;
    EXPECT_LT(of(true), pass.most * of(false)) << pass.op << ' ' << testing::PrintToString(c);
    EXPECT_LT(of(true), 2e-6) << pass.op << ' ' << testing::PrintToString(c);
  }
}

TEST(Winograd, ErrorIsBounded) {
  for (const Dim in : {16, 64, 128})
    for (const Dim out : {16, 64}) {
      expect_bounded_error({{2, 24, 24, in}, {3, 3, in, out}, {1, 1, 1, 1}});
      for (const Dim taps : {3, 4, 5, 6})
        expect_bounded_error({{4, 120, in}, {taps, in, out}, {taps / 2, taps - 1 - taps / 2}});
    }
}

TEST(Winograd, BiasAndActivationHaveTheBitsOfTheirOps) {
  for (const Dim filters : {8, 16, 45}) {
    const Tensor x = f32(uniform({2, 9, 10, 8})), w = f32(uniform({3, 3, 8, filters}, -1, 1, 2));
    const Tensor bias = f32(uniform({filters}, -1, 1, 3));
    const Tensor z = run_one("add", {run_one("conv", {x, w}), bias});
    EXPECT_TRUE(same_bits(run_one("conv", {x, w, bias}), z)) << filters;
    for (const std::string name : {"relu", "sigmoid", "tanh"}) {
      const Tensor y = run_one("conv", {x, w, bias}, {{"activation", name}});
      EXPECT_TRUE(same_bits(y, run_one(name, {z}))) << name << ", " << filters << " filters";
    }
  }
}

TEST(Winograd, ImagesDoNotKnowTheirBatch) {
  for (Case c : kCases) {
    c.x[0] = 11;
    const Operands o(c);
    expect_rows_independent("conv", singles({o.x, o.w}), c.attrs());
    const Tensor dy = f32(o.dy), w = f32(o.w);
    const Tensor dx = run_one("conv_input_grad", {dy, w}, kPasses[1].attrs(c));
    Case one = c;
    one.x[0] = 1;
    for (Dim i = 0; i < 11; ++i)
      EXPECT_TRUE(same_bits(run_one("conv_input_grad", {row_of(dy, i), w}, kPasses[1].attrs(one)),
                            row_of(dx, i)))
          << "image " << i << ' ' << testing::PrintToString(c);
  }
}

TEST(Winograd, ThreadsDoNotMatter) {
  const Case cases[] = {{{20, 32, 32, 16}, {3, 3, 16, 16}, {1, 1, 1, 1}},
                        {{33, 8, 8, 70}, {3, 3, 70, 130}, {1, 1, 1, 1}},
                        {{33, 50, 70}, {5, 70, 130}, {4, 0}}};
  for (const Case& c : cases) {
    const Operands o(c);
    for (const Pass& pass : kPasses)
      expect_same_for_all_threads(pass.op, singles(pass.in(o)), pass.attrs(c));
  }
}

// `winograd` = false goes from a convolution to its gradients: they give the bits of the direct
// ops.
TEST(Winograd, CanBeSwitchedOff) {
  const Case c{{2, 12, 12, 16}, {3, 3, 16, 24}, {1, 1, 1, 1}};
  const Operands o(c);
  for (const bool winograd : {true, false}) {
    Graph graph;
    Builder b(graph);
    const ValueId x = b.input({DType::f32, c.x}), w = b.input({DType::f32, c.w});
    const ValueId y = b.emit("conv", {x, w}, c.attrs(winograd));
    b.output(y);
    const std::vector<ValueId> of{x, w};
    for (const ValueId id : gradients(graph, y, of, b.constant(f32(o.dy)))) b.output(id);
    const auto got = Program::make(std::move(graph))->run(singles({o.x, o.w}));
    for (std::size_t i = 0; i < 3; ++i) {
      const auto in = singles(kPasses[i].in(o));
      const Tensor same = run_one(kPasses[i].op, in, kPasses[i].attrs(c, winograd));
      const Tensor other = run_one(kPasses[i].op, in, kPasses[i].attrs(c, !winograd));
      EXPECT_TRUE(same_bits(got[i], same)) << kPasses[i].op;
      EXPECT_FALSE(same_bits(got[i], other)) << kPasses[i].op;
    }
  }
}

TEST(Winograd, NoImagesGiveNoGradient) {
  const Tensor none = f32(uniform({0, 8, 8, 16}));
  const Tensor dw =
      run_one("conv_weight_grad", {none, none},
              {{"padding", std::string("same")}, {"kernel_shape", Shape{3, 3, 16, 16}}});
  for (std::size_t i = 0; i < dw.size(); ++i) ASSERT_EQ(dw.data<float>()[i], 0);
  EXPECT_EQ(run_one("conv", {none, dw}, {{"padding", std::string("same")}}).size(), 0u);
}

}  // namespace
