// The optimizers' updates: ten steps of each against Keras 3, and what their bits may not depend
// on.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "kernel_testing.h"
#include "kernels/optimizer.h"
#include "lamina/plan.h"
#include "lamina/runtime.h"

using namespace lamina;

namespace {

// How many states an update has: the outputs that its shape rule promises.
std::size_t count_states(const std::string& op, const Attrs& attrs) {
  const auto flag = [&](const char* name) { return attrs.contains(name) ? 1u : 0u; };
  if (op == "sgd_update") return 1;
  if (op == "sgd_momentum_update") return 2;
  if (op == "adam_update") return 3;
  if (op == "adam_amsgrad_update") return 4;
  return 2 + flag("centered") + flag("momentum");
}

// One step: the states change places with their new values.
void update(const std::string& op, const Attrs& attrs, std::vector<Tensor>& states,
            const Tensor& gradient, const Tensor& lr, std::int64_t step) {
  std::vector<Tensor> in = states;
  in.push_back(gradient);
  in.push_back(lr);
  if (op.starts_with("adam")) in.push_back(Tensor::scalar<std::int64_t>(step));
  states = run_op(op, in, attrs);
}

struct Trajectory {
  std::string op;
  Attrs attrs;
  std::vector<float> after_ten_steps;
};

// Keras 3.15 on torch: lr 0.05 from (1, -2, 0.5), gradients as in the test below.
const std::vector<Trajectory> kKeras = {
    {"sgd_update", {}, {0.995000005f, -1.98000002f, 0.49000001f}},
    {"sgd_update", {{"weight_decay", 0.1}}, {0.945820987f, -1.88293266f, 0.466581792f}},
    {"sgd_momentum_update", {{"momentum", 0.9}}, {1.02031851f, -1.88850021f, 0.368996918f}},
    {"sgd_momentum_update",
     {{"momentum", 0.9}, {"nesterov", true}, {"weight_decay", 0.1}},
     {0.962579846f, -1.7849623f, 0.352624774f}},
    {"adam_update", {}, {1.0676012f, -1.8934027f, 0.346037835f}},
    {"adam_update",
     {{"beta_1", 0.8}, {"beta_2", 0.95}, {"epsilon", 1e-3}, {"weight_decay", 0.1}},
     {0.996461153f, -1.81087494f, 0.357450247f}},
    {"adam_amsgrad_update", {}, {1.0676049f, -1.8934027f, 0.346047729f}},
    {"adam_amsgrad_update", {{"beta_2", 0.5}}, {1.06663501f, -1.9122225f, 0.354870677f}},
    {"rmsprop_update", {}, {1.0282011f, -1.84682417f, 0.401926935f}},
    {"rmsprop_update",
     {{"rho", 0.7}, {"epsilon", 1e-3}, {"weight_decay", 0.1}},
     {0.957161307f, -1.81016004f, 0.434865832f}},
    {"rmsprop_update", {{"momentum", 0.5}}, {1.08270407f, -1.72598028f, 0.293430686f}},
    {"rmsprop_update", {{"centered", true}}, {1.03734851f, -1.83135986f, 0.387644827f}},
    {"rmsprop_update",
     {{"centered", true}, {"momentum", 0.5}},
     {1.10107005f, -1.69560158f, 0.264726698f}},
};

TEST(Optimizers, FollowKeras) {
  for (const Trajectory& wanted : kKeras) {
    std::vector<Tensor> states{Tensor::of<float>({3}, {1, -2, 0.5f})};
    while (states.size() < count_states(wanted.op, wanted.attrs))
      states.push_back(Tensor::zeros(states[0].spec()));
    for (int t = 0; t < 10; ++t) {
      std::vector<float> g;
      for (int i = 0; i < 3; ++i) g.push_back(static_cast<float>(((t * 7 + i * 5) % 11 - 5) * 0.1));
      update(wanted.op, wanted.attrs, states, Tensor::of<float>({3}, g), Tensor::scalar(0.05f), t);
    }
    std::string setting = wanted.op;
    for (const auto& [name, value] : wanted.attrs) setting += " " + name + "=" + to_string(value);
    for (int i = 0; i < 3; ++i) {
      const float got = states[0].data<float>()[i],
                  keras = wanted.after_ten_steps[static_cast<std::size_t>(i)];
      EXPECT_NEAR(got, keras, 4e-7 * std::max(1.0f, std::fabs(keras)))
          << setting << ", element " << i;
    }
  }
}

Tensor random(Dim n, unsigned seed) {
  Tensor t(Spec{DType::f32, {n}});
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> draw(0, 1);
  for (Dim i = 0; i < n; ++i) t.data<float>()[i] = draw(engine);
  return t;
}

TEST(Optimizers, AnElementHasTheSameBitsAnywhere) {
  const Dim n = 77;
  for (const Trajectory& c : kKeras) {
    std::vector<Tensor> states;
    for (std::size_t k = 0; k < count_states(c.op, c.attrs); ++k)
      states.push_back(random(n, static_cast<unsigned>(k)));
    const Tensor g = random(n, 9);
    std::vector<Tensor> all = states;
    update(c.op, c.attrs, all, g, Tensor::scalar(0.01f), 3);
    for (Dim i = 0; i < n; ++i) {
      std::vector<Tensor> one;
      for (const Tensor& s : states) one.push_back(Tensor::of<float>({1}, {s.data<float>()[i]}));
      update(c.op, c.attrs, one, Tensor::of<float>({1}, {g.data<float>()[i]}),
             Tensor::scalar(0.01f), 3);
      for (std::size_t k = 0; k < one.size(); ++k)
        ASSERT_EQ(std::memcmp(one[k].raw(), all[k].data<float>() + i, sizeof(float)), 0)
            << c.op << ", element " << i;
    }
  }
}

TEST(Optimizers, ThreadsDoNotChangeTheBits) {
  const int before = num_threads();
  for (const Trajectory& c : kKeras) {
    std::vector<Tensor> one, three;
    for (std::size_t k = 0; k < count_states(c.op, c.attrs); ++k)
      one.push_back(random(100001, static_cast<unsigned>(k)));
    three = one;
    const Tensor g = random(100001, 9);
    set_num_threads(1);
    update(c.op, c.attrs, one, g, Tensor::scalar(0.01f), 3);
    set_num_threads(3);
    update(c.op, c.attrs, three, g, Tensor::scalar(0.01f), 3);
    for (std::size_t k = 0; k < one.size(); ++k)
      EXPECT_EQ(std::memcmp(one[k].raw(), three[k].raw(), one[k].bytes()), 0) << c.op;
  }
  set_num_threads(before);
}

// In a program the states are variables, which the update replaces in place.
TEST(Optimizers, UpdateVariablesOfAProgram) {
  const auto p = std::make_shared<Variable>("p", Tensor::of<double>({2}, {1, 2}));
  const auto m = std::make_shared<Variable>("m", Tensor::of<double>({2}, {0, 0}));
  Graph graph;
  Builder b(graph);
  const ValueId pid = b.variable(p), mid = b.variable(m), g = b.input({DType::f64, {2}});
  const auto next = b.emit_all("sgd_momentum_update", {pid, mid, g, b.scalar(DType::f64, 0.1)},
                               {{"momentum", 0.5}});
  b.assign(pid, next[0]);
  b.assign(mid, next[1]);
  const auto program = Program::make(graph);
  for (int step = 0; step < 2; ++step)
    program->run(std::vector<Tensor>{Tensor::of<double>({2}, {1, -1})});
  EXPECT_DOUBLE_EQ(m->value().data<double>()[0], -0.15);
  EXPECT_DOUBLE_EQ(p->value().data<double>()[0], 0.75);
  EXPECT_DOUBLE_EQ(p->value().data<double>()[1], 2.25);
}

TEST(Optimizers, EveryTableHasIdsOfItsOwnType) {
  const Tensor lr = Tensor::scalar(1.0f);
  const std::vector<Tensor> in{Tensor::of<float>({4}, {0, 0, 0, 0}),
                               Tensor::of<float>({4}, {0, 0, 0, 0}),
                               lr,
                               Tensor::of<std::int32_t>({1}, {1}),
                               Tensor::of<float>({1, 1}, {3}),
                               Tensor::of<std::int64_t>({2}, {1, 1}),
                               Tensor::of<float>({2, 1}, {5, 7})};
  const Attrs attrs{{"sparse", std::vector<std::int64_t>{0, 2, 1, 2, 2, 1}}};
  const Tensor p = run_op("sgd_update", in, attrs)[0];
  EXPECT_EQ(std::vector<float>(p.data<float>(), p.data<float>() + 4),
            (std::vector<float>{0, -3, 0, -12}));
  const Attrs beyond{{"sparse", std::vector<std::int64_t>{0, 2, 1, 2, 3, 1}}};
  EXPECT_THROW(run_op("sgd_update", in, beyond), ShapeError);
}

// Matrices in a parameter of which the gradients are given as factors. Sizes that no block divides;
// wide and tall ones, which are cut along different axes.
struct Matrix {
  Dim begin, m, n, k;
  bool transpose_a, transpose_b;
};
const std::vector<Matrix> kMatrices = {
    {37, 330, 61, 9, true, false},     {20180, 64, 1100, 5, true, false},
    {90580, 1, 40, 3, false, false},   {90640, 150, 140, 33, false, true},
    {111640, 600, 520, 2, true, true}, {423640, 3, 2, 600, false, false},
};
constexpr Dim kSize = 450001;
constexpr Dim kTable[] = {423700, 200, 31};  // begin, rows, width of an embedding table

Tensor random_matrix(Dim rows, Dim columns, DType dtype, unsigned seed) {
  const Tensor flat = to_floating(random(rows * columns, seed), dtype);
  Tensor matrix(Spec{dtype, {rows, columns}});
  std::memcpy(matrix.raw(), flat.raw(), flat.bytes());
  return matrix;
}

struct Gradient {
  Tensor whole;                  // with every part in its place
  std::vector<Tensor> in_parts;  // the further inputs of an update
  Attrs attrs;

