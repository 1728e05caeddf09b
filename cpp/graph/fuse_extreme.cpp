// fuse_extremes: of a map that is reduced to its maximum or minimum over all positions only the
// extremes have a gradient. The activation's is taken of them alone, and a convolution's gradients
// from one patch for each filter and example.
#include <algorithm>

#include "graph/fuse.h"
#include "graph/readers.h"
#include "graph/rewrite.h"
#include "ops/conv_extreme.h"

namespace lamina {
namespace {

// relu_grad(x, extreme_grad(x, y, dy))  ->  extreme_grad(x, y, relu_grad(y, dy)): y is the value of
// all places that have a gradient.
class ReluGradients {
 public:
  explicit ReluGradients(Graph& graph) : graph_(graph), rewrite_(graph) {}

  void run() {
    const std::size_t count = graph_.nodes.size();
    for (std::size_t i = 0; i < count; ++i) move_behind_reduction(i);
    rewrite_.finish();
  }

 private:
  void move_behind_reduction(std::size_t index) {
    if (graph_.nodes[index].op->name != "relu_grad") return;
    const ValueId x = graph_.nodes[index].in[0], spread = graph_.nodes[index].in[1];
    const Node* const inner = rewrite_.sole_maker(spread, "extreme_grad");
    if (inner == nullptr || inner->in[0] != x || !rewrite_.same_side(spread, index)) return;
    const ValueId y = inner->in[1], dy = inner->in[2];
    if (graph_.values[y].spec.shape != graph_.values[dy].spec.shape) return;
    Attrs attrs = inner->attrs;
    const ValueId d = rewrite_.emit_before(index, "relu_grad", {y, dy});
    Node& node = graph_.nodes[index];
    node.op = &find_op("extreme_grad");
    node.in = {x, y, d};
    node.attrs = std::move(attrs);
    rewrite_.drop_maker(spread);
  }

  Graph& graph_;
  Rewrite rewrite_;
};

class Convolutions {
 public:
  explicit Convolutions(Graph& graph) : graph_(graph), rewrite_(graph), readers_(graph) {}

  void run() {
    const std::size_t count = graph_.nodes.size();
    for (std::size_t i = 0; i < count; ++i)
      if (graph_.nodes[i].op->name == "extreme_grad") take_from_extremes(i);
    rewrite_.finish();
  }

 private:
  const Shape& shape(ValueId id) const { return graph_.values[id].spec.shape; }

  // All readers of the spread gradient, or none, are given the extremes instead.
  void take_from_extremes(std::size_t index) {
    const Node spread = graph_.nodes[index];
    const ValueId dz = spread.out[0];
    if (!is_over_all_positions(spread) || rewrite_.is_result(dz)) return;
    const std::vector<std::size_t>& readers = readers_[dz];
    if (!std::all_of(readers.begin(), readers.end(), [&](std::size_t reader) {
          return rewrite_.same_side(dz, reader) && can_take(reader, dz);
        }))
      return;
    for (const std::size_t reader : readers) give(reader, spread);
    rewrite_.drop(index);
  }

  bool is_over_all_positions(const Node& spread) const {
    const std::size_t rank = shape(spread.in[0]).size();
    if (rank < 3) return false;
    std::vector<std::int64_t> spatial;
    for (std::size_t i = 1; i + 1 < rank; ++i) spatial.push_back(static_cast<std::int64_t>(i));
    return attr_ints(spread.attrs, "axes") == spatial;
  }

  bool can_take(std::size_t index, ValueId dz) const {
    const Node& node = graph_.nodes[index];
    if (node.op->name == "conv_weight_grad")
      return node.in[0] != dz &&
             conv_extreme_suits(shape(node.in[0]), shape(node.out[0]), node.attrs);
    if (node.op->name == "conv_input_grad")
      return node.in.size() == 2 && node.in[1] != dz &&
             attr_str(node.attrs, "activation", "linear") == "linear" &&
             conv_extreme_suits(shape(node.out[0]), shape(node.in[1]), node.attrs);
    return readers_.sum_over_pixels(index) != Readers::kNone;
  }

  void give(std::size_t index, const Node& spread) {
    Node& node = graph_.nodes[index];
    const ValueId map = spread.in[0], extremes = spread.in[1], d = spread.in[2];
    if (node.op->name == "conv_weight_grad") {
      node.op = &find_op("conv_extreme_weight_grad");
      node.in = {node.in[0], map, extremes, d};
    } else if (node.op->name == "conv_input_grad") {
      node.op = &find_op("conv_extreme_input_grad");
      node.in = {map, node.in[1], extremes, d};
    } else {
      sum_extremes(readers_.sum_over_pixels(index), spread);
    }
  }

  // The shares of equal places add up to the extreme's gradient.
  void sum_extremes(std::size_t index, const Node& spread) {
    const Shape flat{shape(spread.in[0]).front(), shape(spread.in[0]).back()};
    ValueId d = spread.in[2];
    if (shape(d) != flat) d = rewrite_.emit_before(index, "reshape", {d}, {{"shape", flat}});
    Node& sum = graph_.nodes[index];
    if (sum.in[0] != spread.out[0]) rewrite_.drop_maker(sum.in[0]);
    sum.in = {d};
    sum.attrs["axes"] = Shape{0};
  }

  Graph& graph_;
  Rewrite rewrite_;
  const Readers readers_;
};

}  // namespace

void fuse_extremes(Graph& graph) {
  ReluGradients(graph).run();
  Convolutions(graph).run();
}

}  // namespace lamina
