// Every differentiable op there is, from the registry: its gradient against central differences,
// in float64; the fused program against the plain one and against the op alone; float32 beside
// float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "lamina/plan.h"
#include "op_cases.h"

using namespace lamina;

namespace {

// Where a case cannot be written here. py_call needs Python; its gradient is tested there.
// custom_gradient is in test_control.cpp. Those of straight_through.cpp have gradients that are no
// slopes, by design.
const std::set<std::string> kTestedElsewhere = {"py_call", "straight_through", "float8_operand",
                                                "float8_gradient", "custom_gradient"};

bool needs_case(const std::string& op) {
  return op_is_differentiable(op) && !op.ends_with("_grad") && !kTestedElsewhere.contains(op);
}

std::vector<int> checked_inputs(const OpCase& c) {
  if (!c.differentiable.empty()) return c.differentiable;
  std::vector<int> all;
  for (std::size_t i = 0; i < c.in.size(); ++i) {
    if (is_floating(c.in[i].dtype())) all.push_back(static_cast<int>(i));
  }
  return all;
}

// The case in another precision: inputs, and the type an attribute may name.
OpCase in_precision(OpCase c, DType dtype) {
  for (Tensor& x : c.in) x = to_floating(x, dtype);
  if (const auto found = c.attrs.find("dtype"); found != c.attrs.end()) {
    const auto* name = std::get_if<std::string>(&found->second);
    if (name != nullptr && is_floating(parse_dtype(*name))) found->second = dtype_name(dtype);
  }
  return c;
}

// loss = sum over the floating outputs of sum(output * fixed weights).
// Outputs: the loss, then those of the op, then d(loss)/d(input) of the checked inputs.
Graph build(const OpCase& c, bool with_gradients) {
  Graph graph;
  Builder b(graph);
  std::vector<ValueId> in;
  for (const Tensor& x : c.in) in.push_back(b.input(x.spec()));
  const std::vector<ValueId> out = b.emit_all(c.op, in, c.attrs);
  ValueId loss = kNoValue;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!is_floating(b.dtype(out[i]))) continue;
    if (c.output >= 0 && c.output != static_cast<int>(i)) continue;
    const Tensor weights =
        to_floating(uniform(b.shape(out[i]), 0.5, 1.5, 100 + i), b.dtype(out[i]));
    const ValueId term = b.emit("sum", {b.mul(out[i], b.constant(weights))});
    loss = loss == kNoValue ? term : b.add(loss, b.cast(term, b.dtype(loss)));
  }
  if (loss == kNoValue) throw Error("the op '" + c.op + "' has no floating output to check");
  b.output(loss);
  if (!with_gradients) return graph;
  for (const ValueId id : out) b.output(id);
  std::vector<ValueId> wrt;
  for (const int i : checked_inputs(c)) wrt.push_back(in[static_cast<std::size_t>(i)]);
  const std::vector<ValueId> grads = gradients(graph, loss, wrt);
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    b.output(grads[i] != kNoValue ? grads[i] : b.zeros_like(wrt[i]));
  }
  return graph;
}

std::vector<Tensor> run(const OpCase& c, ProgramOptions options) {
  return Program::make(build(c, true), options)->run(c.in);
}

void expect_close(const Tensor& a, const Tensor& b, double tolerance, const std::string& what) {
  ASSERT_EQ(a.shape(), b.shape()) << what;
  if (!is_floating(a.dtype())) {
    const auto* x = static_cast<const std::byte*>(a.raw());
    EXPECT_TRUE(std::equal(x, x + a.bytes(), static_cast<const std::byte*>(b.raw()))) << what;
    return;
  }
  const Tensor x = to_floating(a, DType::f64), y = to_floating(b, DType::f64);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double u = x.data<double>()[i], v = y.data<double>()[i];
    if (u == v || (std::isnan(u) && std::isnan(v))) continue;
    ASSERT_LE(std::fabs(u - v), tolerance * std::max({1.0, std::fabs(u), std::fabs(v)}))
        << what << ", element " << i << ": " << u << " and " << v;
  }
}

class OpGradient : public testing::TestWithParam<std::size_t> {
 protected:
  const OpCase& c() const { return op_cases()[GetParam()]; }
  std::size_t first_gradient(const std::vector<Tensor>& outputs) const {
    return outputs.size() - checked_inputs(c()).size();
  }
};

