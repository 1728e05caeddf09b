#include "kernel_testing.h"

using namespace lamina;

namespace {

struct Geometry {
  Shape x, w;
  Dim stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  bool same = false;
  Dim groups = 1;

  Attrs attrs() const {
    return {{"strides", Shape{stride_h, stride_w}},
            {"dilations", Shape{dilation_h, dilation_w}},
            {"padding", std::string(same ? "same" : "valid")},
            {"groups", groups}};
  }
};

std::ostream& operator<<(std::ostream& out, const Geometry& g) {
  return out << to_string(g.x) << " * " << to_string(g.w) << ", stride " << g.stride_h << " "
             << g.stride_w << ", dilation " << g.dilation_h << " " << g.dilation_w
             << (g.same ? ", same" : ", valid") << ", groups " << g.groups;
}

Dim size_of_output(Dim in, Dim kernel, Dim stride, Dim dilation, bool same) {
  return same ? (in + stride - 1) / stride : (in - (kernel - 1) * dilation - 1) / stride + 1;
}
Dim cells_before(Dim in, Dim kernel, Dim stride, Dim dilation, bool same) {
  const Dim out = size_of_output(in, kernel, stride, dilation, same);
  return same ? std::max<Dim>((out - 1) * stride + (kernel - 1) * dilation + 1 - in, 0) / 2 : 0;
}

// Calls body(x index, w index, y index) for every product of the convolution, by its definition.
template <class Body>
Shape over_products(const Geometry& g, const Body& body) {
  const Dim out_h = size_of_output(g.x[1], g.w[0], g.stride_h, g.dilation_h, g.same);
  const Dim out_w = size_of_output(g.x[2], g.w[1], g.stride_w, g.dilation_w, g.same);
  const Dim top = cells_before(g.x[1], g.w[0], g.stride_h, g.dilation_h, g.same);
  const Dim left = cells_before(g.x[2], g.w[1], g.stride_w, g.dilation_w, g.same);
  const Dim filters = g.w[3], in_group = g.w[2], out_group = filters / g.groups;
  for (Dim n = 0; n < g.x[0]; ++n)
    for (Dim oh = 0; oh < out_h; ++oh)
      for (Dim ow = 0; ow < out_w; ++ow)
        for (Dim f = 0; f < filters; ++f)
          for (Dim kh = 0; kh < g.w[0]; ++kh)
            for (Dim kw = 0; kw < g.w[1]; ++kw)
              for (Dim c = 0; c < in_group; ++c) {
                const Dim ih = oh * g.stride_h - top + kh * g.dilation_h;
                const Dim iw = ow * g.stride_w - left + kw * g.dilation_w;
                if (ih < 0 || ih >= g.x[1] || iw < 0 || iw >= g.x[2]) continue;
                body(((n * g.x[1] + ih) * g.x[2] + iw) * g.x[3] + f / out_group * in_group + c,
                     ((kh * g.w[1] + kw) * in_group + c) * filters + f,
                     ((n * out_h + oh) * out_w + ow) * filters + f);
              }
  return {g.x[0], out_h, out_w, filters};
}

Tensor zeros(const Shape& shape) { return Tensor::zeros(Spec{DType::f64, shape}); }

const Geometry kGeometries[] = {
    {.x = {2, 7, 8, 1}, .w = {3, 3, 1, 32}},
    {.x = {2, 7, 8, 3}, .w = {3, 2, 3, 20}, .same = true},
    {.x = {1, 9, 9, 3}, .w = {7, 7, 3, 5}, .stride_h = 2, .stride_w = 2, .same = true},
    {.x = {3, 6, 5, 17}, .w = {2, 3, 17, 33}, .stride_h = 1, .stride_w = 2},
    {.x = {1, 10, 11, 4}, .w = {3, 3, 4, 6}, .dilation_h = 2, .dilation_w = 3},
    {.x = {1, 10, 11, 4}, .w = {3, 3, 4, 6}, .dilation_h = 2, .dilation_w = 3, .same = true},
    {.x = {2, 5, 6, 20}, .w = {1, 1, 20, 7}},
    {.x = {2, 5, 6, 20}, .w = {1, 1, 20, 7}, .stride_h = 3, .stride_w = 2, .same = true},
    {.x = {2, 6, 6, 8}, .w = {3, 3, 4, 6}, .same = true, .groups = 2},
    {.x = {2, 6, 6, 6}, .w = {3, 2, 2, 3}, .stride_h = 2, .stride_w = 1, .groups = 3},
    {.x = {2, 7, 6, 37}, .w = {3, 3, 1, 37}, .same = true, .groups = 37},
    {.x = {2, 7, 6, 5}, .w = {3, 2, 1, 5}, .stride_h = 2, .stride_w = 3, .groups = 5},
    {.x = {2, 7, 6, 5},
     .w = {2, 2, 1, 5},
     .dilation_h = 2,
     .dilation_w = 2,
     .same = true,
     .groups = 5},
    {.x = {2, 5, 5, 3}, .w = {2, 2, 1, 6}, .groups = 3},
    {.x = {1, 1, 40, 5}, .w = {1, 5, 5, 9}, .same = true},
    {.x = {1, 2, 2, 3}, .w = {5, 4, 3, 2}, .same = true},
    {.x = {1, 40, 40, 8}, .w = {3, 3, 8, 16}, .same = true},     // several blocks and chunks
    {.x = {1, 5, 5, 130}, .w = {3, 3, 130, 260}, .same = true},  // weights by position
};

TEST(Conv2d, EqualsItsDefinition) {
  for (const Geometry& g : kGeometries) {
    const Tensor x = uniform(g.x), w = uniform(g.w, -1, 1, 2);
    const Shape shape = over_products(g, [](Dim, Dim, Dim) {});
    Tensor y = zeros(shape);
    over_products(g, [&](Dim i, Dim j, Dim k) {
      y.data<double>()[k] += x.data<double>()[i] * w.data<double>()[j];
    });
    const std::string what = testing::PrintToString(g);
    expect_near(run_one("conv2d", {x, w}, g.attrs()), y, 1e-10, what);
    expect_near(run_one("conv2d", {f32(x), f32(w)}, g.attrs()), y, 1e-3, what);
  }
}

TEST(Conv2d, GradientsEqualTheirDefinitions) {
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
    expect_near(run_one("conv2d_input_grad", {dy, w}, attrs), dx, 1e-10, what);
    expect_near(run_one("conv2d_input_grad", {f32(dy), f32(w)}, attrs), dx, 1e-3, what);
    attrs = g.attrs();
    attrs["kernel_shape"] = g.w;
    expect_near(run_one("conv2d_weight_grad", {x, dy}, attrs), dw, 1e-10, what);
    expect_near(run_one("conv2d_weight_grad", {f32(x), f32(dy)}, attrs), dw, 1e-3, what);
  }
}

