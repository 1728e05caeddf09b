// A graph while a pass joins its nodes: who makes and who reads a value, nodes that go, nodes that
// come in before another. The node list itself is rebuilt once, by finish().
#pragma once

#include <algorithm>
#include <map>

#include "ops/op.h"

namespace lamina {

class Rewrite {
 public:
  explicit Rewrite(Graph& graph)
      : graph_(graph),
        readers_(graph.values.size(), 0),
        maker_(graph.values.size(), kNone),
        dropped_(graph.nodes.size(), false) {
    for (const Node& node : graph.nodes)
      for (const ValueId id : node.in) ++readers_[id];
    for (const ValueId id : graph.outputs) ++readers_[id];
    for (const Assign& a : graph.assigns) ++readers_[a.value];
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
      for (const ValueId id : graph.nodes[i].out) maker_[id] = i;
  }

  // The node that makes the value, or null.
  Node* maker(ValueId id) {
    return id < maker_.size() && maker_[id] != kNone ? &graph_.nodes[maker_[id]] : nullptr;
  }
  Node* maker(ValueId id, std::string_view op) {
    Node* const node = maker(id);
    return node != nullptr && node->op->name == op ? node : nullptr;
  }
  // The same, if the value has one reader only.
  Node* sole_maker(ValueId id, std::string_view op) {
    return id < readers_.size() && readers_[id] == 1 ? maker(id, op) : nullptr;
  }

  // Is the value an output of the graph or assigned?
  bool is_result(ValueId id) const {
    return std::count(graph_.outputs.begin(), graph_.outputs.end(), id) > 0 ||
           std::any_of(graph_.assigns.begin(), graph_.assigns.end(),
                       [&](const Assign& a) { return a.value == id; });
  }
  bool unread(ValueId id) const { return readers_[id] == 0; }
  bool read_once(ValueId id) const { return readers_[id] == 1; }

  // Do the maker of a value and a node lie on one side of the seam?
  bool same_side(ValueId id, std::size_t node) const {
    return graph_.seam == Graph::kNoSeam || (maker_[id] < graph_.seam) == (node < graph_.seam);
  }

  // `made` is now made by the node that makes `by`.
  void hand_over(ValueId made, ValueId by) { maker_[made] = maker_[by]; }
  void drop(std::size_t node) { dropped_[node] = true; }
  void drop_maker(ValueId id) { drop(maker_[id]); }

  // Adds an op right before a node that was there from the start.
  ValueId emit_before(std::size_t node, std::string_view op, std::initializer_list<ValueId> in,
                      Attrs attrs = {}) {
    const std::uint32_t origin = graph_.nodes[node].origin;
    const ValueId out = Builder(graph_).emit(op, in, std::move(attrs));
    Node fresh = std::move(graph_.nodes.back());
    graph_.nodes.pop_back();
    fresh.origin = origin;
    inserted_[node].push_back(std::move(fresh));
    return out;
  }

  void finish() {
    std::vector<Node> kept;
    std::size_t seam = graph_.seam;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (i == graph_.seam) seam = kept.size();
      if (const auto it = inserted_.find(i); it != inserted_.end())
        for (Node& node : it->second) kept.push_back(std::move(node));
      if (!dropped_[i]) kept.push_back(std::move(graph_.nodes[i]));
    }
    if (graph_.seam == graph_.nodes.size()) seam = kept.size();
    graph_.nodes = std::move(kept);
    graph_.seam = seam;
  }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  Graph& graph_;
  std::vector<int> readers_;
  std::vector<std::size_t> maker_;
  std::vector<bool> dropped_;
  std::map<std::size_t, std::vector<Node>> inserted_;
};

}  // namespace lamina
