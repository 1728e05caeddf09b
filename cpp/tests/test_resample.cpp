#include "kernel_testing.h"

using namespace lamina;

namespace {

struct Table {
  Tensor weights, starts;  // [out, taps], [out]
};
Table table(Dim in, Dim out, Dim taps) {
  return {uniform({out, taps}, -1, 1, 5), integers({out}, in - taps + 1, 6)};
}
Attrs along(Dim axis) { return {{"axis", axis}}; }

TEST(Resample, EqualsItsDefinition) {
  const Dim in = 9, out = 14, taps = 3;
  const Table t = table(in, out, taps);
  for (const Dim inner : {1, 3, 16, 37}) {
    const Tensor x = uniform({4, in, inner});
    const Tensor y = run_one("resample", {x, t.weights, t.starts}, along(1));
    ASSERT_EQ(y.shape(), (Shape{4, out, inner}));
    for (Dim i = 0; i < 4 * out * inner; ++i) {
      const Dim n = i / (out * inner), o = i / inner % out, c = i % inner;
      double sum = 0;
      for (Dim k = 0; k < taps; ++k)
        sum += t.weights.data<double>()[o * taps + k] *
               x.data<double>()[(n * in + t.starts.data<std::int32_t>()[o] + k) * inner + c];
      ASSERT_NEAR(y.data<double>()[i], sum, 1e-14);
    }
    expect_near(run_one("resample", {f32(x), f32(t.weights), t.starts}, along(1)), y, 1e-6);
  }
}

TEST(Resample, RowsAndThreadsAreIndependent) {
  const Table t = table(50, 70, 4);
  const Tensor w = f32(t.weights);
  for (const Dim inner : {3, 3000}) {
    const Tensor x = f32(uniform({6, 50, inner})), dy = f32(uniform({6, 70, inner}));
    expect_rows_independent("resample", {x, w, t.starts}, along(1));
    expect_same_for_all_threads("resample", {x, w, t.starts}, along(1));
    Attrs attrs = along(1);
    attrs["size"] = Dim{50};
    expect_rows_independent("resample_grad", {dy, w, t.starts}, attrs);
    expect_same_for_all_threads("resample_grad", {dy, w, t.starts}, attrs);
  }
}

TEST(Resample, StartsOutsideAreRefused) {
  const Tensor x = uniform({2, 4}), w = uniform({3, 2});
  for (const std::int32_t bad : {-1, 3, 2147483647})
    EXPECT_THROW(run_one("resample", {x, w, Tensor::of<std::int32_t>({3}, {0, bad, 1})}, along(1)),
                 Error);
}

TEST(Resample, ShapeRules) {
  const auto shape = [](const Shape& x, const Shape& weights, Dim axis) {
    const std::vector<Spec> specs{
        {DType::f32, x}, {DType::f32, weights}, {DType::i32, {weights[0]}}};
    return infer("resample", specs, along(axis))[0].shape;
  };
  EXPECT_EQ(shape({kUnknown, kUnknown, 3}, {7, 2}, 1), (Shape{kUnknown, 7, 3}));
  EXPECT_EQ(shape({2, 5, kUnknown}, {7, 2}, -2), (Shape{2, 7, kUnknown}));
  EXPECT_THROW(shape({2, 5}, {7, 0}, 1), Error);
  EXPECT_THROW(shape({2, 5}, {7, 2}, 2), Error);
}

}  // namespace
