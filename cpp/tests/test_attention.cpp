// attention against the definition, and what its bits may not depend on.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "lamina/plan.h"
#include "lamina/runtime.h"

using namespace lamina;

namespace {

Tensor random(Shape shape, unsigned seed) {
  Tensor t(Spec{DType::f32, std::move(shape)});
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> draw(-1, 1);
  for (std::size_t i = 0; i < t.size(); ++i) t.data<float>()[i] = draw(engine);
  return t;
}

struct Sizes {
  Dim batch, queries, keys, heads, key_heads, size, value_size;
};

std::vector<Tensor> inputs(const Sizes& s) {
  return {random({s.batch, s.queries, s.heads, s.size}, 1),
          random({s.batch, s.keys, s.key_heads, s.size}, 2),
          random({s.batch, s.keys, s.key_heads, s.value_size}, 3)};
}

Tensor random_mask(const Sizes& s) {  // the first query of every row may see nothing
  Tensor mask(Spec{DType::boolean, {s.batch, 1, s.queries, s.keys}});
  std::mt19937 engine(9);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const auto query = i / static_cast<std::size_t>(s.keys) % static_cast<std::size_t>(s.queries);
    mask.data<bool>()[i] = engine() % 3 != 0 && query != 0;
  }
  return mask;
}

// out[b, t, n, :] by the definition.
std::vector<double> naive(const std::vector<Tensor>& in, const Sizes& s, double scale, bool causal,
                          Dim b, Dim t, Dim n) {
  const Dim shared = n / (s.heads / s.key_heads);
  const float* q = in[0].data<float>() + ((b * s.queries + t) * s.heads + n) * s.size;
  std::vector<double> weight;
  double sum = 0;
  bool any = false;
  for (Dim j = 0; j < s.keys; ++j) {
    const bool counts = (!causal || j <= t) &&
                        (in.size() < 4 || in[3].data<bool>()[(b * s.queries + t) * s.keys + j]);
    const float* k = in[1].data<float>() + ((b * s.keys + j) * s.key_heads + shared) * s.size;
    double dot = 0;
    for (Dim d = 0; d < s.size; ++d) dot += static_cast<double>(q[d]) * k[d];
    weight.push_back(counts ? std::exp(dot * scale) : 0);
    any = any || counts;
  }
  if (!any) std::fill(weight.begin(), weight.end(), 1.0);
  for (const double w : weight) sum += w;
  std::vector<double> out(static_cast<std::size_t>(s.value_size), 0.0);
  for (Dim j = 0; j < s.keys; ++j) {
    const float* v = in[2].data<float>() + ((b * s.keys + j) * s.key_heads + shared) * s.value_size;
    for (Dim e = 0; e < s.value_size; ++e)
      out[static_cast<std::size_t>(e)] += weight[static_cast<std::size_t>(j)] / sum * v[e];
  }
  return out;
}

void expect_definition(const std::vector<Tensor>& in, const Sizes& s, bool causal) {
  const Tensor out = run_op(
      "attention", in, {{"scale", 0.7}, {"is_causal", causal}, {"has_mask", in.size() > 3}})[0];
  ASSERT_EQ(out.shape(), (Shape{s.batch, s.queries, s.heads, s.value_size}));
  for (Dim b = 0; b < s.batch; ++b) {
    for (Dim t = 0; t < s.queries; ++t) {
      for (Dim n = 0; n < s.heads; ++n) {
        const std::vector<double> wanted = naive(in, s, 0.7, causal, b, t, n);
        const float* got = out.data<float>() + ((b * s.queries + t) * s.heads + n) * s.value_size;
        for (std::size_t e = 0; e < wanted.size(); ++e) ASSERT_NEAR(got[e], wanted[e], 2e-6);
      }
    }
  }
}

TEST(Attention, EqualsTheDefinition) {
  for (const Sizes& s : {Sizes{1, 1, 1, 1, 1, 1, 1},
                         {2, 5, 3, 2, 2, 4, 7},
                         {2, 67, 130, 4, 2, 8, 5},
                         {1, 130, 67, 3, 1, 5, 16}}) {
    for (const bool causal : {false, true}) {
      std::vector<Tensor> in = inputs(s);
      expect_definition(in, s, causal);
      in.push_back(random_mask(s));
      expect_definition(in, s, causal);
    }
  }
}

TEST(Attention, ARowAloneHasTheBitsItHasInABatch) {
  const Sizes s{5, 70, 90, 4, 2, 16, 16};
  const std::vector<Tensor> in = inputs(s);
  const Attrs attrs{{"scale", 0.25}};
  const Tensor all = run_op("attention", in, attrs)[0];
  std::vector<Tensor> alone;
  for (const Tensor& t : in) {
    Shape shape = t.shape();
    const std::size_t count = t.size() / static_cast<std::size_t>(shape[0]);
    shape[0] = 1;
    Tensor row(Spec{DType::f32, shape});
    std::copy_n(t.data<float>() + 3 * count, count, row.data<float>());
    alone.push_back(row);
  }
  const Tensor one = run_op("attention", alone, attrs)[0];
  EXPECT_EQ(0, std::memcmp(one.data<float>(), all.data<float>() + 3 * one.size(),
                           one.size() * sizeof(float)));
}

TEST(Attention, BitsDoNotDependOnThreads) {
  const Sizes s{3, 70, 90, 4, 2, 16, 16};
  std::vector<Tensor> in = inputs(s);
  const Attrs attrs{{"scale", 0.25}, {"is_causal", true}};
  in.push_back(run_op("attention", in, attrs)[0]);
  in.push_back(random({s.batch, s.queries, s.heads, s.value_size}, 4));
  const int before = num_threads();
  std::vector<std::vector<Tensor>> results;
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    results.push_back(run_op("attention_grad", in, attrs));
  }
  set_num_threads(before);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(0, std::memcmp(results[0][i].data<float>(), results[1][i].data<float>(),
                             results[0][i].size() * sizeof(float)));
}

TEST(Attention, WithoutKeysThereIsNothingToMix) {
  const Sizes s{2, 3, 0, 2, 2, 4, 5};
  const Tensor out = run_op("attention", inputs(s), {})[0];
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out.data<float>()[i], 0.0f);
}

TEST(Attention, KeysThatNoHeadLooksAtHaveNoGradient) {
  std::vector<Tensor> in{random({2, 3, 0, 4}, 1), random({2, 5, 2, 4}, 2), random({2, 5, 2, 3}, 3),
                         random({2, 3, 0, 3}, 4), random({2, 3, 0, 3}, 5)};
  const std::vector<Tensor> d = run_op("attention_grad", in, {});
  for (const std::size_t i : {1, 2})
    for (std::size_t j = 0; j < d[i].size(); ++j) ASSERT_EQ(d[i].data<float>()[j], 0.0f);
}

TEST(Attention, RefusesOperandsThatDoNotFit) {
  const Sizes s{2, 3, 5, 4, 2, 4, 5};
  std::vector<Tensor> in = inputs(s);
  in[1] = random({2, 5, 3, 4}, 1);
  EXPECT_THROW(run_op("attention", in, {}), Error);
  in = inputs(s);
  in.push_back(Tensor(Spec{DType::boolean, {2, 4, 3, 4}}));
  EXPECT_THROW(run_op("attention", in, {{"has_mask", true}}), Error);
}

}  // namespace
