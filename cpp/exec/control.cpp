#include "exec/control.h"

#include "ops/op.h"

namespace lamina {

std::vector<ValueId> append_body(Builder& to, const Graph& body, std::span<const ValueId> inputs) {
  if (inputs.size() != body.inputs.size())
    throw Error("a body takes " + std::to_string(body.inputs.size()) + " inputs, got " +
                std::to_string(inputs.size()));
  std::vector<ValueId> became(body.values.size(), kNoValue);
  for (std::size_t i = 0; i < body.inputs.size(); ++i) became[body.inputs[i]] = inputs[i];
  for (ValueId id = 0; id < body.values.size(); ++id)
    if (body.values[id].kind == Value::Kind::constant)
      became[id] = to.constant(body.values[id].constant);
  for (const Node& node : body.nodes) {
    to.set_origin(body.origins[node.origin]);
    std::vector<ValueId> in;
    for (const ValueId id : node.in) in.push_back(became[id]);
    const std::vector<ValueId> out = to.emit_all(node.op->name, in, node.attrs);
    for (std::size_t k = 0; k < out.size(); ++k) became[node.out[k]] = out[k];
  }
  std::vector<ValueId> outputs;
  for (const ValueId id : body.outputs) outputs.push_back(became[id]);
  return outputs;
}

std::vector<ValueId> pull_back(Builder& b, std::span<const Seed> seeds,
                               std::span<const ValueId> wrt) {
  ValueId loss = kNoValue;
  for (const Seed& s : seeds) {
    const ValueId term = b.sum_to(b.mul(s.out, s.seed), {});
    loss = loss == kNoValue ? term : b.add(loss, b.cast(term, b.dtype(loss)));
  }
  std::vector<ValueId> grads(wrt.size(), kNoValue);
  if (loss != kNoValue) grads = gradients(b.graph(), loss, wrt);
  for (std::size_t i = 0; i < wrt.size(); ++i)
    if (grads[i] == kNoValue) grads[i] = b.zeros_like(wrt[i]);
  return grads;
}

}  // namespace lamina