  explicit Gradient(DType dtype) : whole(to_floating(random(kSize, 9), dtype)) {
    Tensor ids(Spec{DType::i32, {60}});
    for (int i = 0; i < 60; ++i) ids.data<std::int32_t>()[i] = i * i % 83;
    const Tensor rows = random_matrix(60, kTable[2], dtype, 5);
    place(kTable[0], run_one("embedding_grad", {ids, rows}, {{"rows", std::int64_t{kTable[1]}}}));
    in_parts = {ids, rows};
    std::vector<std::int64_t> products;
    for (const Matrix& t : kMatrices) {
      const Tensor a = t.transpose_a ? random_matrix(t.k, t.m, dtype, 1)
                                     : random_matrix(t.m, t.k, dtype, 2),
                   b = t.transpose_b ? random_matrix(t.n, t.k, dtype, 3)
                                     : random_matrix(t.k, t.n, dtype, 4);
      place(t.begin, run_one("matmul", {a, b},
                             {{"transpose_a", t.transpose_a}, {"transpose_b", t.transpose_b}}));
      in_parts.push_back(a);
      in_parts.push_back(b);
      products.insert(products.end(), {t.begin, t.transpose_a, t.transpose_b});
    }
    attrs = {{"sparse", std::vector<std::int64_t>{kTable[0], kTable[1], kTable[2]}},
             {"products", products}};
  }

