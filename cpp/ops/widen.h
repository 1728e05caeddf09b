// Ops on narrow dtypes (float16, bfloat16, int8 ...): the engine computes them on widened operands
// and rounds the results. Whoever applies an op (the Builder, the eager driver, infer) asks here.
#pragma once

#include "ops/op.h"

namespace lamina {

// One application of an op, widened.
struct Widened {
  std::vector<Spec> in, out;  // what the op itself takes and gives
  Attrs attrs;
  std::vector<DType> results;  // what its outputs become
};

// Whether something about this application is narrow that the op does not take as it is.
inline bool needs_widening(const OpDef& op, std::span<const Spec> in, const Attrs& attrs) {
  if (op.has(kAnyDtype)) return false;
  for (const Spec& s : in)
    if (is_narrow(s.dtype)) return true;
  if (attrs.empty()) return false;
  const auto it = attrs.find("dtype");
  if (it == attrs.end()) return false;
  const auto* name = std::get_if<std::string>(&it->second);
  return name != nullptr && is_narrow(parse_dtype(*name));
}

Widened widen(const OpDef& op, std::span<const Spec> in, const Attrs& attrs);

inline Attrs cast_to(DType dtype) { return {{"dtype", std::string(dtype_name(dtype))}}; }

}  // namespace lamina
