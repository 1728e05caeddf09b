#include "kernel_testing.h"

using namespace lamina;

namespace {

// Spatial shapes have one to three axes; missing strides and dilations are 1.
struct Geometry {
  Shape x, w;
  Shape strides = {1}, dilations = {1};
  std::string padding = "valid";
  Dim groups = 1;

  Attrs attrs() const {
    return {
        {"strides", strides}, {"dilations", dilations}, {"padding", padding}, {"groups", groups}};
  }
};

std::ostream& operator<<(std::ostream& out, const Geometry& g) {
  return out << to_string(g.x) << " * " << to_string(g.w) << ", strides " << to_string(g.strides)
             << ", dilations " << to_string(g.dilations) << ", " << g.padding << ", groups "
             << g.groups;
}

// One spatial axis of the definition.
struct Axis {
  Dim in = 1, kernel = 1, stride = 1, dilation = 1, out = 1, before = 0;

  Axis() = default;
  Axis(const Geometry& g, std::size_t i) : in(g.x[i + 1]), kernel(g.w[i]) {
    stride = g.strides.size() == 1 ? g.strides[0] : g.strides[i];
    dilation = g.dilations.size() == 1 ? g.dilations[0] : g.dilations[i];
    const Dim extent = (kernel - 1) * dilation + 1;
    out = g.padding == "valid" ? (in - extent) / stride + 1 : (in + stride - 1) / stride;
    if (g.padding == "same") before = std::max<Dim>((out - 1) * stride + extent - in, 0) / 2;
    if (g.padding == "causal") before = extent - 1;
  }
  // Calls body(out, kernel, in) for the pairs whose cell lies inside.
  template <class Body>
  void each(const Body& body) const {
    for (Dim o = 0; o < out; ++o)
      for (Dim k = 0; k < kernel; ++k) {
        const Dim i = o * stride - before + k * dilation;
        if (i >= 0 && i < in) body(o, k, i);
      }
  }
};

// Calls body(x index, w index, y index) for every product of the convolution, by its definition.
template <class Body>
Shape over_products(const Geometry& g, const Body& body) {
  const std::size_t rank = g.x.size() - 2;
  Axis axes[3];
  for (std::size_t i = 0; i < rank; ++i) axes[3 - rank + i] = Axis(g, i);
  const auto& [d, h, w] = axes;
  const Dim filters = g.w.back(), in_group = g.w[rank], out_group = filters / g.groups;
  const auto channels = [&](Dim x, Dim k, Dim y) {
    for (Dim f = 0; f < filters; ++f)
      for (Dim c = 0; c < in_group; ++c)
        body(x * g.x.back() + f / out_group * in_group + c, (k * in_group + c) * filters + f,
             y * filters + f);
  };
  for (Dim n = 0; n < g.x[0]; ++n)
    d.each([&](Dim od, Dim kd, Dim id) {
      h.each([&](Dim oh, Dim kh, Dim ih) {
        w.each([&](Dim ow, Dim kw, Dim iw) {
          channels(((n * d.in + id) * h.in + ih) * w.in + iw, (kd * h.kernel + kh) * w.kernel + kw,
                   ((n * d.out + od) * h.out + oh) * w.out + ow);
        });
      });
    });
  Shape y{g.x[0]};
  for (std::size_t i = 3 - rank; i < 3; ++i) y.push_back(axes[i].out);
  y.push_back(filters);
  return y;
}

Tensor zeros(const Shape& shape) { return Tensor::zeros(Spec{DType::f64, shape}); }

const Geometry kGeometries[] = {
    {.x = {2, 7, 8, 1}, .w = {3, 3, 1, 32}},
    {.x = {2, 7, 8, 3}, .w = {3, 2, 3, 20}, .padding = "same"},
    {.x = {1, 9, 9, 3}, .w = {7, 7, 3, 5}, .strides = {2, 2}, .padding = "same"},
    {.x = {3, 6, 5, 17}, .w = {2, 3, 17, 33}, .strides = {1, 2}},
    {.x = {1, 10, 11, 4}, .w = {3, 3, 4, 6}, .dilations = {2, 3}},
    {.x = {1, 10, 11, 4}, .w = {3, 3, 4, 6}, .dilations = {2, 3}, .padding = "same"},
    {.x = {2, 8, 9, 20}, .w = {2, 3, 20, 18}, .strides = {2, 3}},  // windows side by side
    {.x = {2, 5, 6, 20}, .w = {1, 1, 20, 7}},
    {.x = {2, 5, 6, 20}, .w = {1, 1, 20, 7}, .strides = {3, 2}, .padding = "same"},
    {.x = {2, 33, 41, 20}, .w = {1, 1, 20, 18}},  // weight gradient by slices of pixels
    {.x = {2, 6, 6, 8}, .w = {3, 3, 4, 6}, .padding = "same", .groups = 2},
    {.x = {2, 6, 6, 6}, .w = {3, 2, 2, 3}, .strides = {2, 1}, .groups = 3},
    {.x = {1, 1, 40, 5}, .w = {1, 5, 5, 9}, .padding = "same"},
    {.x = {1, 2, 2, 3}, .w = {5, 4, 3, 2}, .padding = "same"},
    {.x = {1, 40, 40, 8}, .w = {3, 3, 8, 16}, .padding = "same"},     // several blocks and chunks
    {.x = {1, 5, 5, 130}, .w = {3, 3, 130, 260}, .padding = "same"},  // weights by position
    // one filter per channel, and several
    {.x = {2, 7, 6, 37}, .w = {3, 3, 1, 37}, .padding = "same", .groups = 37},
    {.x = {1, 5, 20, 16}, .w = {3, 4, 1, 16}, .padding = "same", .groups = 16},
    {.x = {2, 7, 6, 5}, .w = {3, 2, 1, 5}, .strides = {2, 3}, .groups = 5},
    {.x = {2, 7, 16, 5}, .w = {3, 5, 1, 5}, .strides = {3, 2}, .padding = "same", .groups = 5},
    {.x = {2, 7, 6, 5}, .w = {2, 2, 1, 5}, .dilations = {2}, .padding = "same", .groups = 5},
    {.x = {2, 5, 5, 3}, .w = {2, 2, 1, 6}, .groups = 3},
    {.x = {1, 6, 12, 3}, .w = {3, 3, 1, 60}, .padding = "same", .groups = 3},
    {.x = {2, 7, 9, 19}, .w = {3, 2, 1, 57}, .strides = {2, 3}, .groups = 19},
    {.x = {1, 2, 3, 4}, .w = {4, 7, 1, 8}, .padding = "same", .groups = 4},
    // one filter per channel, row by row: widths with and without a rest, both edges in one block
    {.x = {2, 6, 35, 18}, .w = {3, 3, 1, 18}, .padding = "same", .groups = 18},
    {.x = {2, 6, 26, 33}, .w = {3, 3, 1, 33}, .strides = {2}, .padding = "same", .groups = 33},
    {.x = {2, 7, 27, 16}, .w = {3, 3, 1, 16}, .strides = {2}, .padding = "same", .groups = 16},
    {.x = {1, 9, 19, 16}, .w = {5, 5, 1, 16}, .padding = "same", .groups = 16},
    {.x = {2, 8, 18, 17}, .w = {5, 5, 1, 17}, .strides = {2}, .padding = "same", .groups = 17},
    {.x = {1, 9, 20, 16}, .w = {3, 3, 1, 16}, .strides = {2}, .groups = 16},
    {.x = {2, 3, 2, 16}, .w = {5, 5, 1, 16}, .padding = "same", .groups = 16},
    {.x = {2, 3, 6, 20, 16}, .w = {2, 3, 3, 1, 16}, .padding = "same", .groups = 16},
    {.x = {1, 40, 24, 32}, .w = {3, 3, 1, 32}, .padding = "same", .groups = 32},  // slices
    {.x = {2, 20, 3}, .w = {3, 1, 3}, .padding = "causal", .groups = 3},
    // groups of few channels
    {.x = {2, 7, 9, 24}, .w = {3, 3, 4, 24}, .padding = "same", .groups = 6},
    {.x = {2, 7, 9, 40}, .w = {3, 2, 8, 40}, .strides = {2, 3}, .groups = 5},
    {.x = {1, 6, 7, 22}, .w = {2, 3, 2, 22}, .dilations = {2}, .padding = "same", .groups = 11},
    {.x = {1, 4, 5, 6, 4}, .w = {2, 3, 2, 2, 4}, .strides = {1, 2, 2}, .groups = 2},
    {.x = {2, 9, 9, 8}, .w = {4, 4, 4, 16}, .strides = {2}, .padding = "same", .groups = 2},
    // one and three dimensions
    {.x = {2, 30, 5}, .w = {4, 5, 7}, .padding = "causal"},
    {.x = {2, 30, 6}, .w = {3, 3, 4}, .dilations = {4}, .padding = "causal", .groups = 2},
    {.x = {2, 31, 18}, .w = {5, 1, 18}, .strides = {2}, .padding = "same", .groups = 18},
    {.x = {2, 4, 5, 6, 3}, .w = {2, 3, 2, 3, 5}, .padding = "same"},
    {.x = {1, 5, 7, 6, 9}, .w = {3, 2, 3, 9, 8}, .strides = {2, 1, 3}},
    {.x = {1, 4, 5, 6, 9}, .w = {2, 3, 2, 9, 8}, .dilations = {2, 1, 3}, .padding = "same"},
    {.x = {2, 4, 5, 6, 5}, .w = {2, 3, 2, 1, 10}, .padding = "same", .groups = 5},
    {.x = {1, 2, 3, 4, 90}, .w = {3, 3, 2, 90, 180}, .padding = "same"},
};

TEST(Conv, EqualsItsDefinition) {
  for (const Geometry& g : kGeometries) {
    const Tensor x = uniform(g.x), w = uniform(g.w, -1, 1, 2);
    const Shape shape = over_products(g, [](Dim, Dim, Dim) {});
    Tensor y = zeros(shape);
    over_products(g, [&](Dim i, Dim j, Dim k) {
      y.data<double>()[k] += x.data<double>()[i] * w.data<double>()[j];
    });
    const std::string what = testing::PrintToString(g);
    expect_near(run_one("conv", {x, w}, g.attrs()), y, 1e-10, what);
    expect_near(run_one("conv", {f32(x), f32(w)}, g.attrs()), y, 1e-3, what);
  }
}

TEST(Conv, GradientsEqualTheirDefinitions) {
  for (const Geometry& g : kGeometries) {
    const Tensor x = uniform(g.x), w = uniform(g.w, -1, 1, 2);
    const Shape shape = over_products(g, [](Dim, Dim, Dim) {});
    const Tensor dy = uniform(shape, -1, 1, 3);
    Tensor dx = zeros(g.x), dw = zeros(g.w);
    over_products(g, [&](Dim i, Dim j, Dim k) {
      dx.data<double>()[i] += dy.data<double>()[k] * w.data<double>()[j];
      dw.data<double>()[j] += dy.data<double>()[k] * x.data<double>()[i];
    });
    const std::string what = testing::PrintToString(g);
    Attrs attrs = g.attrs();
    attrs["input_shape"] = g.x;
    expect_near(run_one("conv_input_grad", {dy, w}, attrs), dx, 1e-10, what);
    expect_near(run_one("conv_input_grad", {f32(dy), f32(w)}, attrs), dx, 1e-3, what);
    attrs = g.attrs();
    attrs["kernel_shape"] = g.w;
    expect_near(run_one("conv_weight_grad", {x, dy}, attrs), dw, 1e-10, what);
    expect_near(run_one("conv_weight_grad", {f32(x), f32(dy)}, attrs), dw, 1e-3, what);
  }
}

TEST(Conv, BiasAndActivationHaveTheBitsOfTheirOps) {
  for (const Dim groups : {1, 2, 4, 16}) {
    const Tensor x = f32(uniform({2, 6, 19, 16}));
    const Tensor w = f32(uniform({3, 3, 16 / groups, 16}, -1, 1, 2));
    const Tensor bias = f32(uniform({16}, -1, 1, 3));
    const Tensor z = run_one("add", {run_one("conv", {x, w}, {{"groups", groups}}), bias});
    for (const std::string name : {"relu", "sigmoid", "tanh"}) {
      const Tensor y = run_one("conv", {x, w, bias}, {{"groups", groups}, {"activation", name}});
      EXPECT_TRUE(same_bits(y, run_one(name, {z}))) << name << ", groups " << groups;
    }
  }
}

TEST(Conv, ATransposedConvolutionTakesBiasAndActivation) {
  struct {
    Shape dy, w, x, strides;
  } const shapes[] = {{{3, 5, 6, 8}, {2, 2, 20, 8}, {3, 10, 12, 20}, {2, 2}},  // side by side
                      {{3, 5, 6, 8}, {3, 3, 20, 8}, {3, 10, 12, 20}, {2, 2}},  // overlapping
                      {{3, 5, 6, 8}, {3, 3, 2, 8}, {3, 10, 12, 2}, {2, 2}},    // few channels
                      {{3, 5, 6, 8}, {3, 3, 20, 8}, {3, 5, 6, 20}, {1, 1}}};
  for (const auto& s : shapes) {
    const Tensor dy = f32(uniform(s.dy)), w = f32(uniform(s.w, -1, 1, 2)),
                 bias = f32(uniform({s.x[3]}, -1, 1, 3));
    Attrs attrs{{"input_shape", s.x}, {"strides", s.strides}, {"padding", std::string("same")}};
    const Tensor z = run_one("add", {run_one("conv_input_grad", {dy, w}, attrs), bias});
    for (const std::string name : {"relu", "sigmoid", "tanh"}) {
      attrs["activation"] = name;
      EXPECT_TRUE(same_bits(run_one("conv_input_grad", {dy, w, bias}, attrs), run_one(name, {z})));
      expect_same_for_all_threads("conv_input_grad", {dy, w, bias}, attrs);
    }
  }
}

// Cells after the last may be left out: pads of (low, high) equal zeros and slices around.
TEST(Conv, GivenPaddingAddsAndLeavesOutCells) {
  const Tensor x = uniform({2, 6, 7, 3}), w = uniform({3, 2, 3, 4}, -1, 1, 2);
  const Tensor padded =
      run_one("pad", {x}, {{"low", Shape{0, 2, 1, 0}}, {"high", Shape{0, 0, 3, 0}}});
  const Tensor cut = run_one(
      "slice", {padded},
      {{"begin", Shape{0, 0, 0, 0}}, {"end", Shape{2, 7, 11, 3}}, {"strides", Shape{1, 1, 1, 1}}});
  const Tensor expected = run_one("conv", {cut, w}, {{"strides", Shape{2, 1}}});
  const Attrs attrs{{"strides", Shape{2, 1}}, {"pads", Shape{2, -1, 1, 3}}};
  expect_near(run_one("conv", {x, w}, attrs), expected, 1e-12, "pads");
}

TEST(Conv, ImagesDoNotKnowTheirBatch) {
  for (const Geometry& g : kGeometries) {
    Shape many = g.x;
    many[0] = 5;
    expect_rows_independent("conv", {f32(uniform(many)), f32(uniform(g.w, -1, 1, 2))}, g.attrs());
  }
}

TEST(Conv, ThreadsDoNotMatter) {
  for (const Dim groups : {1, 4, 16})
    for (const Dim stride : {1, 2}) {
      const Tensor x = f32(uniform({9, 40, 40, 16}));
      const Tensor w = f32(uniform({3, 3, 16 / groups, stride * 16}, -1, 1, 2));
      Attrs attrs{
          {"padding", std::string("same")}, {"groups", groups}, {"strides", Shape{stride, stride}}};
      expect_same_for_all_threads("conv", {x, w}, attrs);
      const Tensor dy = f32(uniform(inferred("conv", {x.shape(), w.shape()}, attrs), -1, 1, 3));
      Attrs with_shape = attrs;
      with_shape["input_shape"] = x.shape();
      expect_same_for_all_threads("conv_input_grad", {dy, w}, with_shape);
      with_shape = attrs;
      with_shape["kernel_shape"] = w.shape();
      expect_same_for_all_threads("conv_weight_grad", {x, dy}, with_shape);
    }
}

TEST(Conv, ShapeRules) {
  const Shape w{5, 5, 3, 8};
  const Attrs same{{"padding", std::string("same")}, {"strides", Shape{2, 2}}};
  EXPECT_EQ(inferred("conv", {{kUnknown, 28, 28, 3}, w}), (Shape{kUnknown, 24, 24, 8}));
  EXPECT_EQ(inferred("conv", {{kUnknown, kUnknown, 27, 3}, w}, same),
            (Shape{kUnknown, kUnknown, 14, 8}));
  EXPECT_NE(refusal("conv", {{1, 4, 4, 3}, w})
                .find("kernel 5 x 5 does not fit into input 4 x 4 with padding 'valid'"),
            std::string::npos);
  EXPECT_NE(refusal("conv", {{1, 9, 9, 4}, w}).find("the input has 4 channels, the kernel takes 3"),
            std::string::npos);
  EXPECT_NE(refusal("conv", {{1, 9, 9, 6}, w},
                    {{"groups", std::int64_t{2}}, {"padding", std::string("full")}})
                .find("padding 'full'"),
            std::string::npos);
  EXPECT_NE(refusal("conv", {{1, 9, 9, 9}, w}, {{"groups", std::int64_t{3}}})
                .find("8 filters cannot be divided into 3 groups"),
            std::string::npos);
  EXPECT_NE(refusal("conv", {{1, 9, 9, 3}, w}, {{"strides", Shape{0, 1}}}).find("positive"),
            std::string::npos);
  EXPECT_NE(
      refusal("conv", {{1, 9, 9, 3}, w, {7}}).find("the bias has size 7, the kernel 8 filters"),
      std::string::npos);
  EXPECT_NE(refusal("conv", {{9, 9, 3}, w}), "no error");
  EXPECT_NE(refusal("conv_input_grad", {{1, 5, 5, 8}, w, {7}}, {{"input_shape", Shape{1, 9, 9, 3}}})
                .find("the bias has size 7, the result 3 channels"),
            std::string::npos);
}

}  // namespace