  void place(Dim begin, const Tensor& part) {
    const std::size_t item = item_size(part.dtype());
    std::memcpy(static_cast<std::byte*>(whole.raw()) + static_cast<std::size_t>(begin) * item,
                part.raw(), part.bytes());
  }
};

TEST(Optimizers, TakeAGradientInPartsWithTheSameBits) {
  const int before = num_threads();
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Gradient gradient(dtype);
    const Tensor lr = to_floating(Tensor::scalar(0.01f), dtype);
    // Where the parts lie nobody reads the flat gradient.
    const Tensor nowhere = to_floating(random(kSize, 9), dtype);
    for (const Trajectory& c : kKeras) {
      std::vector<Tensor> start;
      for (std::size_t k = 0; k < count_states(c.op, c.attrs); ++k)
        start.push_back(to_floating(random(kSize, static_cast<unsigned>(k)), dtype));
      std::vector<Tensor> wanted = start;
      update(c.op, c.attrs, wanted, gradient.whole, lr, 3);
      for (const int threads : {1, 2, 4}) {
        set_num_threads(threads);
        std::vector<Tensor> in = start;
        in.insert(in.end(), {nowhere, lr});
        if (c.op.starts_with("adam")) in.push_back(Tensor::scalar<std::int64_t>(3));
        in.insert(in.end(), gradient.in_parts.begin(), gradient.in_parts.end());
        Attrs attrs = c.attrs;
        for (const auto& [name, value] : gradient.attrs) attrs[name] = value;
        const std::vector<Tensor> got = run_op(c.op, in, attrs);
        for (std::size_t k = 0; k < got.size(); ++k)
          EXPECT_EQ(std::memcmp(got[k].raw(), wanted[k].raw(), got[k].bytes()), 0)
              << c.op << " on " << threads << " threads, state " << k;
      }
    }
  }
  set_num_threads(before);
}

