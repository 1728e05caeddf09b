// simplify: one forward walk that folds constants, applies algebra and merges duplicates, then
// drops what nobody needs. Knowledge about an op comes from its record; the algebra is a table.
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "kernels/narrow.h"
#include "ops/op.h"

namespace lamina {
namespace {

constexpr Dim kLargestFolded = 1024;  // elements; larger constants cost more memory than they save

class Simplifier {
 public:
  explicit Simplifier(Graph& graph)
      : graph_(graph), became_(graph.values.size()), made_by_(graph.values.size(), -1) {
    for (ValueId id = 0; id < became_.size(); ++id) became_[id] = id;
  }

  void run() {
    merge_scalar_constants();
    std::vector<Node> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    std::size_t seam = Graph::kNoSeam;
    for (std::size_t i = 0; i < old.size(); ++i) {
      if (i == graph_.seam) seam = graph_.nodes.size();
      keep_or_replace(std::move(old[i]));
    }
    if (graph_.seam != Graph::kNoSeam && seam == Graph::kNoSeam) seam = graph_.nodes.size();
    graph_.seam = seam;
    for (ValueId& id : graph_.outputs) id = became_[id];
    for (Assign& a : graph_.assigns) a.value = became_[a.value];
  }

 private:
  const Spec& spec(ValueId id) const { return graph_.values[id].spec; }

  void keep_or_replace(Node node) {
    for (ValueId& id : node.in) id = became_[id];
    if (fold(node)) return;
    if (const ValueId same = algebra(node); same != kNoValue) {
      became_[node.out[0]] = same;
      return;
    }
    const bool mergeable =
        !node.op->has(kRandom) && !node.op->has(kCallsPython) && !node.op->has(kUpdate);
    if (mergeable) {
      const auto [it, fresh] = seen_.emplace(key(node), node.out);
      if (!fresh) {
        for (std::size_t i = 0; i < node.out.size(); ++i) became_[node.out[i]] = it->second[i];
        return;
      }
    }
    for (const ValueId out : node.out)
      made_by_[out] = static_cast<std::int64_t>(graph_.nodes.size());
    graph_.nodes.push_back(std::move(node));
  }

  static std::string key(const Node& node) {
    std::string text(node.op->name);
    for (const ValueId id : node.in) text += "," + std::to_string(id);
    for (const auto& [name, attr] : node.attrs) text += ";" + name + "=" + to_string(attr);
    return text;
  }

  void merge_scalar_constants() {
    std::unordered_map<std::string, ValueId> first;
    for (ValueId id = 0; id < graph_.values.size(); ++id) {
      const Value& v = graph_.values[id];
      if (v.kind != Value::Kind::constant || !v.spec.shape.empty()) continue;
      std::string bytes(1, static_cast<char>(v.spec.dtype));
      bytes.append(static_cast<const char*>(v.constant.raw()), v.constant.bytes());
      became_[id] = first.emplace(bytes, id).first->second;
    }
  }

  // All operands constant and the result small: compute it now.
  bool fold(const Node& node) {
    if (node.op->has(kRandom) || node.op->has(kCallsPython) || node.op->has(kUpdate) ||
        node.in.empty())
      return false;
    std::vector<Tensor> in;
    for (const ValueId id : node.in) {
      if (graph_.values[id].kind != Value::Kind::constant) return false;
      in.push_back(graph_.values[id].constant);
    }
    for (const ValueId id : node.out)
      if (!is_known(spec(id).shape) || element_count(spec(id).shape) > kLargestFolded) return false;
    std::vector<Tensor> out = run_op(node.op->name, in, node.attrs);
    for (std::size_t i = 0; i < out.size(); ++i) {
      Value& v = graph_.values[node.out[i]];
      v.kind = Value::Kind::constant;
      v.constant = std::move(out[i]);
    }
    return true;
  }

  const Node* maker(ValueId id) const {
    return made_by_[id] < 0 ? nullptr : &graph_.nodes[static_cast<std::size_t>(made_by_[id])];
  }

  // The number a value is known to hold in every element.
  std::optional<double> uniform(ValueId id) const {
    if (const Node* node = maker(id); node != nullptr && node->op->name == "broadcast_to")
      return uniform(node->in[0]);
    const Value& v = graph_.values[id];
    if (v.kind != Value::Kind::constant || v.constant.size() == 0) return std::nullopt;
    if (v.constant.size() > static_cast<std::size_t>(kLargestFolded)) return std::nullopt;
    const std::size_t item = item_size(v.spec.dtype);
    const auto* p = static_cast<const std::byte*>(v.constant.raw());
    if (std::memcmp(p, p + item, v.constant.bytes() - item) != 0) return std::nullopt;
    return kernels::number_at(p, v.spec.dtype);
  }

