// The eager driver: one op on real tensors, now. And the search for the first bad number, which
// runs a graph that way, node by node.
#include <cmath>

#include "base/denormals.h"
#include "base/parallel.h"
#include "exec/program.h"
#include "kernels/narrow.h"
#include "ops/widen.h"

namespace lamina {
namespace {

bool all_finite(const Tensor& t) {
  if (!is_floating(t.dtype())) return true;
  return kernels::with_storage(t.dtype(), [&](auto tag) {
    const auto* p = static_cast<const decltype(tag)*>(t.raw());
    for (std::size_t i = 0; i < t.size(); ++i)
      if (!std::isfinite(static_cast<double>(kernels::widened(p[i])))) return false;
    return true;
  });
}

Tensor cast(const Tensor& t, DType to) {
  return t.dtype() == to ? t : run_op("cast", {{t}}, cast_to(to))[0];
}

std::vector<Tensor> run_widened(const OpDef& op, std::span<const Tensor> in,
                                std::span<const Spec> specs, const Attrs& attrs) {
  const Widened w = widen(op, specs, attrs);
  std::vector<Tensor> wide;
  for (std::size_t i = 0; i < in.size(); ++i) wide.push_back(cast(in[i], w.in[i].dtype));
  std::vector<Tensor> out = run_op(op.name, wide, w.attrs);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = cast(out[k], w.results[k]);
  return out;
}

}  // namespace

std::vector<Tensor> run_op(std::string_view op, std::span<const Tensor> in, const Attrs& attrs) {
  std::vector<Spec> in_specs;
  for (const Tensor& t : in) in_specs.push_back(t.spec());
  const std::vector<Spec> out_specs = infer(op, in_specs, attrs);
  for (const Spec& spec : out_specs)
    if (!is_known(spec.shape))
      throw ShapeError(std::string(op) + ": the result would be " + to_string(spec) +
                       ", but it needs every size");
  const OpDef& def = find_op(op);
  if (needs_widening(def, in_specs, attrs)) return run_widened(def, in, in_specs, attrs);
  if (def.has(kView))
    return {Tensor::wrap(out_specs[0], const_cast<void*>(in[0].raw()), in[0].owner())};
  const std::unique_ptr<bool[]> used(new bool[out_specs.size() + 1]);
  std::fill_n(used.get(), out_specs.size(), true);
  const Bound bound =
      bind(def, {in_specs, out_specs, attrs, std::span<const bool>(used.get(), out_specs.size())});
  std::vector<Tensor> out;
  std::vector<void*> ins, outs;
  for (const Spec& spec : out_specs) out.emplace_back(spec);
  for (const Tensor& t : in) ins.push_back(const_cast<void*>(t.raw()));
  for (Tensor& t : out) outs.push_back(t.raw());
  Tensor scratch;
  if (bound.scratch_bytes > 0)
    scratch = Tensor(Spec{DType::u8, {static_cast<Dim>(bound.scratch_bytes)}});
  Failure failure;
  const FlushDenormals flush;
  const Run run{ins.data(), outs.data(), static_cast<std::byte*>(scratch.raw()), &failure};
  const auto body = [&](std::int64_t) { bound.run(run); };
  if (bound.flops > kMinParallelWork)
    with_team(body);
  else
    body(0);
  if (const char* what = failure.what.load()) {
    char text[256];
    std::snprintf(text, sizeof text, what, failure.value.load());
    throw Error(std::string(op) + ": " + text);
  }
  return out;
}

NonFinite find_nonfinite(const Graph& graph, std::span<const void* const> inputs) {
  std::vector<Tensor> values(graph.values.size());
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    const Value& v = graph.values[id];
    if (v.kind == Value::Kind::constant) values[id] = v.constant;
    if (v.kind == Value::Kind::variable) {
      values[id] = v.variable->value();
      if (!all_finite(values[id])) return {true, "variable " + v.variable->name(), ""};
    }
  }
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    const Spec& spec = graph.values[graph.inputs[i]].spec;
    values[graph.inputs[i]] = Tensor::wrap(spec, const_cast<void*>(inputs[i]), nullptr);
    if (!all_finite(values[graph.inputs[i]])) return {true, "input " + std::to_string(i), ""};
  }
  const std::size_t end = std::min(graph.seam, graph.nodes.size());
  for (std::size_t i = 0; i < end; ++i) {
    const Node& node = graph.nodes[i];
    if (node.op->has(kCallsPython)) return {};
    std::vector<Tensor> in;
    for (const ValueId id : node.in) in.push_back(values[id]);
    std::vector<Tensor> out = run_op(node.op->name, in, node.attrs);
    for (std::size_t k = 0; k < out.size(); ++k) {
      values[node.out[k]] = out[k];
      if (!all_finite(out[k]))
        return {true, std::string(node.op->name), graph.origins[node.origin]};
    }
  }
  return {};
}

}  // namespace lamina
