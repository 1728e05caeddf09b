// Activation functions and their derivatives as function objects over vectors; see elementwise.h.
// A ...Grad takes what the forward left behind (x or y) and the arriving gradient.
#pragma once

#include "kernels/elementwise.h"

namespace lamina::kernels {

struct Relu {
  template <class V>
  V operator()(V x) const {
    return at_least(x, V{});
  }
};
struct ReluGrad {  // of y
  template <class V>
  V operator()(V y, V dy) const {
    return select(y > V{}, dy, V{});
  }
};
struct Relu6 {
  template <class V>
  V operator()(V x) const {
    return at_most(at_least(x, V{}), all<V>(6));
  }
};
struct Relu6Grad {  // of y
  template <class V>
  V operator()(V y, V dy) const {
    return select((y > V{}) & (y < all<V>(6)), dy, V{});
  }
};
struct LeakyRelu {
  double slope;
  template <class V>
  V operator()(V x) const {
    return select(x > V{}, x, x * all<V>(slope));
  }
};
struct LeakyReluGrad {  // of x
  double slope;
  template <class V>
  V operator()(V x, V dy) const {
    return select(x > V{}, dy, dy * all<V>(slope));
  }
};
struct SigmoidGrad {  // of y
  template <class V>
  V operator()(V y, V dy) const {
    return dy * (y * (1 - y));
  }
};
struct TanhGrad {  // of y
  template <class V>
  V operator()(V y, V dy) const {
    return dy * (1 - y * y);
  }
};

// scale * (x, or alpha (e^(x / width) - 1) below 0): elu, selu and celu.
struct Elu {
  static constexpr double kCost = 9;
  double alpha, scale = 1, width = 1;
  template <class V>
  V operator()(V x) const {
    const V low = expm1(at_most(x, V{}) / all<V>(width)) * all<V>(alpha * scale);
    return select(x > V{}, x * all<V>(scale), low);
  }
};
struct EluGrad {  // of x
  static constexpr double kCost = 9;
  double alpha, scale = 1, width = 1;
  template <class V>
  V operator()(V x, V dy) const {
    const V low = exp(at_most(x, V{}) / all<V>(width)) * all<V>(alpha * scale / width);
    return dy * select(x > V{}, all<V>(scale), low);
  }
};

struct Silu {
  static constexpr double kCost = 10;
  template <class V>
  V operator()(V x) const {
    return x * sigmoid(x);
  }
};
struct SiluGrad {  // of x
  static constexpr double kCost = 12;
  template <class V>
  V operator()(V x, V dy) const {
    const V s = sigmoid(x);
    return dy * (s * (1 + x * (1 - s)));
  }
};

// x Phi(x), Phi the normal distribution function, or its approximation by tanh.
constexpr double kSqrt2OverPi = 0.7978845608028654, kGeluCubic = 0.044715;
constexpr double kSqrtHalf = 0.7071067811865476, kInvSqrt2Pi = 0.3989422804014327;
struct GeluTanh {
  static constexpr double kCost = 14;
  template <class V>
  V operator()(V x) const {
    const V inner = all<V>(kSqrt2OverPi) * (x + all<V>(kGeluCubic) * x * x * x);
    return all<V>(0.5) * x * (1 + tanh(inner));
  }
};
struct GeluTanhGrad {  // of x
  static constexpr double kCost = 18;
  template <class V>
  V operator()(V x, V dy) const {
    const V inner = all<V>(kSqrt2OverPi) * (x + all<V>(kGeluCubic) * x * x * x);
    const V slope = all<V>(kSqrt2OverPi) * (1 + all<V>(3 * kGeluCubic) * x * x);
    const V t = tanh(inner);
    return dy * (all<V>(0.5) * ((1 + t) + x * (1 - t * t) * slope));
  }
};
struct GeluErf {
  static constexpr double kCost = 14;
  template <class V>
  V operator()(V x) const {
    return all<V>(0.5) * x * (1 + erf(x * all<V>(kSqrtHalf)));
  }
};
struct GeluErfGrad {  // of x
  static constexpr double kCost = 24;
  template <class V>
  V operator()(V x, V dy) const {
    const V below = all<V>(0.5) * (1 + erf(x * all<V>(kSqrtHalf)));
    return dy * (below + x * (exp(all<V>(-0.5) * x * x) * all<V>(kInvSqrt2Pi)));
  }
};

struct Softsign {
  static constexpr double kCost = 2;
  template <class V>
  V operator()(V x) const {
    return x / (1 + abs(x));
  }
};
struct SoftsignGrad {  // of x
  static constexpr double kCost = 3;
  template <class V>
  V operator()(V x, V dy) const {
    const V d = 1 + abs(x);
    return dy / (d * d);
  }
};
struct SoftplusGrad {  // of x
  static constexpr double kCost = 10;
  template <class V>
  V operator()(V x, V dy) const {
    return dy * sigmoid(x);
  }
};
struct LogSigmoid {
  static constexpr double kCost = 20;
  template <class V>
  V operator()(V x) const {
    return -softplus(-x);
  }
};
struct LogSigmoidGrad {  // of x
  static constexpr double kCost = 10;
  template <class V>
  V operator()(V x, V dy) const {
    return dy * sigmoid(-x);
  }
};
struct HardSigmoid {
  static constexpr double kCost = 2;
  template <class V>
  V operator()(V x) const {
    return Relu6{}(x + 3) / 6;
  }
};
struct HardSigmoidGrad {  // of x
  template <class V>
  V operator()(V x, V dy) const {
    return select((x > all<V>(-3)) & (x < all<V>(3)), dy / 6, V{});
  }
};
struct HardSilu {
  static constexpr double kCost = 3;
  template <class V>
  V operator()(V x) const {
    return x * HardSigmoid{}(x);
  }
};
struct HardSiluGrad {  // of x
  static constexpr double kCost = 3;
  template <class V>
  V operator()(V x, V dy) const {
    const V middle = dy * ((2 * x + 3) / 6);
    return select(x > all<V>(3), dy, select(x > all<V>(-3), middle, V{}));
  }
};
struct Mish {
  static constexpr double kCost = 30;
  template <class V>
  V operator()(V x) const {
    return x * tanh(softplus(x));
  }
};
struct MishGrad {  // of x
  static constexpr double kCost = 40;
  template <class V>
  V operator()(V x, V dy) const {
    const V t = tanh(softplus(x));
    return dy * (t + x * (1 - t * t) * sigmoid(x));
  }
};

}  // namespace lamina::kernels