TEST_P(OpGradient, IsTheSlopeOfTheOp) {
  const std::vector<Tensor> got = run(c(), ProgramOptions{});
  const auto forward = Program::make(build(c(), false));
  const auto loss_at = [&](const std::vector<Tensor>& in) {
    return forward->run(in)[0].data<double>()[0];
  };
  const std::vector<int> inputs = checked_inputs(c());
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const auto input = static_cast<std::size_t>(inputs[k]);
    const Tensor& gradient = got[first_gradient(got) + k];
    ASSERT_EQ(gradient.spec(), c().in[input].spec()) << "gradient of input " << input;
    std::vector<Tensor> moved = c().in;
    moved[input] = moved[input].clone();
    constexpr std::size_t kMost = 60;  // elements of an input, spread over it
    const std::size_t size = gradient.size(), stride = size / kMost + 1;
    for (std::size_t i = 0; i < size; i += stride) {
      double& x = moved[input].data<double>()[i];
      const double at = x, h = 1e-6 * std::max(1.0, std::fabs(at));
      x = at + h;
      const double above = loss_at(moved);
      x = at - h;
      const double below = loss_at(moved);
      x = at;
      const double slope = (above - below) / (2 * h), value = gradient.data<double>()[i];
      ASSERT_LE(std::fabs(slope - value),
                c().tolerance * std::max({1.0, std::fabs(slope), std::fabs(value)}))
          << "input " << input << ", element " << i << ": the gradient is " << value
          << ", central differences give " << slope;
    }
  }
}

TEST_P(OpGradient, IsTheSameFusedPlainAndAlone) {
  const std::vector<Tensor> fused = run(c(), ProgramOptions{true, true});
  const std::vector<Tensor> plain = run(c(), ProgramOptions{false, false});
  ASSERT_EQ(fused.size(), plain.size());
  for (std::size_t i = 0; i < fused.size(); ++i) {
    expect_close(fused[i], plain[i], 1e-12,
                 "output " + std::to_string(i) + " of the fused program");
  }
  const std::vector<Tensor> alone = run_op(c().op, c().in, c().attrs);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    expect_close(alone[i], plain[1 + i], 1e-12, "output " + std::to_string(i) + " of the op alone");
  }
}

// A body keeps the types it was built with.
bool has_body(const OpCase& c) {
  return std::any_of(c.attrs.begin(), c.attrs.end(), [](const auto& attr) {
    return std::holds_alternative<GraphPtr>(attr.second);
  });
}

TEST_P(OpGradient, AgreesInFloat32) {
  if (has_body(c())) return;
  const std::vector<Tensor> exact = run(c(), ProgramOptions{});
  const std::vector<Tensor> single = run(in_precision(c(), DType::f32), ProgramOptions{});
  ASSERT_EQ(exact.size(), single.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    expect_close(single[i], exact[i], std::max(1e-3, c().tolerance), "output " + std::to_string(i));
  }
}

std::string case_name(const testing::TestParamInfo<std::size_t>& info) {
  return op_cases()[info.param].op + "_" + std::to_string(info.param);
}

std::vector<std::size_t> case_numbers() {
  std::vector<std::size_t> numbers(op_cases().size());
  std::iota(numbers.begin(), numbers.end(), std::size_t{0});
  return numbers;
}

INSTANTIATE_TEST_SUITE_P(Case, OpGradient, testing::ValuesIn(case_numbers()), case_name);

TEST(OpCases, CoverEveryDifferentiableOp) {
  std::set<std::string> covered;
  for (const OpCase& c : op_cases()) covered.insert(c.op);
  std::string missing;
  for (const std::string& op : op_names()) {
    if (needs_case(op) && !covered.contains(op)) missing += "no case for op '" + op + "'\n";
  }
  EXPECT_TRUE(missing.empty()) << missing;
}

TEST(OpCases, NameOpsThatExist) {
  const std::vector<std::string> names = op_names();
  for (const OpCase& c : op_cases()) {
    EXPECT_NE(std::find(names.begin(), names.end(), c.op), names.end()) << "no op '" << c.op << "'";
  }
}

}  // namespace
