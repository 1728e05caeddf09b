#include <algorithm>
#include <numeric>

#include "kernel_testing.h"
#include "kernels/random.h"

using namespace lamina;

namespace {

Tensor state(std::int64_t seed, std::int64_t counter) {
  return Tensor::of<std::int64_t>({2}, {seed, counter});
}
Attrs shaped(Shape shape, Attrs more = {}) {
  more["shape"] = std::move(shape);
  return more;
}

struct Moments {
  double mean, deviation, low, high;
};
Moments moments(const Tensor& t) {
  const Tensor x = to_floating(t, DType::f64);
  const double *begin = x.data<double>(), *end = begin + x.size();
  const double mean = std::accumulate(begin, end, 0.0) / static_cast<double>(x.size());
  double squares = 0;
  for (const double* p = begin; p < end; ++p) squares += (*p - mean) * (*p - mean);
  return {mean, std::sqrt(squares / static_cast<double>(x.size())), *std::min_element(begin, end),
          *std::max_element(begin, end)};
}

// The answers published with the algorithm.
TEST(Random, PhiloxKnownAnswers) {
  std::uint32_t words[kernels::kGroupWords];
  kernels::philox_group({0, 0}, 0, words);
  const std::uint32_t zero[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(words[i * kernels::kPhiloxLanes], zero[i]);
  // counter and key all ones: the last block of the last group
  kernels::philox_group({~std::uint64_t{0}, ~std::uint64_t{0}},
                        ~std::uint64_t{0} / kernels::kPhiloxLanes, words);
  const std::uint32_t ones[] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(words[i * kernels::kPhiloxLanes + kernels::kPhiloxLanes - 1], ones[i]);
}

TEST(Random, ElementsDependOnSeedCounterAndPositionOnly) {
  for (const char* op : {"random_uniform", "random_normal", "truncated_normal", "bernoulli"}) {
    const Tensor large = run_one(op, {state(5, 9)}, shaped({1000})),
                 small = run_one(op, {state(5, 9)}, shaped({77}));
    EXPECT_EQ(std::memcmp(large.raw(), small.raw(), small.bytes()), 0) << op;
    EXPECT_FALSE(same_bits(small, run_one(op, {state(6, 9)}, shaped({77})))) << op;
    EXPECT_FALSE(same_bits(small, run_one(op, {state(5, 10)}, shaped({77})))) << op;
    expect_same_for_all_threads(op, {state(5, 9)}, shaped({300, 300}));
  }
  expect_same_for_all_threads("dropout", {f32(uniform({400, 300})), state(1, 2)}, {{"rate", 0.3}});
}

TEST(Random, Distributions) {
  for (const char* dtype : {"float32", "float64"}) {
    const Attrs attrs = shaped({300, 700}, {{"dtype", std::string(dtype)}});
    const Moments u = moments(run_one("random_uniform", {state(1, 0)}, attrs));
    EXPECT_NEAR(u.mean, 0.5, 3e-3);
    EXPECT_NEAR(u.deviation, std::sqrt(1 / 12.0), 3e-3);
    EXPECT_GE(u.low, 0);
    EXPECT_LT(u.high, 1);
    const Moments n = moments(run_one("random_normal", {state(2, 0)}, attrs));
    EXPECT_NEAR(n.mean, 0, 1e-2);
    EXPECT_NEAR(n.deviation, 1, 1e-2);
    EXPECT_GT(n.high, 3.5);
    const Moments t = moments(run_one("truncated_normal", {state(3, 0)}, attrs));
    EXPECT_NEAR(t.mean, 0, 1e-2);
    EXPECT_NEAR(t.deviation, 0.87962566, 1e-2);
    EXPECT_LE(t.high, 2);
    EXPECT_GE(t.low, -2);
  }
  const Moments scaled = moments(
      run_one("random_normal", {state(2, 1)}, shaped({100000}, {{"mean", 3.0}, {"stddev", 0.5}})));
  EXPECT_NEAR(scaled.mean, 3, 1e-2);
  EXPECT_NEAR(scaled.deviation, 0.5, 1e-2);
  const Moments b = moments(run_one("bernoulli", {state(4, 0)}, shaped({100000}, {{"p", 0.2}})));
  EXPECT_NEAR(b.mean, 0.2, 1e-2);
  const Tensor ints = run_one(
      "random_int", {state(4, 0)},
      shaped({60000}, {{"dtype", std::string("int64")}, {"min", Dim{-3}}, {"max", Dim{3}}}));
  std::vector<int> counts(6);
  for (std::size_t i = 0; i < ints.size(); ++i)
    ++counts.at(static_cast<std::size_t>(ints.data<std::int64_t>()[i] + 3));
  for (const int c : counts) EXPECT_NEAR(c, 10000, 500);
}

TEST(Random, DropoutKeepsTheMeanAndItsMask) {
  const Tensor ones = run_one("broadcast_to", {Tensor::scalar(1.f)}, {{"shape", Shape{500, 400}}});
  for (const double rate : {0.1, 0.5, 0.9}) {
    const Tensor y = run_one("dropout", {ones, state(7, 3)}, {{"rate", rate}});
    const auto scale = static_cast<float>(1 / (1 - rate));
    for (std::size_t i = 0; i < y.size(); ++i)
      ASSERT_TRUE(y.data<float>()[i] == 0 || y.data<float>()[i] == scale);
    EXPECT_NEAR(moments(y).mean, 1, 0.03) << rate;
  }
  EXPECT_TRUE(same_bits(run_one("dropout", {ones, state(7, 3)}, {{"rate", 0.0}}), ones));
  EXPECT_EQ(moments(run_one("dropout", {ones, state(7, 3)}, {{"rate", 1.0}})).high, 0);
  // one decision for each row
  const Tensor rows =
      run_one("dropout", {ones, state(7, 3)}, {{"rate", 0.5}, {"noise_shape", Shape{-1, 1}}});
  for (std::size_t i = 0; i < rows.size(); ++i)
    ASSERT_EQ(rows.data<float>()[i], rows.data<float>()[i / 400 * 400]);
}

TEST(Random, RefusesWhatMakesNoSense) {
  const std::vector<Spec> in{{DType::f32, {3}}, {DType::i64, {2}}}, only{{DType::i64, {2}}};
  EXPECT_THROW(infer("dropout", in, {{"rate", 1.5}}), Error);
  EXPECT_THROW(infer("dropout", std::vector<Spec>{in[0], in[0]}, {}), TypeError);
  EXPECT_THROW(infer("dropout", in, {{"noise_shape", Shape{2}}}), ShapeError);
  EXPECT_THROW(
      infer("random_int", only,
            shaped({3}, {{"dtype", std::string("int32")}, {"min", Dim{3}}, {"max", Dim{3}}})),
      Error);
  EXPECT_THROW(infer("random_uniform", only, shaped({3}, {{"dtype", std::string("int32")}})),
               TypeError);
}

}  // namespace