  // A value that equals the node's result, or kNoValue. May also rewrite the node's operands.
  ValueId algebra(Node& node) {
    const std::string_view op = node.op->name;
    const Spec out = spec(node.out[0]);
    const auto same_spec = [&](ValueId id) { return spec(id) == out ? id : kNoValue; };
    // Gradients were taken before, so what only they ask about is the value itself by now.
    if (op == "straight_through" || op == "float8_operand" || op == "float8_gradient")
      return same_spec(node.in[0]);
    if (op == "identity" || op == "stop_gradient" || op == "cast" || op == "broadcast_to" ||
        op == "reshape") {
      if (op == "reshape")  // reshape of a reshape: from the first
        if (const Node* inner = maker(node.in[0]); inner != nullptr && inner->op->name == "reshape")
          node.in[0] = inner->in[0];
      return same_spec(node.in[0]);
    }
    if (op == "negative")
      if (const Node* inner = maker(node.in[0]); inner != nullptr && inner->op->name == "negative")
        return inner->in[0];
    if (op == "transpose") return transpose_of_transpose(node);
    if (op == "add" || op == "subtract" || op == "multiply" || op == "divide")
      return arithmetic(node, op, same_spec);
    return kNoValue;
  }

  // Layers for channels-first data turn it around themselves: what one turned back, the next turns
  // again. The two become one transpose, or none.
  ValueId transpose_of_transpose(Node& node) {
    const Node* const inner = maker(node.in[0]);
    if (inner == nullptr || inner->op->name != "transpose") return kNoValue;
    const std::vector<std::int64_t> first = axes_of(*inner);
    std::vector<std::int64_t> both, unchanged;
    for (const std::int64_t axis : axes_of(node)) {
      unchanged.push_back(static_cast<std::int64_t>(both.size()));
      both.push_back(first[static_cast<std::size_t>(axis)]);
    }
    if (both == unchanged) return inner->in[0];
    node.in[0] = inner->in[0];
    node.attrs["perm"] = std::move(both);
    return kNoValue;
  }

  std::vector<std::int64_t> axes_of(const Node& node) const {
    const auto rank = static_cast<std::int64_t>(spec(node.in[0]).shape.size());
    std::vector<std::int64_t> axes(static_cast<std::size_t>(rank));
    for (std::int64_t i = 0; i < rank; ++i) axes[static_cast<std::size_t>(i)] = rank - 1 - i;
    axes = attr_ints(node.attrs, "perm", axes);
    for (std::int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
    return axes;
  }

  template <class SameSpec>
  ValueId arithmetic(Node& node, std::string_view op, const SameSpec& same_spec) {
    const double neutral = op == "multiply" || op == "divide" ? 1.0 : 0.0;
    const bool commutes = op == "add" || op == "multiply";
    if (uniform(node.in[1]) == neutral)
      if (const ValueId id = same_spec(node.in[0]); id != kNoValue) return id;
    if (commutes && uniform(node.in[0]) == neutral)
      if (const ValueId id = same_spec(node.in[1]); id != kNoValue) return id;
    // An operand that was only spread out is as good before it was, if the other one has the shape.
    for (std::size_t i = 0; i < 2; ++i) {
      const Node* spread = maker(node.in[i]);
      if (spread != nullptr && spread->op->name == "broadcast_to" &&
          same_spec(node.in[1 - i]) != kNoValue)
        node.in[i] = spread->in[0];
      // A constant of equal elements is as good as one of them: elementwise neighbours can join.
      const Value& v = graph_.values[node.in[i]];
      if (v.kind == Value::Kind::constant && v.constant.size() > 1 && uniform(node.in[i]) &&
          same_spec(node.in[1 - i]) != kNoValue)
        node.in[i] = one_element_of(node.in[i]);
    }
    return kNoValue;
  }

  ValueId one_element_of(ValueId constant) {
    Value one;
    one.kind = Value::Kind::constant;
    one.spec = {spec(constant).dtype, {}};
    one.constant = Tensor(one.spec);
    std::memcpy(one.constant.raw(), graph_.values[constant].constant.raw(), one.constant.bytes());
    graph_.values.push_back(std::move(one));
    became_.push_back(static_cast<ValueId>(became_.size()));
    made_by_.push_back(-1);
    return became_.back();
  }

  Graph& graph_;
  std::vector<ValueId> became_;
  std::vector<std::int64_t> made_by_;
  std::unordered_map<std::string, std::vector<ValueId>> seen_;
};

void drop_dead_nodes(Graph& graph) {
  std::vector<bool> needed(graph.values.size(), false);
  for (const ValueId id : graph.outputs) needed[id] = true;
  for (const Assign& a : graph.assigns) needed[a.value] = true;
  std::vector<bool> keep(graph.nodes.size(), false);
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    keep[i] = node.op->has(kCallsPython);  // Python code may have effects
    for (const ValueId id : node.out) keep[i] = keep[i] || needed[id];
    if (keep[i])
      for (const ValueId id : node.in) needed[id] = true;
  }
  std::vector<Node> kept;
  std::size_t seam = graph.seam;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (keep[i])
      kept.push_back(std::move(graph.nodes[i]));
    else if (graph.seam != Graph::kNoSeam && i < graph.seam)
      --seam;
  }
  graph.nodes = std::move(kept);
  graph.seam = seam;
}

}  // namespace

void simplify(Graph& graph) {
  Simplifier(graph).run();
  drop_dead_nodes(graph);
}

}  // namespace lamina
