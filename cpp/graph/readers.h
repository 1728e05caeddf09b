// The nodes that read each value of a graph, as it stands before a pass changes it.
#pragma once

#include <vector>

#include "ops/op.h"

namespace lamina {

class Readers {
 public:
  static constexpr std::size_t kNone = ~std::size_t{0};

  explicit Readers(const Graph& graph) : graph_(graph), nodes_(graph.values.size()) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
      for (const ValueId id : graph.nodes[i].in) nodes_[id].push_back(i);
  }

  const std::vector<std::size_t>& operator[](ValueId id) const { return nodes_[id]; }

  // Of a node that sums a value over all axes but the last, or reshapes it to (pixels, channels)
  // for such a sum: the sum's index.
  std::size_t sum_over_pixels(std::size_t index) const {
    const Node& node = graph_.nodes[index];
    const Shape& from = shape(node.in[0]);
    if (node.op->name == "reshape") {
      const ValueId flat = node.out[0];
      if (shape(flat).size() != 2 || shape(flat)[1] != from.back() || nodes_[flat].size() != 1)
        return kNone;
      const std::size_t reader = nodes_[flat][0];
      return graph_.nodes[reader].op->name == "sum" ? sum_over_pixels(reader) : kNone;
    }
    if (node.op->name != "sum" || shape(node.out[0]) != Shape{from.back()}) return kNone;
    std::vector<std::int64_t> leading;
    for (std::size_t i = 0; i + 1 < from.size(); ++i)
      leading.push_back(static_cast<std::int64_t>(i));
    return attr_ints(node.attrs, "axes", {}) == leading ? index : kNone;
  }

 private:
  const Shape& shape(ValueId id) const { return graph_.values[id].spec.shape; }

  const Graph& graph_;
  std::vector<std::vector<std::size_t>> nodes_;
};

}  // namespace lamina
