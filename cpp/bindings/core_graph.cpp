#include <algorithm>

#include "convert.h"
#include "lamina/plan.h"

namespace lamina::python {
namespace {

Attr attr_of(const std::string& name, const py::handle& value) {
  if (py::isinstance<py::bool_>(value)) return value.cast<bool>();
  if (py::isinstance<py::int_>(value)) return value.cast<std::int64_t>();
  if (py::isinstance<py::float_>(value)) return value.cast<double>();
  if (py::isinstance<py::str>(value)) return value.cast<std::string>();
  if (py::isinstance<py::list>(value) || py::isinstance<py::tuple>(value)) {
    std::vector<std::int64_t> list;
    for (const py::handle item : value)
      list.push_back(item.is_none() ? kUnknown : item.cast<std::int64_t>());
    return list;
  }
  if (py::isinstance<GraphHandle>(value))
    return std::make_shared<const Graph>(value.cast<const GraphHandle&>().graph);
  throw TypeError("attribute '" + name + "' must be a bool, int, float, str or list of ints, got " +
                  std::string(py::str(py::type::of(value))));
}

std::vector<Tensor> eager(const std::string& op, const std::vector<Tensor>& inputs,
                          const py::dict& attrs) {
  const Attrs converted = attrs_of(attrs);
  const py::gil_scoped_release release;
  return run_op(op, inputs, converted);
}

py::object producer(const GraphHandle& g, ValueId id) {
  // Values are numbered as the nodes make them.
  const auto& nodes = g.graph.nodes;
  const auto after = std::partition_point(nodes.begin(), nodes.end(),
                                          [&](const Node& node) { return node.out.front() <= id; });
  if (after == nodes.begin()) return py::none();
  const Node& node = *(after - 1);
  if (std::find(node.out.begin(), node.out.end(), id) == node.out.end()) return py::none();
  return py::make_tuple(std::string(op_name(node)), dict_of(node.attrs), node.in);
}

// Runs the nodes from `first` on, given the values that are there already; adds what they make.
std::map<ValueId, Tensor> run_nodes(const GraphHandle& g, std::size_t first,
                                    std::map<ValueId, Tensor> values) {
  const py::gil_scoped_release release;
  for (std::size_t i = first; i < g.graph.nodes.size(); ++i) {
    const Node& node = g.graph.nodes[i];
    std::vector<Tensor> in;
    for (const ValueId id : node.in) {
      const Value& v = g.graph.values[id];
      const auto it = values.find(id);
      if (it == values.end() && v.kind != Value::Kind::constant)
        throw Error("run_nodes: value " + std::to_string(id) + " has not been made");
      in.push_back(it == values.end() ? v.constant : it->second);
    }
    const std::vector<Tensor> out = run_op(op_name(node), in, node.attrs);
    for (std::size_t k = 0; k < out.size(); ++k) values[node.out[k]] = out[k];
  }
  return values;
}

std::vector<std::optional<ValueId>> reverse(GraphHandle& g, ValueId loss,
                                            const std::vector<ValueId>& wrt) {
  std::vector<std::optional<ValueId>> out;
  for (const ValueId id : gradients(g.graph, loss, wrt))
    out.push_back(id == kNoValue ? std::nullopt : std::optional(id));
  return out;
}

}  // namespace

Attrs attrs_of(const py::dict& attrs) {
  Attrs out;
  for (const auto& [key, value] : attrs) {
    const auto name = key.cast<std::string>();
    out.emplace(name, attr_of(name, value));
  }
  return out;
}

py::dict dict_of(const Attrs& attrs) {
  py::dict out;
  for (const auto& [key, attr] : attrs)
    std::visit(
        [&, &name = key](const auto& v) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(v)>, GraphPtr>)
            out[py::str(name)] = py::cast(v);
        },
        attr);
  return out;
}

void bind_graph(py::module_& m) {
  py::class_<GraphHandle>(m, "Graph", "The op graph of one traced function.")
      .def(py::init<>())
      .def(
          "input",
          [](GraphHandle& g, const std::string& dtype, const py::iterable& shape) {
            return g.builder.input({parse_dtype(dtype), shape_of(shape)});
          },
          py::arg("dtype"), py::arg("shape"))
      .def(
          "constant", [](GraphHandle& g, const Tensor& t) { return g.builder.constant(t); },
          py::arg("value"))
      .def(
          "constant_value",
          [](const GraphHandle& g, ValueId id) { return g.graph.values.at(id).constant; },
          py::arg("id"))
      .def(
          "variable", [](GraphHandle& g, const VariablePtr& v) { return g.builder.variable(v); },
          py::arg("variable"))
      .def(
          "emit",
          [](GraphHandle& g, const std::string& op, const std::vector<ValueId>& in,
             const py::dict& attrs, const std::string& origin) {
            g.builder.set_origin(origin);
            return g.builder.emit_all(op, in, attrs_of(attrs));
          },
          py::arg("op"), py::arg("inputs"), py::arg("attrs"), py::arg("origin"))
      .def(
          "spec",
          [](const GraphHandle& g, ValueId id) {
            const Spec& spec = g.graph.values.at(id).spec;
            return std::make_pair(std::string(dtype_name(spec.dtype)), tuple_of(spec.shape));
          },
          py::arg("id"))
      .def(
          "output", [](GraphHandle& g, ValueId id) { g.builder.output(id); }, py::arg("id"))
      .def(
          "assign",
          [](GraphHandle& g, ValueId variable, ValueId value) {
            g.builder.assign(variable, value);
          },
          py::arg("variable"), py::arg("value"))
      .def(
          "mark_seam", [](GraphHandle& g) { g.graph.seam = g.graph.nodes.size(); },
          "Nodes added from here on change state.")
      .def("gradients", &reverse, py::arg("loss"), py::arg("wrt"))
      .def("run_nodes", &run_nodes, py::arg("first"), py::arg("values"),
           "Run the nodes from `first` on; returns the values by id with those added.")
      .def("producer", &producer, py::arg("id"),
           "(op, attrs, inputs) of the node that makes a value, or None.")
      .def("node_count", [](const GraphHandle& g) { return g.graph.nodes.size(); })
      .def(
          "find_nonfinite",
          [](const GraphHandle& g, const std::vector<py::array>& inputs) -> py::object {
            const NonFinite found = find_nonfinite(g.graph, pointers_of(g.graph, inputs));
            if (!found.found) return py::none();
            return py::make_tuple(found.op, found.origin);
          },
          py::arg("inputs"), "(op, origin) of the first value that is not finite, or None.")
      .def("text", [](const GraphHandle& g) { return to_text(g.graph); });

  m.def("eager", &eager, py::arg("op"), py::arg("inputs"), py::arg("attrs"), "Run one op now.");
  m.def("op_names", &op_names);
  m.def("op_is_differentiable", &op_is_differentiable, py::arg("name"));
}

}  // namespace lamina::python
