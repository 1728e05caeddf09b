#include "exec/body.h"

#include "exec/program.h"

namespace lamina {

GraphPtr attr_graph(const Attrs& attrs, std::string_view name) {
  const auto it = attrs.find(name);
  if (it != attrs.end())
    if (const auto* graph = std::get_if<GraphPtr>(&it->second); graph != nullptr && *graph)
      return *graph;
  throw TypeError("attribute '" + std::string(name) + "' must be a graph");
}

Spec merged(const Spec& a, const Spec& b, const std::string& what) {
  Spec out = a;
  bool fits = a.dtype == b.dtype && a.shape.size() == b.shape.size();
  for (std::size_t i = 0; fits && i < a.shape.size(); ++i) {
    out.shape[i] = dim_merge(a.shape[i], b.shape[i]);
    fits = out.shape[i] != -2;
  }
  if (!fits) shape_error(what + ": " + to_string(a) + " and " + to_string(b));
  return out;
}

std::vector<Spec> output_specs(const Graph& body) {
  std::vector<Spec> specs;
  for (const ValueId id : body.outputs) specs.push_back(body.values.at(id).spec);
  return specs;
}

void check_body(const Graph& body, std::span<const Spec> in, const char* name) {
  if (body.inputs.size() != in.size())
    throw Error(std::string(name) + " takes " + std::to_string(body.inputs.size()) +
                " inputs, got " + std::to_string(in.size()));
  if (!body.assigns.empty()) throw Error(std::string(name) + " must not assign variables");
  for (std::size_t i = 0; i < in.size(); ++i)
    merged(body.values.at(body.inputs[i]).spec, in[i],
           std::string(name) + " wants another input " + std::to_string(i));
}

Body make_body(const Graph& graph) {
  ProgramOptions options = default_options();
  options.borrow = true;
  Body body;
  body.program = Program::make(graph, options);
  for (const Step& step : body.program->impl().steps) body.flops += step.flops;
  for (const Spec& spec : output_specs(body.program->graph()))
    body.output_bytes.push_back(byte_size(spec));
  const Program::Lease first(body.program);  // the pool has a plan before the first run
  return body;
}

LoopState::LoopState(std::span<const Spec> specs) {
  constexpr std::size_t kAlign = 64;
  for (const Spec& spec : specs) {
    sizes_.push_back(byte_size(spec));
    offsets_.push_back(bytes_);
    bytes_ += (sizes_.back() + kAlign - 1) / kAlign * kAlign;
  }
  bytes_ *= 2;
}

}  // namespace lamina
