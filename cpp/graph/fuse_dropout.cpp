// fuse_dropouts: the gradient of a ReLU with dropout after it reads both masks from the result.
#include <map>
#include <utility>

#include "graph/fuse.h"
#include "graph/rewrite.h"

namespace lamina {
namespace {

class DropoutFuser {
 public:
  explicit DropoutFuser(Graph& graph) : graph_(graph), rewrite_(graph) {}

  void run() {
    const std::size_t count = graph_.nodes.size();
    for (std::size_t i = 0; i < count; ++i) {
      remember(graph_.nodes[i]);
      join_masks(i);
    }
    rewrite_.finish();
  }

 private:
  void remember(const Node& node) {
    if (node.op->name == "dropout")
      dropped_.emplace(std::pair(node.in[0], node.in[1]), node.out[0]);
  }

  // relu_grad(x, dropout(d, state))  ->  relu_grad(y, d * scale) with y = dropout(x, state): what
  // was dropped is 0 in y, like what the ReLU cut off. No number is drawn again, and x need not
  // outlive the way forward.
  void join_masks(std::size_t index) {
    Node& mask = graph_.nodes[index];
    if (mask.op->name != "relu_grad") return;
    const ValueId kept = mask.in[1];
    const Node* const again = rewrite_.sole_maker(kept, "dropout");
    if (again == nullptr || !rewrite_.same_side(kept, index)) return;
    const auto it = dropped_.find({mask.in[0], again->in[1]});
    if (it == dropped_.end() || rewrite_.maker(it->second)->attrs != again->attrs) return;
    const double rate = attr_real(again->attrs, "rate", 0.5);
    if (rate >= 1) return;
    const ValueId d = again->in[0];
    const ValueId scale = Builder(graph_).scalar(graph_.values[d].spec.dtype, 1 / (1 - rate));
    const ValueId scaled = rewrite_.emit_before(index, "multiply", {d, scale});
    rewrite_.drop_maker(kept);
    graph_.nodes[index].in = {it->second, scaled};
  }

  Graph& graph_;
  Rewrite rewrite_;
  std::map<std::pair<ValueId, ValueId>, ValueId> dropped_;  // (operand, state) -> result
};

}  // namespace

void fuse_dropouts(Graph& graph) { DropoutFuser(graph).run(); }

}  // namespace lamina
