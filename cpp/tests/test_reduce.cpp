#include <algorithm>
#include <limits>

#include "kernel_testing.h"

using namespace lamina;

namespace {

Attrs over(Shape axes, bool keepdims = false) {
  return {{"axes", std::move(axes)}, {"keepdims", keepdims}};
}

// The elements of x that fall together when `axes` are reduced, group by group.
std::vector<std::vector<double>> groups_of(const Tensor& x, const Shape& axes) {
  Shape kept;
  for (std::size_t i = 0; i < x.shape().size(); ++i) {
    const bool reduced = std::find(axes.begin(), axes.end(), static_cast<Dim>(i)) != axes.end();
    kept.push_back(reduced ? 1 : x.shape()[i]);
  }
  std::vector<std::vector<double>> groups(static_cast<std::size_t>(element_count(kept)));
  const Tensor values = to_floating(x, DType::f64);
  for (std::size_t flat = 0; flat < x.size(); ++flat) {
    std::size_t rest = flat, group = 0, step = 1;
    for (std::size_t i = kept.size(); i-- > 0;) {
      const auto size = static_cast<std::size_t>(x.shape()[i]);
      if (kept[i] != 1) group += rest % size * step;
      step *= static_cast<std::size_t>(kept[i]);
      rest /= size;
    }
    groups[group].push_back(values.data<double>()[flat]);
  }
  return groups;
}

double expected(const std::string& op, const std::vector<double>& g) {
  const auto n = static_cast<double>(g.size());
  double sum = 0, squares = 0, product = 1, exps = 0;
  for (const double v : g) sum += v, product *= v, exps += std::exp(v);
  for (const double v : g) squares += (v - sum / n) * (v - sum / n);
  if (op == "sum") return sum;
  if (op == "mean") return sum / n;
  if (op == "prod") return product;
  if (op == "var") return squares / n;
  if (op == "logsumexp") return std::log(exps);
  return op == "max" ? *std::max_element(g.begin(), g.end())
                     : *std::min_element(g.begin(), g.end());
}

const std::pair<Shape, Shape> kShapes[] = {
    {{5}, {0}},          {{1000}, {0}},       {{70000}, {0}},         {{3, 4097}, {1}},
    {{40, 10}, {1}},     {{40, 10}, {0}},     {{1, 8}, {0}},          {{1300, 5}, {0}},
    {{20000, 3}, {0}},   {{1100, 100}, {0}},  {{2, 300, 70}, {1}},    {{4, 5, 6}, {0, 1}},
    {{4, 5, 6}, {0, 2}}, {{4, 5, 6}, {1, 2}}, {{3, 4, 3, 4}, {1, 3}}, {{3, 4, 3, 4}, {0, 2}},
    {{7, 1, 5}, {1}},    {{2, 9, 33}, {1}},   {{6, 3}, {}},           {{2, 2100, 3}, {1}},
};

TEST(Reduce, EqualsItsDefinition) {
  for (const char* op : {"sum", "mean", "prod", "max", "min", "var", "logsumexp"})
    for (const auto& [shape, axes] : kShapes) {
      const bool product = std::string(op) == "prod";
      const Tensor x = product ? uniform(shape, 0.99, 1.01) : uniform(shape, -2, 2);
      for (const DType dtype : {DType::f32, DType::f64}) {
        const Tensor in = to_floating(x, dtype),
                     y = to_floating(run_one(op, {in}, over(axes)), DType::f64);
        const auto groups = groups_of(in, axes);
        ASSERT_EQ(y.size(), groups.size());
        for (std::size_t i = 0; i < groups.size(); ++i) {
          const double want = expected(op, groups[i]), eps = dtype == DType::f32 ? 2e-6 : 1e-11;
          // rounding grows with what is added up, not with what remains
          const double size =
              std::string(op) == "sum" ? 0.05 * static_cast<double>(groups[i].size()) : 0;
          ASSERT_NEAR(y.data<double>()[i], want,
                      eps * std::max({3.0, std::fabs(want), size}) * (product ? 50 : 1))
              << op << " " << to_string(shape) << " over " << to_string(axes) << " at " << i;
        }
      }
    }
}

// A long float32 sum stays close to the exact one, in rows and in columns.
// All axes but the last; also where the mean is far from zero.
TEST(Reduce, MomentsEqualTheirDefinition) {
  for (const Shape& shape : {Shape{1, 4}, Shape{7, 3}, Shape{1100, 100}, Shape{20000, 3},
                             Shape{30, 41, 10}, Shape{4, 9, 9, 37}, Shape{1025, 16}})
    for (const double offset : {0.0, 1000.0}) {
      const Tensor x = f32(uniform(shape, offset - 1, offset + 1));
      Shape axes;
      for (std::size_t i = 0; i + 1 < shape.size(); ++i) axes.push_back(static_cast<Dim>(i));
      const auto groups = groups_of(x, axes);
      const auto got = run_op("moments", std::vector<Tensor>{x});
      for (std::size_t c = 0; c < groups.size(); ++c) {
        EXPECT_NEAR(got[0].data<float>()[c], expected("mean", groups[c]), 2e-7 + 2e-7 * offset);
        EXPECT_NEAR(got[1].data<float>()[c], expected("var", groups[c]), 1e-6 + 1e-7 * offset);
      }
      expect_same_for_all_threads("moments", {x});
    }
}

TEST(Reduce, LongSumsAreAccurate) {
  const Tensor x = f32(uniform({1 << 22}, 0, 1));
  double exact = 0;
  for (std::size_t i = 0; i < x.size(); ++i) exact += x.data<float>()[i];
  EXPECT_NEAR(run_one("sum", {x}).data<float>()[0], exact, exact * 3e-7);
  for (const Dim columns : {1, 2, 64}) {
    const Tensor rows = Tensor::wrap({DType::f32, {(1 << 22) / columns, columns}},
                                     const_cast<void*>(x.raw()), x.owner());
    const Tensor sums = run_one("sum", {rows}, over({0}));
    double total = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) total += sums.data<float>()[i];
    EXPECT_NEAR(total, exact, exact * 3e-7) << columns << " columns";
  }
}