// One step of RMSprop that leaves v as it is, from 0 and with the gradient -1: 1 / sqrt(v). The
// root is within 1 ulp, which the quotient may double, and its own rounding adds half a one.
TEST(Optimizers, RootsAreAccurateInTheWholeRange) {
  std::vector<float> values;
  for (std::uint32_t bits = 0x00800000u; bits < 0x7f800000u; bits += 4999)
    values.push_back(std::bit_cast<float>(bits));
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::vector<float> limits = {0, kInf, std::numeric_limits<float>::quiet_NaN(), -1};
  values.insert(values.end(), limits.begin(), limits.end());
  const auto n = static_cast<Dim>(values.size());
  const Tensor zero = Tensor::zeros(Spec{DType::f32, {n}});
  const Tensor minus = Tensor::of<float>({n}, std::vector<float>(values.size(), -1));
  std::vector<Tensor> states{zero, Tensor::of<float>({n}, values)};
  update("rmsprop_update", {{"rho", 1.0}, {"epsilon", 0.0}}, states, minus, Tensor::scalar(1.0f),
         0);
  const float* const got = states[0].data<float>();
  double worst = 0;
  for (std::size_t i = 0; i + limits.size() < values.size(); ++i) {
    const double wanted = 1 / std::sqrt(static_cast<double>(values[i]));
    int exponent;
    std::frexp(wanted, &exponent);
    worst = std::max(worst, std::fabs(got[i] - wanted) / std::ldexp(1.0, exponent - 24));
  }
  EXPECT_LE(worst, 2.0);
  const float* const at_limits = got + values.size() - limits.size();
  EXPECT_EQ(at_limits[0], kInf);
  EXPECT_EQ(at_limits[1], 0);
  EXPECT_TRUE(std::isnan(at_limits[2]));
  EXPECT_TRUE(std::isnan(at_limits[3]));
}

TEST(Optimizers, StreamWithTheSameBitsFromAnyElement) {
  const optimizer::Adam<float, false> rule{0.1f, 0.01f, 0.1f, 0.001f, 1e-7f};
  for (const Dim begin : {0, 1, 3, 16, 29})
    for (const Dim end : {30, 31, 64, 100}) {
      std::vector<Tensor> stored{random(100, 1), random(100, 2), random(100, 3)};
      std::vector<Tensor> streamed{random(100, 1), random(100, 2), random(100, 3)};
      const Tensor g = random(100, 4);
      const auto sweep = [&](auto streams, std::vector<Tensor>& states) {
        void* at[3];
        for (int k = 0; k < 3; ++k) at[k] = states[static_cast<std::size_t>(k)].raw();
        optimizer::sweep<float, streams.value>(rule, at, at, g.data<float>(), begin, end);
      };
      sweep(std::false_type{}, stored);
      sweep(std::true_type{}, streamed);
      finish_streams();
      for (std::size_t k = 0; k < 3; ++k)
        EXPECT_EQ(std::memcmp(stored[k].raw(), streamed[k].raw(), stored[k].bytes()), 0);
    }
}

TEST(Optimizers, ComplainAboutPartsOfTheGradient) {
  const Tensor lr = Tensor::scalar(1.0f), ten = random(10, 1);
  const Tensor a = random_matrix(2, 3, DType::f32, 1), b = random_matrix(2, 3, DType::f32, 2);
  const auto run = [&](std::vector<std::int64_t> products) {
    return run_one("sgd_update", {ten, ten, lr, a, b}, {{"products", std::move(products)}});
  };
  EXPECT_NO_THROW(run({1, 1, 0}));           // a^T b: [3, 3]
  EXPECT_NO_THROW(run({6, 0, 1}));           // a b^T: [2, 2]
  EXPECT_THROW(run({2, 1, 0}), ShapeError);  // beyond the parameter
  EXPECT_THROW(run({0, 0, 0}), ShapeError);  // inner sizes 3 and 2
  EXPECT_THROW(run({-1, 1, 0}), Error);
  EXPECT_THROW(run({0, 1}), Error);
  EXPECT_THROW(run_one("sgd_update", {ten, ten, lr, a, b, a, b},
                       {{"products", std::vector<std::int64_t>{0, 0, 1, 3, 0, 1}}}),
               Error);  // they overlap
}

TEST(Optimizers, ComplainAboutSettingsAndShapes) {
  std::vector<Tensor> states{random(3, 1)};
  EXPECT_THROW(update("sgd_update", {}, states, random(4, 1), Tensor::scalar(0.1f), 0), ShapeError);
  EXPECT_THROW(update("sgd_update", {}, states, random(3, 1), random(1, 1), 0), ShapeError);
  states = {random(3, 1), random(3, 1), random(3, 1)};
  EXPECT_THROW(
      update("adam_update", {{"beta_1", 1.5}}, states, random(3, 1), Tensor::scalar(0.1f), 0),
      Error);
}

}  // namespace
