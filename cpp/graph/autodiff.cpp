// Reverse mode: walk the nodes backwards, ask each record for its rule, add contributions. A
// gradient is more graph, so it is simplified, fused and differentiated like the rest.
#include <memory>

#include "ops/op.h"

namespace lamina {
namespace {

// Which values depend on one of `wrt`?
std::vector<bool> dependents(const Graph& graph, std::span<const ValueId> wrt) {
  std::vector<bool> depends(graph.values.size(), false);
  for (const ValueId id : wrt) depends.at(id) = true;
  for (const Node& node : graph.nodes)
    for (const ValueId in : node.in)
      if (depends[in])
        for (const ValueId out : node.out) depends[out] = is_floating(graph.values[out].spec.dtype);
  for (const ValueId id : wrt) depends[id] = true;
  return depends;
}

class Reverse {
 public:
  Reverse(Graph& graph, std::span<const ValueId> wrt)
      : graph_(graph),
        builder_(graph),
        nodes_(graph.nodes.size()),
        depends_(dependents(graph, wrt)),
        gradient_(graph.values.size(), kNoValue) {
    builder_.set_backward();
  }

  void seed(ValueId loss, ValueId seed) {
    if (seed == kNoValue)
      seed =
          builder_.broadcast_to(builder_.scalar(builder_.dtype(loss), 1.0), builder_.shape(loss));
    gradient_[loss] = seed;
  }

  void run() {
    for (std::size_t i = nodes_; i-- > 0;) visit(i);
  }

  ValueId of(ValueId id) const { return gradient_[id]; }

 private:
  void visit(std::size_t index) {
    const Node node = graph_.nodes[index];  // a copy: emitting nodes moves the list
    std::vector<ValueId> d_out;
    bool any = false;
    for (const ValueId out : node.out) {
      d_out.push_back(gradient_[out]);
      any = any || gradient_[out] != kNoValue;
    }
    std::unique_ptr<bool[]> wanted(new bool[node.in.size() + 1]);
    bool wants = false;
    for (std::size_t i = 0; i < node.in.size(); ++i) {
      wanted[i] = depends_[node.in[i]] && is_floating(graph_.values[node.in[i]].spec.dtype);
      wants = wants || wanted[i];
    }
    if (!any || !wants) return;
    if (node.op->vjp == nullptr) {
      // Steps such as floor and argmax have a gradient of zero; Python code has an unknown one.
      if (node.op->has(kCallsPython))
        throw Error(
            std::string(node.op->name) + " in '" + graph_.origins[node.origin] +
            "' runs Python code, which has no gradient. Write it with lamina.ops, or wrap it in "
            "stop_gradient.");
      return;
    }
    builder_.set_origin(graph_.origins[node.origin]);
    const Grads d_in =
        node.op->vjp(builder_, {node.attrs, node.in, node.out, d_out,
                                std::span<const bool>(wanted.get(), node.in.size())});
    for (std::size_t i = 0; i < d_in.size() && i < node.in.size(); ++i)
      if (wanted[i] && d_in[i] != kNoValue) add(node, node.in[i], d_in[i]);
  }

  void add(const Node& node, ValueId id, ValueId d) {
    if (!(builder_.spec(d) == builder_.spec(id)))
      throw ShapeError("internal: the gradient rule of " + std::string(node.op->name) +
                       " returned " + to_string(builder_.spec(d)) + " for an input of " +
                       to_string(builder_.spec(id)));
    gradient_[id] = gradient_[id] == kNoValue ? d : builder_.add(gradient_[id], d);
  }

  Graph& graph_;
  Builder builder_;
  std::size_t nodes_;  // before any gradient was added
  std::vector<bool> depends_;
  std::vector<ValueId> gradient_;
};

}  // namespace

std::vector<ValueId> gradients(Graph& graph, ValueId loss, std::span<const ValueId> wrt,
                               ValueId seed) {
  if (!is_floating(graph.values.at(loss).spec.dtype))
    throw TypeError("gradients: the loss must be float32 or float64, got " +
                    to_string(graph.values[loss].spec));
  Reverse reverse(graph, wrt);
  reverse.seed(loss, seed);
  reverse.run();
  std::vector<ValueId> out;
  for (const ValueId id : wrt) out.push_back(reverse.of(id));
  return out;
}

}  // namespace lamina
