// The optimizers' updates: ten steps of each against Keras 3, and what their bits may not depend
// on.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

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
