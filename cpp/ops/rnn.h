// What the recurrent ops share: reading their attributes and checking their operands.
#pragma once

#include "kernels/rnn.h"
#include "ops/op.h"

namespace lamina {

inline CellActivation read_activation(const Attrs& attrs, const char* name, const char* fallback) {
  const std::string value = attr_str(attrs, name, fallback);
  if (const auto kind = cell_activation_named(value)) return *kind;
  const std::string near = nearest_name(value, cell_activation_names());
  std::string allowed;
  for (const std::string& n : cell_activation_names()) allowed += (allowed.empty() ? "" : ", ") + n;
  throw Error(std::string(name) + " must be one of " + allowed + ", got '" + value + "'" +
              (near.empty() ? "" : ". Did you mean '" + near + "'?"));
}

inline RnnOptions read_options(const Attrs& attrs) {
  RnnOptions o;
  o.activation = read_activation(attrs, "activation", "tanh");
  o.recurrent_activation = read_activation(attrs, "recurrent_activation", "sigmoid");
  o.return_sequences = attr_bool(attrs, "return_sequences", false);
  o.go_backwards = attr_bool(attrs, "go_backwards", false);
  o.zero_masked_output = attr_bool(attrs, "zero_output_for_mask", false);
  return o;
}

// The shape must be `wanted`; unknown sizes agree with all.
inline void require_shape(const Spec& spec, const Shape& wanted, const char* operand,
                          const char* meaning) {
  bool same = spec.shape.size() == wanted.size();
  for (std::size_t i = 0; same && i < wanted.size(); ++i)
    same = dim_merge(spec.shape[i], wanted[i]) != -2;
  if (!same)
    shape_error(std::string(operand) + " must have shape " + meaning + " = " + to_string(wanted) +
                ", got " + to_string(spec.shape));
}

inline void require_mask(const Spec& mask) {
  if (mask.dtype != DType::boolean)
    type_error(std::string("the mask must be bool, got ") + dtype_name(mask.dtype));
}

// A rough count; an activation counts as 20 operations.
inline double step_flops(const RnnShape& s, Dim gates, Dim inputs) {
  const double rows = static_cast<double>(s.batch) * static_cast<double>(s.steps);
  const double wide = static_cast<double>(gates * s.units);
  return rows * wide * (2.0 * static_cast<double>(inputs) + 20.0);
}

// Where an operand lies that the node does not have.
inline constexpr std::size_t kNoOperand = ~std::size_t{0};

template <class T>
const T* input_or_null(const Run& r, std::size_t at) {
  return at == kNoOperand ? nullptr : r.in<T>(at);
}
template <class T>
T* output_or_null(const Run& r, std::size_t at) {
  return at == kNoOperand ? nullptr : r.out<T>(at);
}

}  // namespace lamina