TEST(Reduce, BitsDependOnTheReducedExtentOnly) {
  for (const char* op : {"sum", "mean", "max", "var", "logsumexp"}) {
    for (const Dim extent : {5, 10, 100, 5000})
      expect_rows_independent(op, {f32(uniform({9, extent}))}, over({1}, true));
    expect_rows_independent(op, {f32(uniform({5, 130, 20}))}, over({1}, true));
    expect_rows_independent(op, {f32(uniform({5, 130, 40}))}, over({1}, true));
    for (const auto& [shape, axes] : kShapes)
      expect_same_for_all_threads(op, {f32(uniform(shape))}, over(axes));
    expect_same_for_all_threads(op, {f32(uniform({400000}))});
    expect_same_for_all_threads(op, {f32(uniform({40000, 16}))}, over({0}));
  }
  expect_same_for_all_threads("sum_squares", {f32(uniform({300000}))});
  // A column does not depend on the number of columns beside it, as long as they fill vectors.
  const Tensor wide = f32(uniform({500, 128}));
  const Tensor all = run_one("sum", {wide}, over({0}));
  const Tensor half = run_one("slice", {wide}, {{"begin", Shape{0, 0}}, {"end", Shape{500, 64}}});
  EXPECT_EQ(std::memcmp(run_one("sum", {half}, over({0})).raw(), all.raw(), 64 * sizeof(float)), 0);
}

