// fuse_norms: a ReLU becomes part of the batch normalization before it, forwards and backwards; a
// scale and a shift of channels become part of the product before them.
#include "graph/fuse.h"

#include "graph/rewrite.h"
#include "graph/steady.h"

namespace lamina {
namespace {

bool is_linear(const Node& node) {
  return attr_str(node.attrs, "activation", "linear") == "linear";
}

class NormFuser {
 public:
  explicit NormFuser(Graph& graph)
      : graph_(graph), rewrite_(graph), steady_(steady_values(graph)) {}

  void run() {
    const std::size_t count = graph_.nodes.size();
    for (std::size_t i = 0; i < count; ++i) {
      activation_into_norm(i);
      activation_into_gradient(i);
      scale_into_product(i);
    }
    rewrite_.finish();
  }

 private:
  // relu(batch_norm(x, ...))  ->  batch_norm(x, ..., activation='relu')
  void activation_into_norm(std::size_t index) {
    const Node& node = graph_.nodes[index];
    if (node.op->name != "relu" && node.op->name != "relu6") return;
    const ValueId y = node.in[0];
    Node* const norm = rewrite_.sole_maker(y, "batch_norm");
    if (norm == nullptr || norm->out[0] != y || !is_linear(*norm)) return;
    if (!rewrite_.same_side(y, index)) return;
    norm->attrs["activation"] = std::string(node.op->name);
    norm->out[0] = node.out[0];
    rewrite_.hand_over(node.out[0], y);
    rewrite_.drop(index);
  }

  // batch_norm_grad(relu_grad(y, dy), x, ...)  ->  batch_norm_grad(dy, x, ..., activation='relu'),
  // where y is the result for that x.
  void activation_into_gradient(std::size_t index) {
    Node& gradient = graph_.nodes[index];
    if (gradient.op->name != "batch_norm_grad" || !is_linear(gradient)) return;
    for (const std::string activation : {"relu", "relu6"}) {
      const Node* const mask = rewrite_.sole_maker(gradient.in[0], activation + "_grad");
      if (mask == nullptr || !rewrite_.same_side(gradient.in[0], index)) continue;
      const Node* const norm = rewrite_.maker(mask->in[0], "batch_norm");
      if (norm == nullptr || attr_str(norm->attrs, "activation", "linear") != activation) return;
      const std::vector<ValueId> of_norm{norm->in[0], norm->in[1], norm->in[2], norm->out[1],
                                         norm->out[2]};
      if (!std::equal(of_norm.begin(), of_norm.end(), gradient.in.begin() + 1)) return;
      const ValueId masked = gradient.in[0];
      gradient.in[0] = mask->in[1];
      gradient.attrs["activation"] = activation;
      rewrite_.drop_maker(masked);
      return;
    }
  }

  // add(multiply(conv(x, w), factor), shift)  ->  conv(x, multiply(w, factor), shift): batch
  // normalization at inference costs nothing then. Likewise for dense and matmul.
  void scale_into_product(std::size_t index) {
    Node& sum = graph_.nodes[index];
    if (sum.op->name != "add") return;
    const Shape& shape = graph_.values[sum.out[0]].spec.shape;
    for (std::size_t k = 0; k < 2; ++k) {
      const ValueId scaled = sum.in[k], shift = sum.in[1 - k];
      const Node* const scale = rewrite_.sole_maker(scaled, "multiply");
      if (scale == nullptr || !is_row(shift, shape) || !rewrite_.same_side(scaled, index)) continue;
      for (std::size_t j = 0; j < 2; ++j)
        if (is_row(scale->in[1 - j], shape) &&
            replace(index, scaled, scale->in[j], scale->in[1 - j], shift))
          return;
    }
  }

  // One number for each channel of a tensor of that shape?
  bool is_row(ValueId id, const Shape& shape) const {
    const Shape& row = graph_.values[id].spec.shape;
    return !row.empty() && row.size() <= shape.size() && row.back() == shape.back() &&
           row.back() > 1 && element_count(row) == row.back();
  }

  Node* find_product(ValueId id) {
    for (const char* const op : {"conv", "dense", "matmul"})
      if (Node* const product = rewrite_.sole_maker(id, op)) return product;
    return nullptr;
  }

  bool replace(std::size_t index, ValueId scaled, ValueId made, ValueId factor, ValueId shift) {
    const Node* const product = find_product(made);
    if (product == nullptr || product->in.size() != 2 || !is_linear(*product) ||
        attr_bool(product->attrs, "transpose_a", false) ||
        attr_bool(product->attrs, "transpose_b", false) || !rewrite_.same_side(made, index))
      return false;
    const ValueId x = product->in[0], w = product->in[1];
    const Shape& weights = graph_.values[w].spec.shape;
    const bool is_matmul = product->op->name == "matmul";
    if (weights.back() != graph_.values[made].spec.shape.back() ||
        (is_matmul && weights.size() != 2) || !may_scale(w, factor, made))
      return false;
    Node joined = *product;
    if (is_matmul) {
      joined.op = &find_op("dense");
      joined.attrs = {};
    }
    const Shape row{weights.back()};
    const auto as_row = [&](ValueId v) {
      return graph_.values[v].spec.shape == row
                 ? v
                 : rewrite_.emit_before(index, "reshape", {v}, {{"shape", row}});
    };
    const ValueId scaled_weights = rewrite_.emit_before(index, "multiply", {w, as_row(factor)});
    joined.in = {x, scaled_weights, as_row(shift)};
    joined.out = graph_.nodes[index].out;
    rewrite_.drop_maker(made);
    rewrite_.drop_maker(scaled);
    graph_.nodes[index] = std::move(joined);
    return true;
  }

  // Steady weights are scaled once for many runs: always, up to a sum of their sizes, so that a
  // row's result does not depend on the number of rows. Others are scaled in every run: that must
  // not cost more than scaling the results.
  bool may_scale(ValueId w, ValueId factor, ValueId made) {
    constexpr Dim kMostKept = 8 << 20;  // elements
    const Dim size = element_count(graph_.values[w].spec.shape);
    if (!is_steady(w) || !is_steady(factor))
      return 2 * size <= element_count(graph_.values[made].spec.shape);
    if (kept_ + size > kMostKept) return false;
    kept_ += size;
    return true;
  }
  bool is_steady(ValueId id) const { return id < steady_.size() && steady_[id]; }

  Graph& graph_;
  Rewrite rewrite_;
  const std::vector<bool> steady_;
  Dim kept_ = 0;  // elements of scaled weights
};

}  // namespace

void fuse_norms(Graph& graph) { NormFuser(graph).run(); }

}  // namespace lamina
