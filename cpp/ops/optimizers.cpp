// Optimizer updates with Keras's arithmetic. What they have in common stands in update.h.
#include "ops/update.h"

namespace lamina {
namespace {

using update::Layout;
using update::sweeping;

// An attribute in [0, 1), or [0, 1] when `one` is allowed.
double read_fraction(const Attrs& attrs, const char* name, double fallback, bool one) {
  const double value = attr_real(attrs, name, fallback);
  if (value >= 0 && (value < 1 || (one && value == 1))) return value;
  throw Error(std::string(name) + " must be in " + (one ? "[0, 1]" : "[0, 1)") + ", got " +
              to_string(Attr(value)));
}

// ---- unfilled(shape, dtype): a buffer that nobody writes. Stands in a pack for a gradient that
// the update takes in another form.
std::vector<Spec> infer_unfilled(const InferArgs& a) {
  return {{parse_dtype(attr_str(a.attrs, "dtype", "float32")), attr_ints(a.attrs, "shape")}};
}
Bound bind_unfilled(const BindArgs&) {
  return {.run = [](const Run&) {}};
}

// ---- SGD.
std::vector<Spec> infer_sgd(const InferArgs& a) { return update::infer(a, {1, false}); }

Bound bind_sgd(const BindArgs& a) {
  const double weight_decay = attr_real(a.attrs, "weight_decay", 0);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    return sweeping<T>(a, 4, [decay = static_cast<T>(weight_decay)](const Run& r) {
      const T lr = r.in<T>(2)[0];
      return optimizer::Sgd<T>{lr, decay * lr};
    });
  });
}

std::vector<Spec> infer_sgd_momentum(const InferArgs& a) {
  read_fraction(a.attrs, "momentum", 0, true);
  return update::infer(a, {2, false});
}

Bound bind_sgd_momentum(const BindArgs& a) {
  const double weight_decay = attr_real(a.attrs, "weight_decay", 0);
  const double momentum = attr_real(a.attrs, "momentum", 0);
  const bool nesterov = attr_bool(a.attrs, "nesterov", false);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    const optimizer::Momentum<T> fixed{0, static_cast<T>(weight_decay), static_cast<T>(momentum),
                                       nesterov};
    return sweeping<T>(a, 6, [fixed](const Run& r) {
      optimizer::Momentum<T> rule = fixed;
      rule.lr = r.in<T>(3)[0];
      rule.decay *= rule.lr;
      return rule;
    });
  });
}

// ---- Adam.
template <bool kAmsgrad>
constexpr Layout kAdamLayout{kAmsgrad ? 4 : 3, true};

template <bool kAmsgrad>
std::vector<Spec> infer_adam(const InferArgs& a) {
  read_fraction(a.attrs, "beta_1", 0.9, false);
  read_fraction(a.attrs, "beta_2", 0.999, false);
  return update::infer(a, kAdamLayout<kAmsgrad>);
}

template <bool kAmsgrad>
Bound bind_adam(const BindArgs& a) {
  constexpr Layout at = kAdamLayout<kAmsgrad>;
  const double beta_1 = attr_real(a.attrs, "beta_1", 0.9);
  const double beta_2 = attr_real(a.attrs, "beta_2", 0.999);
  const double epsilon = attr_real(a.attrs, "epsilon", 1e-7);
  const double weight_decay = attr_real(a.attrs, "weight_decay", 0);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    using Rule = optimizer::Adam<T, kAmsgrad>;
    const optimizer::BiasCorrection<T> correct_m(beta_1), correct_v(beta_2);
    const Rule fixed{.alpha = 0,
                     .decay = static_cast<T>(weight_decay),
                     .to_m = static_cast<T>(1 - beta_1),
                     .to_v = static_cast<T>(1 - beta_2),
                     .epsilon = static_cast<T>(epsilon)};
    return sweeping<T>(a, 14, [=](const Run& r) {
      const std::int64_t t = r.in<std::int64_t>(at.step())[0] + 1;
      const T lr = r.in<T>(at.lr())[0];
      Rule rule = fixed;
      rule.alpha = lr * std::sqrt(correct_v.at(t)) / correct_m.at(t);
      rule.decay *= lr;
      return rule;
    });
  });
}

// ---- RMSprop. The states are p, v, then the average gradient if centered, then the momentum if
// there is one.
Layout rmsprop_layout(const Attrs& attrs) {
  std::size_t states = 2;
  if (attr_bool(attrs, "centered", false)) ++states;
  if (attr_real(attrs, "momentum", 0) > 0) ++states;
  return {states, false};
}

std::vector<Spec> infer_rmsprop(const InferArgs& a) {
  read_fraction(a.attrs, "rho", 0.9, true);
  read_fraction(a.attrs, "momentum", 0, true);
  return update::infer(a, rmsprop_layout(a.attrs));
}

template <bool kCentered, bool kMomentum>
Bound bind_rmsprop_variant(const BindArgs& a) {
  const double rho = attr_real(a.attrs, "rho", 0.9);
  const double momentum = attr_real(a.attrs, "momentum", 0);
  const double epsilon = attr_real(a.attrs, "epsilon", 1e-7);
  const double weight_decay = attr_real(a.attrs, "weight_decay", 0);
  return with_float(a.in[0].dtype, [&](auto tag) -> Bound {
    using T = decltype(tag);
    using Rule = optimizer::RmsProp<T, kCentered, kMomentum>;
    const Rule fixed{.lr = 0,
                     .decay = static_cast<T>(weight_decay),
                     .rho = static_cast<T>(rho),
                     .to_v = static_cast<T>(1 - rho),
                     .epsilon = static_cast<T>(epsilon),
                     .momentum = static_cast<T>(momentum)};
    return sweeping<T>(a, 14, [fixed](const Run& r) {
      Rule rule = fixed;
      rule.lr = r.in<T>(Rule::kStates + 1)[0];
      rule.decay *= rule.lr;
      return rule;
    });
  });
}

Bound bind_rmsprop(const BindArgs& a) {
  const bool centered = attr_bool(a.attrs, "centered", false);
  const bool momentum = attr_real(a.attrs, "momentum", 0) > 0;
  if (centered)
    return momentum ? bind_rmsprop_variant<true, true>(a) : bind_rmsprop_variant<true, false>(a);
  return momentum ? bind_rmsprop_variant<false, true>(a) : bind_rmsprop_variant<false, false>(a);
}

const Register registered{
    {.name = "sgd_update", .traits = kUpdate, .infer = infer_sgd, .bind = bind_sgd},
    {.name = "sgd_momentum_update",
     .traits = kUpdate,
     .infer = infer_sgd_momentum,
     .bind = bind_sgd_momentum},
    {.name = "adam_update",
     .traits = kUpdate,
     .infer = infer_adam<false>,
     .bind = bind_adam<false>},
    {.name = "adam_amsgrad_update",
     .traits = kUpdate,
     .infer = infer_adam<true>,
     .bind = bind_adam<true>},
    {.name = "unfilled", .traits = kRandom, .infer = infer_unfilled, .bind = bind_unfilled},
    {.name = "rmsprop_update", .traits = kUpdate, .infer = infer_rmsprop, .bind = bind_rmsprop},
};

}  // namespace
}  // namespace lamina
