// The op graph: what a step does, before it is planned. Every size is concrete when it runs; while
// the Python layer graph is being built some may be kUnknown.
#pragma once

#include <optional>
#include <span>
#include <unordered_map>

#include "lamina/tensor.h"

namespace lamina {

struct OpDef;  // ops/op.h: the one record that knows everything about an op
using ValueId = std::uint32_t;
constexpr ValueId kNoValue = ~ValueId{0};

struct Node {
  const OpDef* op = nullptr;
  Attrs attrs;
  std::vector<ValueId> in, out;
  std::uint32_t origin = 0;  // index into Graph::origins: the layer it was born in
  bool backward = false;     // born in a reverse pass
};

struct Value {
  enum class Kind : std::uint8_t { input, variable, constant, temp };
  Spec spec;
  Kind kind = Kind::temp;
  Tensor constant;       // kind constant
  VariablePtr variable;  // kind variable
};

// A variable takes a value at the end of the step, after every read of the old one.
struct Assign {
  ValueId variable, value;
};

// A plain value: copy one, transform it, compare it. Nodes are stored in an executable order.
struct Graph {
  std::vector<Node> nodes;
  std::vector<Value> values;
  std::vector<ValueId> inputs, outputs;
  std::vector<Assign> assigns;
  std::vector<std::string> origins{""};
  // Nodes from here on change state (optimizer, metrics): a step may be stopped, its gradients
  // exchanged, before them. kNoSeam: the graph changes nothing before its end.
  static constexpr std::size_t kNoSeam = ~std::size_t{0};
  std::size_t seam = kNoSeam;
};

// How everyone adds nodes: bindings, vjp rules, passes. It calls the op's shape rule, so an
// ill-shaped node cannot exist.
class LAMINA_API Builder {
 public:
  explicit Builder(Graph& graph) : graph_(graph) {}
  Graph& graph() { return graph_; }
  // By value: adding a node moves the values.
  Spec spec(ValueId id) const { return graph_.values.at(id).spec; }
  Shape shape(ValueId id) const { return graph_.values.at(id).spec.shape; }
  DType dtype(ValueId id) const { return graph_.values.at(id).spec.dtype; }

  ValueId input(Spec spec);
  ValueId constant(Tensor value);
  ValueId scalar(DType dtype, double value);      // a 0-d constant
  ValueId variable(const VariablePtr& variable);  // the same id for the same variable
  void output(ValueId id) { graph_.outputs.push_back(id); }
  void assign(ValueId variable, ValueId value);  // replaces an earlier assign of the same variable
  void set_origin(const std::string& origin);    // of the nodes that follow
  void set_backward() { backward_ = true; }      // likewise

  ValueId emit(std::string_view op, std::span<const ValueId> in, Attrs attrs = {});
  ValueId emit(std::string_view op, std::initializer_list<ValueId> in, Attrs attrs = {}) {
    return emit(op, std::span<const ValueId>(in.begin(), in.size()), std::move(attrs));
  }
  std::vector<ValueId> emit_all(std::string_view op, std::span<const ValueId> in, Attrs attrs = {});
  std::vector<ValueId> emit_all(std::string_view op, std::initializer_list<ValueId> in,
                                Attrs attrs = {}) {
    return emit_all(op, std::span<const ValueId>(in.begin(), in.size()), std::move(attrs));
  }

  // Shorthands for vjp rules.
  ValueId add(ValueId a, ValueId b) { return emit("add", {a, b}); }
  ValueId sub(ValueId a, ValueId b) { return emit("subtract", {a, b}); }
  ValueId mul(ValueId a, ValueId b) { return emit("multiply", {a, b}); }
  ValueId div(ValueId a, ValueId b) { return emit("divide", {a, b}); }
  ValueId neg(ValueId a) { return emit("negative", {a}); }
  ValueId scale(ValueId a, double factor) { return mul(a, scalar(dtype(a), factor)); }
  ValueId shift(ValueId a, double term) { return add(a, scalar(dtype(a), term)); }
  ValueId cast(ValueId a, DType dtype);                 // a itself when it has that dtype
  ValueId reshape(ValueId a, const Shape& shape);       // a itself when it has that shape
  ValueId broadcast_to(ValueId a, const Shape& shape);  // likewise
  ValueId sum_to(ValueId a, const Shape& shape);  // undoes a broadcast: sums the axes it added
  ValueId zeros_like(ValueId a);

 private:
  // Operands of narrow dtypes: cast nodes around the op's own.
  std::vector<ValueId> emit_widened(const OpDef& op, std::span<const ValueId> in,
                                    std::span<const Spec> specs, const Attrs& attrs);
  Graph& graph_;
  std::uint32_t origin_ = 0;
  bool backward_ = false;
  // What the graph held when it was last looked through: the next look begins there.
  std::unordered_map<const Variable*, ValueId> variables_;
  std::unordered_map<std::string, std::uint32_t> origins_;
  std::size_t values_seen_ = 0, origins_seen_ = 0;
};

// Appends the reverse pass and returns d(loss)/d(wrt[i]), kNoValue where the loss does not depend
// on it. `seed` is the gradient arriving at the loss; kNoValue means ones.
LAMINA_API std::vector<ValueId> gradients(Graph& graph, ValueId loss, std::span<const ValueId> wrt,
                                          ValueId seed = kNoValue);

LAMINA_API void verify(const Graph& graph);          // throws Error: what is not a legal graph
LAMINA_API std::string to_text(const Graph& graph);  // one line a node
// Constant folding, duplicates, dead nodes, algebra; then operations joined with their neighbours.
LAMINA_API void simplify(Graph& graph);
LAMINA_API void fuse(Graph& graph);

// The ops there are, and one of them applied to real tensors at once (the eager driver).
LAMINA_API std::vector<std::string> op_names();
LAMINA_API bool op_is_differentiable(std::string_view name);
LAMINA_API std::string_view op_name(const Node& node);
LAMINA_API std::vector<Spec> infer(std::string_view op, std::span<const Spec> in,
                                   const Attrs& attrs);
LAMINA_API std::vector<Tensor> run_op(std::string_view op, std::span<const Tensor> in,
                                      const Attrs& attrs = {});

}  // namespace lamina
