// The gradient of a gradient op that has a plain form: the reverse pass through that form.
#pragma once

#include "ops/op.h"

namespace lamina {

// plain(in) emits the op's outputs for the given inputs in elementary ops.
template <class Plain>
Grads second_gradient(Builder& b, const VjpArgs& v, const Plain& plain) {
  std::vector<ValueId> in;  // copies: a gradient of x is not to go through dy, which depends on it
  for (const ValueId id : v.in) in.push_back(b.emit("identity", {id}));
  const std::vector<ValueId> out = plain(in);
  ValueId total = kNoValue;
  for (std::size_t k = 0; k < out.size(); ++k) {
    if (v.d_out[k] == kNoValue) continue;
    const ValueId term = b.emit("sum", {b.mul(out[k], v.d_out[k])});
    total = total == kNoValue ? term : b.add(total, term);
  }
  return gradients(b.graph(), total, in);
}

}  // namespace lamina
