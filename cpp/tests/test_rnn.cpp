// lstm and simple_rnn against a cell written out naively, and what their bits may not depend on.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "lamina/plan.h"
#include "lamina/runtime.h"

using namespace lamina;

namespace {

Tensor random(Shape shape, unsigned seed, float scale = 1) {
  Tensor t(Spec{DType::f32, std::move(shape)});
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> draw(-scale, scale);
  for (std::size_t i = 0; i < t.size(); ++i) t.data<float>()[i] = draw(engine);
  return t;
}

struct Sizes {
  Dim batch, steps, features, units;
};

std::vector<Tensor> inputs(bool lstm, const Sizes& s) {
  const Dim wide = (lstm ? 4 : 1) * s.units;
  std::vector<Tensor> in{random({s.batch, s.steps, s.features}, 1),
                         random({s.features, wide}, 2, 0.5f), random({s.units, wide}, 3, 0.3f),
                         random({wide}, 4), random({s.batch, s.units}, 5)};
  if (lstm) in.push_back(random({s.batch, s.units}, 6));
  return in;
}

Tensor random_mask(Dim batch, Dim steps) {
  Tensor mask(Spec{DType::boolean, {batch, steps}});
  std::mt19937 engine(9);
  for (std::size_t i = 0; i < mask.size(); ++i) mask.data<bool>()[i] = engine() % 3 != 0;
  return mask;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Options {
  bool lstm = true, go_backwards = false, zero_output = false;
  std::function<double(double)> activation = [](double x) { return std::tanh(x); };
  std::function<double(double)> recurrent = sigmoid;
  const bool* mask = nullptr;
  const float* recurrent_masks = nullptr;  // [gates, batch, units]
};

// The whole output sequence, and the last state, of one row.
struct Row {
  std::vector<double> y, h, c;
};

Row naive(const std::vector<Tensor>& in, const Sizes& s, Dim row, const Options& o) {
  const Dim n = s.units, wide = (o.lstm ? 4 : 1) * n;
  const auto at = [&](std::size_t input, Dim i) {
    return static_cast<double>(in[input].data<float>()[i]);
  };
  Row r;
  std::vector<double> output(static_cast<std::size_t>(n), 0.0);
  for (Dim j = 0; j < n; ++j) {
    r.h.push_back(at(4, row * n + j));
    r.c.push_back(o.lstm ? at(5, row * n + j) : 0);
  }
  for (Dim step = 0; step < s.steps; ++step) {
    const Dim t = o.go_backwards ? s.steps - 1 - step : step;
    const bool valid = o.mask == nullptr || o.mask[row * s.steps + t];
    std::vector<double> z;
    for (Dim g = 0; g < wide; ++g) {
      double sum = at(3, g);
      for (Dim f = 0; f < s.features; ++f)
        sum += at(0, (row * s.steps + t) * s.features + f) * at(1, f * wide + g);
      for (Dim j = 0; j < n; ++j) {
        const double dropout =
            o.recurrent_masks == nullptr ? 1.0 : o.recurrent_masks[(g / n * s.batch + row) * n + j];
        sum += r.h[static_cast<std::size_t>(j)] * dropout * at(2, j * wide + g);
      }
      z.push_back(sum);
    }
    for (Dim j = 0; valid && j < n; ++j) {
      const auto k = static_cast<std::size_t>(j), u = static_cast<std::size_t>(n);
      if (o.lstm) {
        r.c[k] = o.recurrent(z[u + k]) * r.c[k] + o.recurrent(z[k]) * o.activation(z[2 * u + k]);
        r.h[k] = o.recurrent(z[3 * u + k]) * o.activation(r.c[k]);
      } else {
        r.h[k] = o.activation(z[k]);
      }
      output[k] = r.h[k];
    }
    if (!valid && o.zero_output) std::fill(output.begin(), output.end(), 0.0);
    r.y.insert(r.y.end(), output.begin(), output.end());
  }
  return r;
}

void expect_near(const float* got, const std::vector<double>& wanted, const std::string& what) {
  for (std::size_t i = 0; i < wanted.size(); ++i)
    ASSERT_NEAR(got[i], wanted[i], 3e-6) << what << " " << i;
}

void compare(std::vector<Tensor> in, const Sizes& s, const Options& o, Attrs attrs = {}) {
  const std::string op = o.lstm ? "lstm" : "simple_rnn";
  attrs["go_backwards"] = o.go_backwards;
  attrs["zero_output_for_mask"] = o.zero_output;
  const std::vector<Tensor> last = run_op(op, in, attrs);
  attrs["return_sequences"] = true;
  const std::vector<Tensor> all = run_op(op, in, attrs);
  ASSERT_EQ(all[0].shape(), (Shape{s.batch, s.steps, s.units}));
  ASSERT_EQ(last[0].shape(), (Shape{s.batch, s.units}));
  for (Dim row = 0; row < s.batch; ++row) {
    const Row wanted = naive(in, s, row, o);
    expect_near(all[0].data<float>() + row * s.steps * s.units, wanted.y, "y");
    expect_near(all[1].data<float>() + row * s.units, wanted.h, "h");
    if (o.lstm) expect_near(all[2].data<float>() + row * s.units, wanted.c, "c");
    const std::vector<double> final(wanted.y.end() - s.units, wanted.y.end());
    expect_near(last[0].data<float>() + row * s.units, final, "last y");
  }
}

bool same_bits(const float* a, const float* b, std::size_t n) {
  return std::memcmp(a, b, n * sizeof(float)) == 0;
}

TEST(Rnn, EqualsTheNaiveCell) {
  for (const bool lstm : {true, false}) {
    for (const Sizes& s : {Sizes{1, 1, 1, 1}, {2, 3, 4, 5}, {5, 7, 3, 16}, {37, 40, 6, 19}}) {
      Options o;
      o.lstm = lstm;
      compare(inputs(lstm, s), s, o);
      o.go_backwards = true;
      compare(inputs(lstm, s), s, o);
    }
  }
}

TEST(Rnn, MasksRepeatOrZeroTheOutput) {
  const Sizes s{18, 35, 3, 6};
  for (const bool lstm : {true, false}) {
    for (const bool zero : {true, false}) {
      for (const bool backwards : {true, false}) {
        std::vector<Tensor> in = inputs(lstm, s);
        in.push_back(random_mask(s.batch, s.steps));
        const Shape row{s.batch, s.units}, row_of_gates{4, s.batch, s.units};
        in.push_back(random(lstm ? row_of_gates : row, 8, 2));
        Options o;
        o.lstm = lstm;
        o.zero_output = zero;
        o.go_backwards = backwards;
        o.mask = in[in.size() - 2].data<bool>();
        o.recurrent_masks = in.back().data<float>();
        compare(in, s, o, {{"has_mask", true}, {"has_recurrent_mask", true}});
      }
    }
  }
}

TEST(Rnn, TakesOtherActivations) {
  const std::vector<std::pair<std::string, std::function<double(double)>>> activations = {
      {"linear", [](double x) { return x; }},
      {"relu", [](double x) { return x > 0 ? x : 0; }},
      {"sigmoid", sigmoid},
      {"tanh", [](double x) { return std::tanh(x); }},
      {"hard_sigmoid", [](double x) { return std::min(std::max(x + 3, 0.0), 6.0) / 6; }},
      {"softsign", [](double x) { return x / (1 + std::fabs(x)); }},
      {"softplus", [](double x) { return std::log1p(std::exp(x)); }},
      {"elu", [](double x) { return x > 0 ? x : std::expm1(x); }}};
  const Sizes s{3, 2, 4, 5};
  for (const auto& [name, f] : activations) {
    Options o;
    o.activation = f;
    compare(inputs(true, s), s, o, {{"activation", name}});
    o.lstm = false;
    compare(inputs(false, s), s, o, {{"activation", name}});
    o = Options{};
    o.recurrent = f;
    compare(inputs(true, s), s, o, {{"recurrent_activation", name}});
  }
}

TEST(Rnn, ARowHasTheSameBitsInAnyBatch) {
  const Sizes s{45, 50, 7, 21};
  for (const bool lstm : {true, false}) {
    const std::string op = lstm ? "lstm" : "simple_rnn";
    const std::vector<Tensor> in = inputs(lstm, s);
    const Attrs attrs{{"return_sequences", true}};
    const std::vector<Tensor> all = run_op(op, in, attrs);
    for (const Dim row : {Dim{0}, Dim{13}, Dim{44}}) {
      std::vector<Tensor> one = in;
      for (const std::size_t i : {std::size_t{0}, std::size_t{4}, std::size_t{5}}) {
        if (i >= in.size()) continue;
        Shape shape = in[i].shape();
        const Dim size = static_cast<Dim>(in[i].size()) / s.batch;
        shape[0] = 1;
        one[i] = Tensor(Spec{DType::f32, shape});
        std::memcpy(one[i].raw(), in[i].data<float>() + row * size, one[i].bytes());
      }
      const std::vector<Tensor> alone = run_op(op, one, attrs);
      const Dim size = s.steps * s.units;
      EXPECT_TRUE(same_bits(alone[0].data<float>(), all[0].data<float>() + row * size,
                            static_cast<std::size_t>(size)))
          << op << ", row " << row;
    }
  }
}

// Every output and every gradient, in the order of the graph's outputs.
std::vector<Tensor> train(const std::string& op, const std::vector<Tensor>& in,
                          const Attrs& attrs) {
  Graph graph;
  Builder b(graph);
  std::vector<ValueId> ids;
  for (const Tensor& x : in) ids.push_back(b.input(x.spec()));
  const std::vector<ValueId> out = b.emit_all(op, ids, attrs);
  const ValueId loss = b.emit("sum", {b.mul(out[0], out[0])});
  for (const ValueId d : gradients(graph, loss, ids)) b.output(d);
  b.output(out[0]);
  return Program::make(graph)->run(in);
}

TEST(Rnn, ThreadsDoNotChangeTheBits) {
  const int before = num_threads();
  const Sizes s{50, 100, 33, 40};  // more slices than groups, several blocks of steps
  for (const std::string op : {"lstm", "simple_rnn"}) {
    const std::vector<Tensor> in = inputs(op == "lstm", s);
    const Attrs attrs{{"return_sequences", true}};
    set_num_threads(1);
    const std::vector<Tensor> one = train(op, in, attrs);
    for (const int threads : {2, 3, 8}) {
      set_num_threads(threads);
      const std::vector<Tensor> many = train(op, in, attrs);
      for (std::size_t i = 0; i < one.size(); ++i)
        EXPECT_TRUE(same_bits(one[i].data<float>(), many[i].data<float>(), one[i].size()))
            << op << ", output " << i << ", " << threads << " threads";
    }
  }
  set_num_threads(before);
}

TEST(Rnn, InferenceAloneGivesTheBitsOfTraining) {
  const Sizes s{20, 70, 5, 9};
  for (const std::string op : {"lstm", "simple_rnn"}) {
    const std::vector<Tensor> in = inputs(op == "lstm", s);
    for (const bool backwards : {false, true}) {
      const Attrs attrs{{"go_backwards", backwards}};
      Graph graph;
      Builder b(graph);
      std::vector<ValueId> ids;
      for (const Tensor& x : in) ids.push_back(b.input(x.spec()));
      b.output(b.emit_all(op, ids, attrs)[0]);  // nobody wants what the backward pass needs
      const Tensor alone = Program::make(graph)->run(in)[0], kept = run_op(op, in, attrs)[0];
      EXPECT_TRUE(same_bits(alone.data<float>(), kept.data<float>(), kept.size())) << op;
    }
  }
}

TEST(Rnn, ShapesMayBeUnknown) {
  const auto f32 = [](Shape shape) { return Spec{DType::f32, std::move(shape)}; };
  const std::vector<Spec> in{f32({kUnknown, kUnknown, 3}), f32({3, 8}),       f32({2, 8}), f32({8}),
                             f32({kUnknown, 2}),           f32({kUnknown, 2})};
  EXPECT_EQ(infer("lstm", in, {})[0].shape, (Shape{kUnknown, 2}));
  EXPECT_EQ(infer("lstm", in, {{"return_sequences", true}})[0].shape,
            (Shape{kUnknown, kUnknown, 2}));
}

std::string complaint(const std::vector<Tensor>& in, const Attrs& attrs) {
  try {
    run_op("lstm", in, attrs);
  } catch (const Error& e) {
    return e.what();
  }
  return "no complaint";
}

TEST(Rnn, ComplaintsNameTheOperand) {
  const Sizes s{2, 3, 4, 5};
  std::vector<Tensor> in = inputs(true, s);
  EXPECT_NE(complaint(in, {{"activation", std::string("tahn")}}).find("Did you mean 'tanh'?"),
            std::string::npos);
  in[1] = random({4, 19}, 1);
  const std::string what = complaint(in, {});
  EXPECT_NE(what.find("(features, 4 * units) = (4, 20), got (4, 19)"), std::string::npos) << what;
}

}  // namespace
