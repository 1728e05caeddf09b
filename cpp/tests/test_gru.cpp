// gru against a cell written out naively, and what its bits may not depend on.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
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

std::vector<Tensor> inputs(bool after, const Sizes& s) {
  const Dim wide = 3 * s.units;
  return {random({s.batch, s.steps, s.features}, 1), random({s.features, wide}, 2, 0.5f),
          random({s.units, wide}, 3, 0.3f), random(after ? Shape{2, wide} : Shape{wide}, 4),
          random({s.batch, s.units}, 5)};
}

Tensor random_mask(Dim batch, Dim steps) {
  Tensor mask(Spec{DType::boolean, {batch, steps}});
  std::mt19937 engine(9);
  for (std::size_t i = 0; i < mask.size(); ++i) mask.data<bool>()[i] = engine() % 3 != 0;
  return mask;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Options {
  bool after = true, go_backwards = false, zero_output = false;
  const bool* mask = nullptr;
  const float* recurrent_masks = nullptr;
};

// The whole output sequence, and the last state, of one row.
struct Row {
  std::vector<double> y, h;
};

Row naive(const std::vector<Tensor>& in, const Sizes& s, Dim row, const Options& o) {
  const Dim n = s.units, wide = 3 * n;
  const auto at = [&](std::size_t input, Dim i) {
    return static_cast<double>(in[input].data<float>()[i]);
  };
  std::vector<double> h, output(static_cast<std::size_t>(n), 0.0), y;
  for (Dim j = 0; j < n; ++j) h.push_back(at(4, row * n + j));
  for (Dim step = 0; step < s.steps; ++step) {
    const Dim t = o.go_backwards ? s.steps - 1 - step : step;
    const bool valid = o.mask == nullptr || o.mask[row * s.steps + t];
    // The product of one column of the recurrent kernel with a state.
    const auto product = [&](Dim column, const std::vector<double>& state) {
      double sum = o.after ? at(3, wide + column) : 0;
      for (Dim j = 0; j < n; ++j) {
        const Dim mask = ((column / n) * s.batch + row) * n + j;
        const double dropout = o.recurrent_masks == nullptr ? 1.0 : o.recurrent_masks[mask];
        sum += state[static_cast<std::size_t>(j)] * dropout * at(2, j * wide + column);
      }
      return sum;
    };
    const auto input = [&](Dim column) {
      double sum = at(3, column);
      for (Dim f = 0; f < s.features; ++f)
        sum += at(0, (row * s.steps + t) * s.features + f) * at(1, f * wide + column);
      return sum;
    };
    std::vector<double> reset, let_in, next;
    for (Dim j = 0; j < n; ++j) {
      reset.push_back(sigmoid(input(n + j) + product(n + j, h)));
      let_in.push_back(reset.back() * h[static_cast<std::size_t>(j)]);
    }
    for (Dim j = 0; j < n; ++j) {
      const auto k = static_cast<std::size_t>(j);
      const double inner = o.after ? reset[k] * product(2 * n + j, h) : product(2 * n + j, let_in);
      const double update = sigmoid(input(j) + product(j, h));
      next.push_back(update * h[k] + (1 - update) * std::tanh(input(2 * n + j) + inner));
    }
    if (valid) h = output = next;
    if (!valid && o.zero_output) std::fill(output.begin(), output.end(), 0.0);
    y.insert(y.end(), output.begin(), output.end());
  }
  return {y, h};
}

void expect_near(const float* got, const std::vector<double>& wanted, const std::string& what) {
  for (std::size_t i = 0; i < wanted.size(); ++i)
    ASSERT_NEAR(got[i], wanted[i], 3e-6) << what << " " << i;
}

void compare(const std::vector<Tensor>& in, const Sizes& s, const Options& o, Attrs attrs = {}) {
  attrs["reset_after"] = o.after;
  attrs["go_backwards"] = o.go_backwards;
  attrs["zero_output_for_mask"] = o.zero_output;
  const std::vector<Tensor> last = run_op("gru", in, attrs);
  attrs["return_sequences"] = true;
  const std::vector<Tensor> all = run_op("gru", in, attrs);
  ASSERT_EQ(all[0].shape(), (Shape{s.batch, s.steps, s.units}));
  ASSERT_EQ(last[0].shape(), (Shape{s.batch, s.units}));
  for (Dim row = 0; row < s.batch; ++row) {
    const Row wanted = naive(in, s, row, o);
    expect_near(all[0].data<float>() + row * s.steps * s.units, wanted.y, "y");
    expect_near(all[1].data<float>() + row * s.units, wanted.h, "h");
    const std::vector<double> final(wanted.y.end() - s.units, wanted.y.end());
    expect_near(last[0].data<float>() + row * s.units, final, "last y");
  }
}

bool same_bits(const float* a, const float* b, std::size_t n) {
  return std::memcmp(a, b, n * sizeof(float)) == 0;
}

TEST(Gru, EqualsTheNaiveCell) {
  for (const bool after : {true, false}) {
    for (const Sizes& s : {Sizes{1, 1, 1, 1}, {2, 3, 4, 5}, {5, 7, 3, 16}, {37, 40, 6, 19}}) {
      Options o;
      o.after = after;
      compare(inputs(after, s), s, o);
      o.go_backwards = true;
      compare(inputs(after, s), s, o);
    }
  }
}

TEST(Gru, MasksRepeatOrZeroTheOutput) {
  const Sizes s{18, 35, 3, 6};
  for (const bool after : {true, false}) {
    for (const bool zero : {true, false}) {
      for (const bool backwards : {true, false}) {
        std::vector<Tensor> in = inputs(after, s);
        in.push_back(random_mask(s.batch, s.steps));
        in.push_back(random({3, s.batch, s.units}, 8, 2));
        Options o;
        o.after = after;
        o.zero_output = zero;
        o.go_backwards = backwards;
        o.mask = in[5].data<bool>();
        o.recurrent_masks = in[6].data<float>();
        compare(in, s, o, {{"has_mask", true}, {"has_recurrent_mask", true}});
      }
    }
  }
}

TEST(Gru, ARowHasTheSameBitsInAnyBatch) {
  const Sizes s{45, 50, 7, 21};
  for (const bool after : {true, false}) {
    const std::vector<Tensor> in = inputs(after, s);
    const Attrs attrs{{"return_sequences", true}, {"reset_after", after}};
    const std::vector<Tensor> all = run_op("gru", in, attrs);
    for (const Dim row : {Dim{0}, Dim{13}, Dim{44}}) {
      std::vector<Tensor> one = in;
      for (const std::size_t i : {std::size_t{0}, std::size_t{4}}) {
        Shape shape = in[i].shape();
        const Dim size = static_cast<Dim>(in[i].size()) / s.batch;
        shape[0] = 1;
        one[i] = Tensor(Spec{DType::f32, shape});
        std::memcpy(one[i].raw(), in[i].data<float>() + row * size, one[i].bytes());
      }
      const std::vector<Tensor> alone = run_op("gru", one, attrs);
      const Dim size = s.steps * s.units;
      EXPECT_TRUE(same_bits(alone[0].data<float>(), all[0].data<float>() + row * size,
                            static_cast<std::size_t>(size)))
          << "reset_after " << after << ", row " << row;
    }
  }
}

// Every gradient and the output, in the order of the graph's outputs.
std::vector<Tensor> train(const std::vector<Tensor>& in, const Attrs& attrs) {
  Graph graph;
  Builder b(graph);
  std::vector<ValueId> ids;
  for (const Tensor& x : in) ids.push_back(b.input(x.spec()));
  const std::vector<ValueId> out = b.emit_all("gru", ids, attrs);
  const ValueId loss = b.emit("sum", {b.mul(out[0], out[0])});
  for (const ValueId d : gradients(graph, loss, ids)) b.output(d);
  b.output(out[0]);
  return Program::make(graph)->run(in);
}

TEST(Gru, ThreadsDoNotChangeTheBits) {
  const int before = num_threads();
  const Sizes s{50, 100, 33, 40};  // more slices than groups, several blocks of steps
  for (const bool after : {true, false}) {
    const std::vector<Tensor> in = inputs(after, s);
    const Attrs attrs{{"return_sequences", true}, {"reset_after", after}};
    set_num_threads(1);
    const std::vector<Tensor> one = train(in, attrs);
    for (const int threads : {2, 3, 8}) {
      set_num_threads(threads);
      const std::vector<Tensor> many = train(in, attrs);
      for (std::size_t i = 0; i < one.size(); ++i)
        EXPECT_TRUE(same_bits(one[i].data<float>(), many[i].data<float>(), one[i].size()))
            << "reset_after " << after << ", output " << i << ", " << threads << " threads";
    }
  }
  set_num_threads(before);
}

TEST(Gru, InferenceAloneGivesTheBitsOfTraining) {
  const Sizes s{20, 70, 5, 9};
  for (const bool after : {true, false}) {
    const std::vector<Tensor> in = inputs(after, s);
    for (const bool backwards : {false, true}) {
      const Attrs attrs{{"go_backwards", backwards}, {"reset_after", after}};
      Graph graph;
      Builder b(graph);
      std::vector<ValueId> ids;
      for (const Tensor& x : in) ids.push_back(b.input(x.spec()));
      b.output(b.emit_all("gru", ids, attrs)[0]);  // nobody wants what the backward pass needs
      const Tensor alone = Program::make(graph)->run(in)[0], kept = run_op("gru", in, attrs)[0];
      EXPECT_TRUE(same_bits(alone.data<float>(), kept.data<float>(), kept.size()));
    }
  }
}

TEST(Gru, ShapesMayBeUnknown) {
  const auto f32 = [](Shape shape) { return Spec{DType::f32, std::move(shape)}; };
  const std::vector<Spec> in{f32({kUnknown, kUnknown, 3}), f32({3, 6}), f32({2, 6}), f32({2, 6}),
                             f32({kUnknown, 2})};
  EXPECT_EQ(infer("gru", in, {})[0].shape, (Shape{kUnknown, 2}));
  EXPECT_EQ(infer("gru", in, {{"return_sequences", true}})[0].shape,
            (Shape{kUnknown, kUnknown, 2}));
}

std::string complaint(const std::vector<Tensor>& in, const Attrs& attrs) {
  try {
    run_op("gru", in, attrs);
  } catch (const Error& e) {
    return e.what();
  }
  return "no complaint";
}

TEST(Gru, ComplaintsNameTheOperand) {
  std::vector<Tensor> in = inputs(true, {2, 3, 4, 5});
  EXPECT_NE(complaint(in, {{"reset_after", false}})
                .find("the bias must have shape (3 * units,) = (15,), got (2, 15)"),
            std::string::npos);
  in[1] = random({4, 14}, 1);
  const std::string what = complaint(in, {});
  EXPECT_NE(what.find("(features, 3 * units) = (4, 15), got (4, 14)"), std::string::npos) << what;
}

}  // namespace
