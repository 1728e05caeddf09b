// Activation functions. Each has a gradient op that reads what is cheapest to keep (y where it
// suffices, else x) and computes the whole product in one sweep.
#include "kernels/nonlinear.h"
#include "ops/elementwise.h"

namespace lamina {
namespace {

using namespace kernels;

constexpr double kSeluScale = 1.0507009873554805, kSeluAlpha = 1.6732632423543772;

// ---- Attributes.
template <class F>
F slope_of(const Attrs& attrs) {
  return {attr_real(attrs, "negative_slope", 0.2)};
}
template <class F>
F alpha_of(const Attrs& attrs) {
  return {attr_real(attrs, "alpha", 1.0)};
}
template <class F>
F selu_of(const Attrs&) {
  return {kSeluAlpha, kSeluScale};
}
template <class F>
F celu_of(const Attrs& attrs) {
  const double alpha = attr_real(attrs, "alpha", 1.0);
  return {alpha, 1, alpha};
}
std::vector<Spec> infer_celu(const InferArgs& a) {
  if (attr_real(a.attrs, "alpha", 1.0) == 0) throw Error("alpha must not be 0");
  return infer_unary_floating(a);
}

// gelu has two formulas; the attribute chooses.
template <std::size_t kInputs, class Approximate, class Exact>
Tile gelu_tile(const BindArgs& a) {
  const DType dtype = a.out[0].dtype;
  return attr_bool(a.attrs, "approximate", true) ? floating_tile<kInputs>(dtype, Approximate{})
                                                 : floating_tile<kInputs>(dtype, Exact{});
}
Tile gelu_forward_tile(const BindArgs& a) { return gelu_tile<1, GeluTanh, GeluErf>(a); }
Tile gelu_grad_tile(const BindArgs& a) { return gelu_tile<2, GeluTanhGrad, GeluErfGrad>(a); }
Bound bind_gelu(const BindArgs& a) {
  return bind_elementwise(a, gelu_forward_tile(a), GeluTanh::kCost);
}
Bound bind_gelu_grad(const BindArgs& a) {
  return bind_elementwise(a, gelu_grad_tile(a), GeluTanhGrad::kCost);
}

// ---- Gradient rules: one gradient op, of y or of x.
template <const char* const& name>
Grads from_y(Builder& b, const VjpArgs& a) {
  return {b.emit(name, {a.out[0], a.d_out[0]}, a.attrs)};
}
template <const char* const& name>
Grads from_x(Builder& b, const VjpArgs& a) {
  return {b.emit(name, {a.in[0], a.d_out[0]}, a.attrs)};
}
constexpr const char* kReluGrad = "relu_grad";
constexpr const char* kRelu6Grad = "relu6_grad";
constexpr const char* kLeakyReluGrad = "leaky_relu_grad";
constexpr const char* kSigmoidGrad = "sigmoid_grad";
constexpr const char* kTanhGrad = "tanh_grad";
constexpr const char* kEluGrad = "elu_grad";
constexpr const char* kSeluGrad = "selu_grad";
constexpr const char* kCeluGrad = "celu_grad";
constexpr const char* kGeluGrad = "gelu_grad";
constexpr const char* kSiluGrad = "silu_grad";
constexpr const char* kSoftplusGrad = "softplus_grad";
constexpr const char* kSoftsignGrad = "softsign_grad";
constexpr const char* kLogSigmoidGrad = "log_sigmoid_grad";
constexpr const char* kHardSigmoidGrad = "hard_sigmoid_grad";
constexpr const char* kHardSiluGrad = "hard_silu_grad";
constexpr const char* kMishGrad = "mish_grad";

// ---- Gradients of gradients, where they are short.
// The piecewise linear ones: linear in dy, constant in the other operand.
template <const char* const& name>
Grads linear_in_dy(Builder& b, const VjpArgs& a) {
  if (!a.wanted[1]) return {kNoValue, kNoValue};
  return {kNoValue, sum_to_input(b, a, 1, b.emit(name, {a.in[0], a.d_out[0]}, a.attrs))};
}
// dy s(y): d/dy = g dy s'(y), d/d(dy) = g s(y); s' = 1 - 2y for sigmoid, -2y for tanh.
template <const char* const& name, int kConstant>
Grads of_y_and_dy(Builder& b, const VjpArgs& a) {
  Grads d{kNoValue, kNoValue};
  if (a.wanted[0]) {
    const ValueId slope = b.shift(b.scale(a.in[0], -2), kConstant);
    d[0] = sum_to_input(b, a, 0, b.mul(b.mul(a.d_out[0], a.in[1]), slope));
  }
  if (a.wanted[1]) d[1] = sum_to_input(b, a, 1, b.emit(name, {a.in[0], a.d_out[0]}));
  return d;
}

const Register r{
    floating_unary<Relu>("relu", from_y<kReluGrad>),
    floating_binary<ReluGrad>(kReluGrad, linear_in_dy<kReluGrad>),
    floating_unary<Relu6>("relu6", from_y<kRelu6Grad>),
    floating_binary<Relu6Grad>(kRelu6Grad, linear_in_dy<kRelu6Grad>),
    floating_unary<LeakyRelu, slope_of<LeakyRelu>>("leaky_relu", from_x<kLeakyReluGrad>),
    floating_binary<LeakyReluGrad, slope_of<LeakyReluGrad>>(kLeakyReluGrad,
                                                            linear_in_dy<kLeakyReluGrad>),
    floating_unary<Sigmoid>("sigmoid", from_y<kSigmoidGrad>),
    floating_binary<SigmoidGrad>(kSigmoidGrad, of_y_and_dy<kSigmoidGrad, 1>),
    floating_unary<Tanh>("tanh", from_y<kTanhGrad>),
    floating_binary<TanhGrad>(kTanhGrad, of_y_and_dy<kTanhGrad, 0>),
    floating_unary<Elu, alpha_of<Elu>>("elu", from_x<kEluGrad>),
    floating_binary<EluGrad, alpha_of<EluGrad>>(kEluGrad, nullptr),
    floating_unary<Elu, selu_of<Elu>>("selu", from_x<kSeluGrad>),
    floating_binary<EluGrad, selu_of<EluGrad>>(kSeluGrad, nullptr),
    {.name = "celu",
     .traits = kElementwise | kInPlace,
     .infer = infer_celu,
     .bind = bind_of<1, Elu, celu_of<Elu>>,
     .vjp = from_x<kCeluGrad>,
     .tile = tile_of<1, Elu, celu_of<Elu>>},
    floating_binary<EluGrad, celu_of<EluGrad>>(kCeluGrad, nullptr),
    {.name = "gelu",
     .traits = kElementwise | kInPlace,
     .infer = infer_unary_floating,
     .bind = bind_gelu,
     .vjp = from_x<kGeluGrad>,
     .tile = gelu_forward_tile},
    {.name = kGeluGrad,
     .traits = kElementwise | kInPlace,
     .infer = infer_binary_floating,
     .bind = bind_gelu_grad,
     .tile = gelu_grad_tile},
    floating_unary<Silu>("silu", from_x<kSiluGrad>),
    floating_binary<SiluGrad>(kSiluGrad, nullptr),
    floating_unary<Softplus>("softplus", from_x<kSoftplusGrad>),
    floating_binary<SoftplusGrad>(kSoftplusGrad, nullptr),
    floating_unary<Softsign>("softsign", from_x<kSoftsignGrad>),
    floating_binary<SoftsignGrad>(kSoftsignGrad, nullptr),
    floating_unary<LogSigmoid>("log_sigmoid", from_x<kLogSigmoidGrad>),
    floating_binary<LogSigmoidGrad>(kLogSigmoidGrad, nullptr),
    floating_unary<HardSigmoid>("hard_sigmoid", from_x<kHardSigmoidGrad>),
    floating_binary<HardSigmoidGrad>(kHardSigmoidGrad, linear_in_dy<kHardSigmoidGrad>),
    floating_unary<HardSilu>("hard_silu", from_x<kHardSiluGrad>),
    floating_binary<HardSiluGrad>(kHardSiluGrad, nullptr),
    floating_unary<Mish>("mish", from_x<kMishGrad>),
    floating_binary<MishGrad>(kMishGrad, nullptr),
};

}  // namespace
}  // namespace lamina
