// The activations that a product's epilogue can apply while its result is still at hand.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lamina {

enum class Activation : std::uint8_t { linear, relu, sigmoid, tanh };

inline std::optional<Activation> activation_named(std::string_view name) {
  if (name == "linear") return Activation::linear;
  if (name == "relu") return Activation::relu;
  if (name == "sigmoid") return Activation::sigmoid;
  if (name == "tanh") return Activation::tanh;
  return std::nullopt;
}

}  // namespace lamina
