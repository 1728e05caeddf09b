// A graph as text, and what a legal graph is.
#include "ops/op.h"

namespace lamina {
namespace {

std::string name_of(const Graph& graph, ValueId id) {
  const Value& value = graph.values[id];
  if (value.kind == Value::Kind::variable) return "$" + value.variable->name();
  if (value.kind == Value::Kind::constant && value.spec.shape.empty()) {
    double number = 0;
    with_any(value.spec.dtype, [&](auto tag) {
      number = static_cast<double>(*value.constant.data<decltype(tag)>());
    });
    char text[32];
    std::snprintf(text, sizeof text, "%g", number);
    return text;
  }
  return (value.kind == Value::Kind::constant ? "#" : "%") + std::to_string(id);
}

std::string node_text(const Graph& graph, const Node& node) {
  std::string text;
  for (const ValueId out : node.out)
    text +=
        (text.empty() ? "" : ", ") + name_of(graph, out) + " " + to_string(graph.values[out].spec);
  text += " = " + std::string(node.op->name) + "(";
  for (std::size_t i = 0; i < node.in.size(); ++i)
    text += (i > 0 ? ", " : "") + name_of(graph, node.in[i]);
  for (const auto& [key, attr] : node.attrs)
    text += (text.back() == '(' ? "" : ", ") + key + "=" + to_string(attr);
  text += ")";
  const std::string& origin = graph.origins[node.origin];
  return origin.empty() ? text : text + "  @" + origin;
}

void check(bool ok, const Graph& graph, const Node& node, const char* what) {
  if (!ok) throw Error(std::string("illegal graph: ") + what + " in: " + node_text(graph, node));
}

}  // namespace

std::string to_text(const Graph& graph) {
  std::string text;
  for (const ValueId id : graph.inputs)
    text += "input " + name_of(graph, id) + " " + to_string(graph.values[id].spec) + "\n";
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (i == graph.seam) text += "-- seam --\n";
    text += node_text(graph, graph.nodes[i]) + "\n";
  }
  for (const ValueId id : graph.outputs) text += "output " + name_of(graph, id) + "\n";
  for (const Assign& a : graph.assigns)
    text += name_of(graph, a.variable) + " <- " + name_of(graph, a.value) + "\n";
  return text;
}

void verify(const Graph& graph) {
  std::vector<bool> defined(graph.values.size(), false);
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    const Value& value = graph.values[id];
    defined[id] = value.kind != Value::Kind::temp;
    if (value.kind == Value::Kind::variable &&
        (value.variable == nullptr || !(value.variable->spec() == value.spec)))
      throw Error("illegal graph: value " + std::to_string(id) + " does not match its variable");
    if (value.kind == Value::Kind::constant && !(value.constant.spec() == value.spec))
      throw Error("illegal graph: value " + std::to_string(id) + " does not match its constant");
  }
  for (const Node& node : graph.nodes) {
    check(node.op != nullptr && node.origin < graph.origins.size(), graph, node, "no op or origin");
    std::vector<Spec> in;
    for (const ValueId id : node.in) {
      check(id < graph.values.size() && defined[id], graph, node,
            "an operand that is used before it is made");
      in.push_back(graph.values[id].spec);
    }
    const std::vector<Spec> out = infer(node.op->name, in, node.attrs);
    check(out.size() == node.out.size(), graph, node, "a wrong number of results");
    for (std::size_t i = 0; i < out.size(); ++i) {
      check(!defined[node.out[i]], graph, node, "a value that is made twice");
      check(out[i] == graph.values[node.out[i]].spec, graph, node,
            "a result that differs from the shape rule");
      defined[node.out[i]] = true;
    }
  }
  for (const ValueId id : graph.outputs)
    if (id >= graph.values.size() || !defined[id])
      throw Error("illegal graph: output " + std::to_string(id) + " is not made");
  for (const Assign& a : graph.assigns)
    if (graph.values.at(a.variable).kind != Value::Kind::variable || !defined.at(a.value) ||
        !(graph.values[a.variable].spec == graph.values[a.value].spec))
      throw Error("illegal graph: a bad assign to value " + std::to_string(a.variable));
}

}  // namespace lamina
