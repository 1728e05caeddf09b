#include <algorithm>
#include <cstring>

#include "ops/widen.h"

namespace lamina {
namespace {

std::string describe(std::string_view op, std::span<const Spec> in, const std::string& what) {
  std::string text = std::string(op) + "(";
  for (std::size_t i = 0; i < in.size(); ++i) text += (i > 0 ? ", " : "") + to_string(in[i]);
  return text + "): " + what;
}

// Complaints of f with the op's name and the specs of its inputs in front.
template <class F>
auto naming(std::string_view op, std::span<const Spec> in, const F& f) {
  try {
    return f();
  } catch (const TypeError& e) {
    throw TypeError(describe(op, in, e.what()));
  } catch (const ShapeError& e) {
    throw ShapeError(describe(op, in, e.what()));
  } catch (const Error& e) {
    throw Error(describe(op, in, e.what()));
  }
}

// What no shape rule may return, whatever it was asked.
void check_sizes(const Spec& spec) {
  Shape known;
  for (const Dim d : spec.shape)
    if (d != kUnknown) known.push_back(d);
  element_count(known);  // throws: negative or too large
}

ValueId new_value(Graph& graph, Value value) {
  graph.values.push_back(std::move(value));
  return static_cast<ValueId>(graph.values.size() - 1);
}

}  // namespace

std::vector<Spec> infer(std::string_view op, std::span<const Spec> in, const Attrs& attrs) {
  const OpDef& def = find_op(op);
  return naming(op, in, [&] {
    std::vector<Spec> out;
    if (needs_widening(def, in, attrs)) {
      Widened w = widen(def, in, attrs);
      out = std::move(w.out);
      for (std::size_t k = 0; k < out.size(); ++k) out[k].dtype = w.results[k];
    } else {
      out = def.infer({in, attrs});
    }
    for (const Spec& spec : out) check_sizes(spec);
    return out;
  });
}

Bound bind(const OpDef& op, const BindArgs& args) {
  return naming(op.name, args.in, [&] { return op.bind(args); });
}

ValueId Builder::input(Spec spec) {
  check_sizes(spec);
  const ValueId id = new_value(graph_, {std::move(spec), Value::Kind::input, {}, nullptr});
  graph_.inputs.push_back(id);
  return id;
}

ValueId Builder::constant(Tensor value) {
  Spec spec = value.spec();
  return new_value(graph_, {std::move(spec), Value::Kind::constant, std::move(value), nullptr});
}

ValueId Builder::scalar(DType dtype, double value) {
  if (is_narrow(dtype))
    return constant(run_op("cast", {{Tensor::scalar(value)}}, cast_to(dtype))[0]);
  Tensor t(Spec{dtype, {}});
  with_any(dtype, [&](auto tag) {
    using T = decltype(tag);
    *t.data<T>() = static_cast<T>(value);
  });
  return constant(std::move(t));
}

ValueId Builder::variable(const VariablePtr& variable) {
  for (; values_seen_ < graph_.values.size(); ++values_seen_)
    if (const auto& known = graph_.values[values_seen_].variable; known != nullptr)
      variables_.emplace(known.get(), static_cast<ValueId>(values_seen_));
  if (const auto it = variables_.find(variable.get()); it != variables_.end()) return it->second;
  return new_value(graph_, {variable->spec(), Value::Kind::variable, {}, variable});
}

void Builder::assign(ValueId variable, ValueId value) {
  const Value& target = graph_.values.at(variable);
  if (target.kind != Value::Kind::variable)
    throw Error("assign: value " + std::to_string(variable) + " is no variable");
  if (!(target.spec == spec(value)))
    throw ShapeError("variable '" + target.variable->name() + "' is " + to_string(target.spec) +
                     " and cannot take a value of " + to_string(spec(value)));
  for (Assign& a : graph_.assigns)
    if (a.variable == variable) {
      a.value = value;
      return;
    }
  graph_.assigns.push_back({variable, value});
}

void Builder::set_origin(const std::string& origin) {
  auto& names = graph_.origins;
  if (origin_ < names.size() && names[origin_] == origin) return;
  for (; origins_seen_ < names.size(); ++origins_seen_)
    origins_.emplace(names[origins_seen_], static_cast<std::uint32_t>(origins_seen_));
  const auto it = origins_.find(origin);
  origin_ = it != origins_.end() ? it->second : static_cast<std::uint32_t>(names.size());
  if (it == origins_.end()) names.push_back(origin);
}

std::vector<ValueId> Builder::emit_all(std::string_view op, std::span<const ValueId> in,
                                       Attrs attrs) {
  std::vector<Spec> specs;
  for (const ValueId id : in) {
    if (id >= graph_.values.size())
      throw Error(std::string(op) + ": there is no value " + std::to_string(id));
    specs.push_back(spec(id));
  }
  const OpDef& def = find_op(op);
  if (needs_widening(def, specs, attrs)) return emit_widened(def, in, specs, attrs);
  std::vector<Spec> out = infer(op, specs, attrs);
  Node node{&def, std::move(attrs), {in.begin(), in.end()}, {}, origin_, backward_};
  for (Spec& s : out)
    node.out.push_back(new_value(graph_, {std::move(s), Value::Kind::temp, {}, nullptr}));
  graph_.nodes.push_back(std::move(node));
  return graph_.nodes.back().out;
}

std::vector<ValueId> Builder::emit_widened(const OpDef& op, std::span<const ValueId> in,
                                           std::span<const Spec> specs, const Attrs& attrs) {
  const Widened w = naming(op.name, specs, [&] { return widen(op, specs, attrs); });
  std::vector<ValueId> wide;
  for (std::size_t i = 0; i < in.size(); ++i) wide.push_back(cast(in[i], w.in[i].dtype));
  std::vector<ValueId> out = emit_all(op.name, wide, w.attrs);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = cast(out[k], w.results[k]);
  return out;
}

ValueId Builder::emit(std::string_view op, std::span<const ValueId> in, Attrs attrs) {
  return emit_all(op, in, std::move(attrs)).at(0);
}

ValueId Builder::cast(ValueId a, DType to) {
  return dtype(a) == to ? a : emit("cast", {a}, {{"dtype", std::string(dtype_name(to))}});
}
ValueId Builder::reshape(ValueId a, const Shape& to) {
  return shape(a) == to ? a : emit("reshape", {a}, {{"shape", to}});
}
ValueId Builder::broadcast_to(ValueId a, const Shape& to) {
  return shape(a) == to ? a : emit("broadcast_to", {a}, {{"shape", to}});
}

ValueId Builder::sum_to(ValueId a, const Shape& to) {
  if (shape(a) == to) return a;
  const Shape from = shape(a);
  const std::size_t lead = from.size() - to.size();
  std::vector<std::int64_t> axes;
  for (std::size_t i = 0; i < from.size(); ++i)
    if (i < lead || (to[i - lead] == 1 && from[i] != 1))
      axes.push_back(static_cast<std::int64_t>(i));
  if (!axes.empty()) a = emit("sum", {a}, {{"axes", axes}, {"keepdims", false}});
  return reshape(a, to);
}

ValueId Builder::zeros_like(ValueId a) { return broadcast_to(scalar(dtype(a), 0.0), shape(a)); }

}  // namespace lamina
