// The activation that an op of the trait kEpilogue applies to its result.
#pragma once

#include "kernels/activation.h"
#include "ops/op.h"

namespace lamina {

inline Activation activation_of(const Attrs& attrs) {
  const std::string name = attr_str(attrs, "activation", "linear");
  if (const auto activation = activation_named(name)) return *activation;
  throw Error("activation '" + name + "' is not one of linear, relu, sigmoid, tanh");
}

}  // namespace lamina
