#include <limits>

#include "kernel_testing.h"

using namespace lamina;

namespace {

Attrs pool(Shape size, Shape strides, const char* padding) {
  return {{"pool_size", std::move(size)},
          {"strides", std::move(strides)},
          {"padding", std::string(padding)}};
}

const Attrs kPools[] = {
    pool({2, 2}, {2, 2}, "valid"), pool({3, 2}, {1, 2}, "same"), pool({1, 3}, {1, 1}, "valid"),
    pool({2, 2}, {3, 3}, "same"),  pool({3, 3}, {2, 2}, "same"), pool({4, 4}, {1, 1}, "valid"),
};

// The cells of a window by definition: rows first, those outside left out.
std::vector<Dim> cells_of(const Shape& x, const Shape& y, const Attrs& attrs, Dim oh, Dim ow) {
  const auto& size = std::get<Shape>(attrs.at("pool_size"));
  const auto& stride = std::get<Shape>(attrs.at("strides"));
  const bool same = std::get<std::string>(attrs.at("padding")) == "same";
  const auto before = [&](int i) {
    const Dim missing = (y[i + 1] - 1) * stride[i] + size[i] - x[i + 1];
    return same ? std::max<Dim>(missing, 0) / 2 : 0;
  };
  std::vector<Dim> cells;
  for (Dim i = 0; i < size[0]; ++i)
    for (Dim j = 0; j < size[1]; ++j) {
      const Dim h = oh * stride[0] - before(0) + i, w = ow * stride[1] - before(1) + j;
      if (h >= 0 && h < x[1] && w >= 0 && w < x[2]) cells.push_back(h * x[2] + w);
    }
  return cells;
}

// Calls body(index into y, image plane's first index, cells) for every window and channel.
template <class Body>
void over_windows(const Shape& x, const Shape& y, const Attrs& attrs, const Body& body) {
  for (Dim n = 0; n < y[0]; ++n)
    for (Dim oh = 0; oh < y[1]; ++oh)
      for (Dim ow = 0; ow < y[2]; ++ow)
        for (Dim c = 0; c < y[3]; ++c)
          body(((n * y[1] + oh) * y[2] + ow) * y[3] + c, n * x[1] * x[2] * x[3] + c,
               cells_of(x, y, attrs, oh, ow));
}

TEST(Pool, EqualsItsDefinition) {
  for (const Dim channels : {1, 3, 16, 37})
    for (const Attrs& attrs : kPools) {
      const Tensor x = distinct({2, 6, 7, channels});
      const std::vector<Tensor> max = run_op("max_pool", std::vector<Tensor>{x}, attrs);
      const std::vector<Tensor> single = run_op("max_pool", std::vector<Tensor>{f32(x)}, attrs);
      const Tensor avg = run_one("avg_pool", {x}, attrs);
      expect_near(single[0], max[0], 1e-6);
      over_windows(
          x.shape(), avg.shape(), attrs, [&](Dim out, Dim plane, const std::vector<Dim>& cells) {
            double best = -std::numeric_limits<double>::infinity(), sum = 0;
            Dim where = -1;
            for (const Dim cell : cells) {
              const double v = x.data<double>()[plane + cell * channels];
              sum += v;
              if (v > best) best = v, where = cell;
            }
            ASSERT_EQ(max[0].data<double>()[out], best);
            ASSERT_EQ(max[1].data<std::int32_t>()[out], where);
            ASSERT_EQ(single[1].data<std::int32_t>()[out], where);
            ASSERT_NEAR(avg.data<double>()[out], sum / static_cast<double>(cells.size()), 1e-14);
          });
    }
}

TEST(Pool, GradientsGoWhereTheValuesCameFrom) {
  for (const Dim channels : {1, 3, 16, 37})
    for (Attrs attrs : kPools) {
      const Tensor x = distinct({2, 6, 7, channels});
      const std::vector<Tensor> max = run_op("max_pool", std::vector<Tensor>{x}, attrs);
      const Tensor dy = uniform(max[0].shape(), -1, 1, 3);
      Tensor from_max = Tensor::zeros(x.spec()), from_avg = Tensor::zeros(x.spec());
      over_windows(
          x.shape(), dy.shape(), attrs, [&](Dim out, Dim plane, const std::vector<Dim>& cells) {
            const double d = dy.data<double>()[out];
            from_max.data<double>()[plane + max[1].data<std::int32_t>()[out] * channels] += d;
            for (const Dim cell : cells)
              from_avg.data<double>()[plane + cell * channels] +=
                  d / static_cast<double>(cells.size());
          });
      attrs["input_shape"] = x.shape();
      expect_near(run_one("max_pool_grad", {dy, max[1]}, attrs), from_max, 1e-14);
      expect_near(run_one("max_pool_grad", {f32(dy), max[1]}, attrs), from_max, 1e-5);
      expect_near(run_one("avg_pool_grad", {dy}, attrs), from_avg, 1e-14);
    }
}

TEST(Pool, TheFirstOfEqualsAndNanWin) {
  const float nan = NAN, inf = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::of<float>({1, 2, 8, 1}, {3, 3, 1, nan, -inf, -inf, 1, 2,  //
                                                    3, 3, 2, nan, -inf, -inf, nan, inf});
  const auto out = run_op("max_pool", std::vector<Tensor>{x}, pool({2, 2}, {2, 2}, "valid"));
  const float* y = out[0].data<float>();
  EXPECT_EQ(y[0], 3);
  EXPECT_TRUE(std::isnan(y[1]));
  EXPECT_EQ(y[2], -inf);
  EXPECT_TRUE(std::isnan(y[3]));
  const std::int32_t* argmax = out[1].data<std::int32_t>();
  EXPECT_EQ(argmax[0], 0);
  EXPECT_EQ(argmax[1], 3);
  EXPECT_EQ(argmax[2], 4);
  EXPECT_EQ(argmax[3], 14);
}

// Part i of n of an axis, as a list of cells.
std::vector<Dim> part(Dim i, Dim n, Dim size) {
  std::vector<Dim> cells;
  for (Dim c = i * size / n; c * n < (i + 1) * size; ++c) cells.push_back(c);
  return cells;
}

TEST(Pool, EqualPartsAreReduced) {
  const Tensor x = distinct({2, 7, 5, 3, 2});
  for (const Shape& sizes : {Shape{3, 5, 1}, Shape{7, 2, 3}, Shape{9, 4, 2}}) {
    const Attrs attrs{{"output_size", sizes}};
    const Tensor max = run_one("max_pool", {x}, attrs), avg = run_one("avg_pool", {x}, attrs);
    ASSERT_EQ(max.shape(), (Shape{2, sizes[0], sizes[1], sizes[2], 2}));
    Dim out = 0;
    for (Dim n = 0; n < 2; ++n)
      for (Dim i = 0; i < sizes[0]; ++i)
        for (Dim j = 0; j < sizes[1]; ++j)
          for (Dim k = 0; k < sizes[2]; ++k)
            for (Dim channel = 0; channel < 2; ++channel, ++out) {
              double best = -2, sum = 0, count = 0;
              for (const Dim d : part(i, sizes[0], 7))
                for (const Dim h : part(j, sizes[1], 5))
                  for (const Dim w : part(k, sizes[2], 3)) {
                    const Dim cell = ((n * 7 + d) * 5 + h) * 3 + w;
                    const double v = x.data<double>()[cell * 2 + channel];
                    best = std::max(best, v), sum += v, ++count;
                  }
              ASSERT_EQ(max.data<double>()[out], best);
              ASSERT_NEAR(avg.data<double>()[out], sum / count, 1e-14);
            }
  }
}

Tensor reshaped(const Tensor& x, Shape shape) {
  return run_one("reshape", {x}, {{"shape", std::move(shape)}});
}

// A volume whose depth or height is one cell pools as the image or the sequence in it.
TEST(Pool, RanksAgree) {
  const Tensor line = distinct({3, 11, 5});
  const Tensor image = reshaped(line, {3, 1, 11, 5}), volume = reshaped(line, {3, 1, 1, 11, 5});
  for (const char* op : {"max_pool", "avg_pool"}) {
    const Tensor one = run_one(op, {line}, pool({3}, {2}, "same"));
    const Tensor two = run_one(op, {image}, pool({1, 3}, {1, 2}, "same"));
    const Tensor three = run_one(op, {volume}, pool({1, 1, 3}, {1, 1, 2}, "same"));
    EXPECT_TRUE(same_bits(one, reshaped(two, one.shape())));
    EXPECT_TRUE(same_bits(one, reshaped(three, one.shape())));
  }
}

TEST(Pool, ImagesAndThreadsAreIndependent) {
  const Attrs attrs = pool({3, 3}, {2, 2}, "same");
  const Tensor x = f32(uniform({12, 40, 40, 20}));
  for (const char* op : {"max_pool", "avg_pool"}) {
    expect_rows_independent(op, {x}, attrs);
    expect_same_for_all_threads(op, {x}, attrs);
  }
  const auto max = run_op("max_pool", std::vector<Tensor>{x}, attrs);
  const Tensor dy = f32(uniform(max[0].shape(), -1, 1, 2));
  Attrs with_shape = attrs;
  with_shape["input_shape"] = x.shape();
  expect_same_for_all_threads("max_pool_grad", {dy, max[1]}, with_shape);
  expect_same_for_all_threads("avg_pool_grad", {dy}, with_shape);
}

TEST(Pool, ShapeRules) {
  EXPECT_EQ(inferred("max_pool", {{kUnknown, kUnknown, 7, 3}}, {{"pool_size", Shape{2, 2}}}),
            (Shape{kUnknown, kUnknown, 3, 3}));
  EXPECT_EQ(inferred("avg_pool", {{kUnknown, 7, 7, 3}},
                     {{"pool_size", Shape{2, 2}}, {"padding", std::string("same")}}),
            (Shape{kUnknown, 4, 4, 3}));
  EXPECT_NE(refusal("max_pool", {{1, 4, 1, 3}}, {{"pool_size", Shape{2, 2}}})
                .find("pooling window 2 x 2 does not fit into input 4 x 1 with padding 'valid'"),
            std::string::npos);
  EXPECT_EQ(inferred("max_pool", {{kUnknown, kUnknown, 3}}, {{"output_size", Shape{4}}}),
            (Shape{kUnknown, 4, 3}));
  EXPECT_NE(refusal("max_pool", {{1, 3}}, {{"pool_size", Shape{2}}}).find("spatial axes"),
            std::string::npos);
  EXPECT_NE(refusal("max_pool", {{1, 4, 4, 3}}).find("pool_size"), std::string::npos);
  EXPECT_NE(refusal("avg_pool", {{1, 4, 4, 3}}, {{"pool_size", Shape{2, -1}}}).find("positive"),
            std::string::npos);
}

}  // namespace