TEST(Conv2d, BiasAndActivationHaveTheBitsOfTheirOps) {
  for (const Dim groups : {1, 2, 8}) {
    const Tensor x = f32(uniform({2, 6, 7, 8})), w = f32(uniform({3, 3, 8 / groups, 8}, -1, 1, 2));
    const Tensor bias = f32(uniform({8}, -1, 1, 3));
    const Tensor z = run_one("add", {run_one("conv2d", {x, w}, {{"groups", groups}}), bias});
    for (const std::string name : {"relu", "sigmoid", "tanh"}) {
      const Tensor y = run_one("conv2d", {x, w, bias}, {{"groups", groups}, {"activation", name}});
      EXPECT_TRUE(same_bits(y, run_one(name, {z}))) << name << ", groups " << groups;
    }
  }
}

TEST(Conv2d, ImagesDoNotKnowTheirBatch) {
  for (const Geometry& g : kGeometries) {
    Shape many = g.x;
    many[0] = 5;
    expect_rows_independent("conv2d", {f32(uniform(many)), f32(uniform(g.w, -1, 1, 2))}, g.attrs());
  }
}

TEST(Conv2d, ThreadsDoNotMatter) {
  for (const Dim groups : {1, 4, 16})
    for (const Dim stride : {1, 2}) {
      const Tensor x = f32(uniform({9, 40, 40, 16}));
      const Tensor w = f32(uniform({3, 3, 16 / groups, 16}, -1, 1, 2));
      Attrs attrs{
          {"padding", std::string("same")}, {"groups", groups}, {"strides", Shape{stride, stride}}};
      expect_same_for_all_threads("conv2d", {x, w}, attrs);
      const Tensor dy = f32(uniform(inferred("conv2d", {x.shape(), w.shape()}, attrs), -1, 1, 3));
      Attrs with_shape = attrs;
      with_shape["input_shape"] = x.shape();
      expect_same_for_all_threads("conv2d_input_grad", {dy, w}, with_shape);
      with_shape = attrs;
      with_shape["kernel_shape"] = w.shape();
      expect_same_for_all_threads("conv2d_weight_grad", {x, dy}, with_shape);
    }
}

TEST(Conv2d, ShapeRules) {
  const Shape w{5, 5, 3, 8};
  const Attrs same{{"padding", std::string("same")}, {"strides", Shape{2, 2}}};
  EXPECT_EQ(inferred("conv2d", {{kUnknown, 28, 28, 3}, w}), (Shape{kUnknown, 24, 24, 8}));
  EXPECT_EQ(inferred("conv2d", {{kUnknown, kUnknown, 27, 3}, w}, same),
            (Shape{kUnknown, kUnknown, 14, 8}));
  EXPECT_NE(refusal("conv2d", {{1, 4, 4, 3}, w})
                .find("kernel 5 x 5 does not fit into input 4 x 4 with padding 'valid'"),
            std::string::npos);
  EXPECT_NE(
      refusal("conv2d", {{1, 9, 9, 4}, w}).find("the input has 4 channels, the kernel takes 3"),
      std::string::npos);
  EXPECT_NE(refusal("conv2d", {{1, 9, 9, 6}, w},
                    {{"groups", std::int64_t{2}}, {"padding", std::string("full")}})
                .find("padding 'full'"),
            std::string::npos);
  EXPECT_NE(refusal("conv2d", {{1, 9, 9, 9}, w}, {{"groups", std::int64_t{3}}})
                .find("8 filters cannot be divided into 3 groups"),
            std::string::npos);
  EXPECT_NE(refusal("conv2d", {{1, 9, 9, 3}, w}, {{"strides", Shape{0, 1}}}).find("positive"),
            std::string::npos);
  EXPECT_NE(
      refusal("conv2d", {{1, 9, 9, 3}, w, {7}}).find("the bias has size 7, the kernel 8 filters"),
      std::string::npos);
  EXPECT_NE(refusal("conv2d", {{9, 9, 3}, w}), "no error");
}

}  // namespace