TEST(Reduce, SpecialValues) {
  constexpr float kInf = std::numeric_limits<float>::infinity(),
                  kNan = std::numeric_limits<float>::quiet_NaN();
  for (const Dim n : {3, 40}) {  // few elements, and vectors
    std::vector<float> values(static_cast<std::size_t>(n), 1.f);
    values[1] = kInf;
    const Tensor infinite = Tensor::of<float>({n}, values);
    EXPECT_EQ(run_one("sum", {infinite}).data<float>()[0], kInf);
    EXPECT_EQ(run_one("logsumexp", {infinite}).data<float>()[0], kInf);
    values[1] = kNan;
    const Tensor nan = Tensor::of<float>({n}, values);
    for (const char* op : {"sum", "mean", "max", "min", "logsumexp", "var"})
      EXPECT_TRUE(std::isnan(run_one(op, {nan}).data<float>()[0])) << op;
    EXPECT_EQ(run_one("argmax", {nan}).data<std::int64_t>()[0], 1);
    const Tensor column =
        Tensor::wrap({DType::f32, {n, 1, 1}}, const_cast<void*>(infinite.raw()), infinite.owner());
    const Tensor columns = run_one("broadcast_to", {column}, {{"shape", Shape{n, 1, 40}}});
    EXPECT_EQ(run_one("sum", {columns}, over({0})).data<float>()[7], kInf);
  }
  const Tensor low = Tensor::of<float>({2}, {-kInf, -kInf});
  EXPECT_EQ(run_one("logsumexp", {low}).data<float>()[0], -kInf);
  const Tensor none = Tensor(Spec{DType::f32, {3, 0}});
  EXPECT_EQ(run_one("sum", {none}, over({1})).data<float>()[2], 0);
  EXPECT_EQ(run_one("prod", {none}, over({1})).data<float>()[2], 1);
  EXPECT_TRUE(std::isnan(run_one("mean", {none}, over({1})).data<float>()[0]));
  EXPECT_NE(refusal("max", {{3, 0}}, over({1})).find("axis 1 is empty"), std::string::npos);
}

TEST(Reduce, IntegersAndBools) {
  const Tensor x = Tensor::of<std::int32_t>({2, 3}, {4, -9, 2, 7, 7, 1});
  EXPECT_EQ(run_one("sum", {x}).data<std::int32_t>()[0], 12);
  EXPECT_EQ(run_one("max", {x}, over({0})).data<std::int32_t>()[1], 7);
  EXPECT_EQ(run_one("min", {x}, over({1})).data<std::int32_t>()[0], -9);
  EXPECT_EQ(run_one("prod", {x}, over({1})).data<std::int32_t>()[1], 49);
  const Tensor b = Tensor::of<bool>({2, 3}, {false, true, false, true, true, true});
  EXPECT_EQ(run_one("any", {b}, over({1})).data<bool>()[0], true);
  EXPECT_EQ(run_one("all", {b}, over({1})).data<bool>()[0], false);
  EXPECT_EQ(run_one("all", {b}, over({1})).data<bool>()[1], true);
  EXPECT_EQ(run_one("any", {b}, over({0})).data<bool>()[1], true);
  const Tensor none = Tensor(Spec{DType::boolean, {0}});
  EXPECT_EQ(run_one("any", {none}).data<bool>()[0], false);
  EXPECT_EQ(run_one("all", {none}).data<bool>()[0], true);
}

TEST(Reduce, PositionsAndRunningSums) {
  const Tensor x = Tensor::of<float>({2, 3}, {1, 5, 5, 7, 2, 2});
  const auto at = [&](const char* op, Dim axis) { return run_one(op, {x}, {{"axis", axis}}); };
  EXPECT_EQ(at("argmax", 1).data<std::int64_t>()[0], 1);
  EXPECT_EQ(at("argmin", 1).data<std::int64_t>()[1], 1);
  EXPECT_EQ(at("argmax", 0).data<std::int64_t>()[0], 1);
  EXPECT_EQ(run_one("argmax", {x}).data<std::int64_t>()[0], 3);
  EXPECT_EQ(run_one("argmax", {x}, {{"axis", Dim{1}}, {"keepdims", true}}).shape(), (Shape{2, 1}));
  const Tensor sums = at("cumsum", 1), products = at("cumprod", 0);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(sums.data<float>()[i], ((float[]){1, 6, 11, 7, 9, 11})[i]);
    EXPECT_EQ(products.data<float>()[i], ((float[]){1, 5, 5, 7, 10, 10})[i]);
  }
}

TEST(Reduce, UnknownSizes) {
  EXPECT_EQ(inferred("sum", {{kUnknown, 4, 5}}, over({1})), (Shape{kUnknown, 5}));
  EXPECT_EQ(inferred("mean", {{kUnknown, 4}}, over({0}, true)), (Shape{1, 4}));
  EXPECT_EQ(inferred("sum", {{kUnknown, 4}}), Shape{});
  EXPECT_NE(refusal("sum", {{2, 3}}, over({2})).find("axis 2 is out of range"), std::string::npos);
}

}  // namespace
