// fuse_weights: conv(x, w)  ->  winograd_conv(x, winograd_weights(w)), and concat_conv alike;
// max(winograd_conv(x, w))  ->  winograd_conv_max(x, w), which reads the words of an embedding
// itself;
// conv_input_grad(dy, w)  ->  disjoint_input_grad(dy, turned_weights(w));
// dense(x, w)  ->  striped_dense(x, striped_weights(w)); where w is the same run after run.
#include "graph/fuse.h"
#include "graph/rewrite.h"
#include "graph/steady.h"
#include "ops/conv_disjoint.h"
#include "ops/conv_winograd.h"
#include "ops/striped_dense.h"

namespace lamina {
namespace {

class WeightFuser {
 public:
  explicit WeightFuser(Graph& graph)
      : graph_(graph), rewrite_(graph), steady_(steady_values(graph)) {}

  void run() {
    const std::size_t count = graph_.nodes.size();
    for (std::size_t i = 0; i < count; ++i) {
      const std::string_view op = graph_.nodes[i].op->name;
      if (op == "dense") stripe(i);
      if (op == "conv") prepare(i, 1);
      if (op == "conv_input_grad") turn(i);
      if (op == "max") take_maximum(i);
      if (op == "concat_conv")
        prepare(i, static_cast<std::size_t>(attr_int(graph_.nodes[i].attrs, "parts")));
    }
    rewrite_.finish();
  }

 private:
  // Of a convolution whose first `parts` operands are the image.
  void prepare(std::size_t index, std::size_t parts) {
    constexpr Dim kMostKept = 2 << 20;  // elements; beyond the caches they are no gain
    const Node& conv = graph_.nodes[index];
    const ValueId w = conv.in[parts];
    if (!steady_[w]) return;
    std::vector<Spec> images;
    for (std::size_t i = 0; i < parts; ++i) images.push_back(graph_.values[conv.in[i]].spec);
    const Shape kernel = graph_.values[w].spec.shape;
    const Dim size = kept_weights_size(images, kernel, conv.attrs);
    if (size == 0 || kept_ + size > kMostKept) return;
    kept_ += size;
    const ValueId prepared = rewrite_.emit_before(index, "winograd_weights", {w});
    Node& node = graph_.nodes[index];
    node.op = &find_op("winograd_conv");
    node.in[parts] = prepared;
    node.attrs["parts"] = static_cast<std::int64_t>(parts);
    node.attrs["kernel_shape"] = kernel;
  }

  // Over all positions of a text's convolution.
  void take_maximum(std::size_t index) {
    const Node maximum = graph_.nodes[index];
    const Node* const conv = rewrite_.sole_maker(maximum.in[0], "winograd_conv");
    if (conv == nullptr || attr_int(conv->attrs, "parts") != 1 ||
        graph_.values[maximum.out[0]].spec.shape.size() != 2 ||
        attr_ints(maximum.attrs, "axes", {}) != std::vector<std::int64_t>{1})
      return;
    const Shape image = graph_.values[conv->in[0]].spec.shape;
    const Shape kernel = attr_ints(conv->attrs, "kernel_shape");
    if (!winograd_conv_has_max(image, kernel, conv->attrs)) return;
    Node& node = graph_.nodes[index];
    node.op = &find_op("winograd_conv_max");
    node.in = conv->in;
    node.attrs = conv->attrs;
    node.attrs.erase("parts");
    node.origin = conv->origin;
    rewrite_.drop_maker(maximum.in[0]);
    read_words(node);
  }

  void read_words(Node& conv) {
    const ValueId text = conv.in[0];
    const Node* const embedding = rewrite_.sole_maker(text, "embedding");
    if (embedding == nullptr || graph_.values[embedding->in[1]].spec.shape.size() != 2) return;
    conv.in[0] = embedding->in[0];
    conv.in.push_back(embedding->in[1]);
    conv.attrs["has_words"] = true;
    rewrite_.drop_maker(text);
  }

  // Of a transposed convolution.
  void turn(std::size_t index) {
    const Node& grad = graph_.nodes[index];
    const ValueId w = grad.in[1];
    const Shape kernel = graph_.values[w].spec.shape;
    if (!steady_[w] || steady_[grad.in[0]] || element_count(kernel) > kMostTurned ||
        !conv_is_disjoint(graph_.values[grad.out[0]].spec.shape, kernel, grad.attrs))
      return;
    const ValueId turned = rewrite_.emit_before(index, "turned_weights", {w});
    Node& node = graph_.nodes[index];
    node.op = &find_op("disjoint_input_grad");
    node.in[1] = turned;
    node.attrs["kernel_shape"] = kernel;
  }

  void stripe(std::size_t index) {
    constexpr Dim kMostKept = 4 << 20;
    const Node& dense = graph_.nodes[index];
    const ValueId x = dense.in[0], w = dense.in[1];
    if (!steady_[w] || steady_[x] || attr_int(dense.attrs, "slices", 1) != 1) return;
    const Spec weights = graph_.values[w].spec;
    const Dim size = kept_weights_size(graph_.values[x].spec, weights);
    if (size == 0 || striped_ + size > kMostKept) return;
    striped_ += size;
    const ValueId striped = rewrite_.emit_before(index, "striped_weights", {w});
    Node& node = graph_.nodes[index];
    node.op = &find_op("striped_dense");
    node.in[1] = striped;
    node.attrs["columns"] = weights.shape[1];
  }

  static constexpr Dim kMostTurned = 1
                                     << 20;  // elements; turning more is little beside the product

  Graph& graph_;
  Rewrite rewrite_;
  const std::vector<bool> steady_;
  Dim kept_ = 0, striped_ = 0;  // elements of prepared weights: transformed, striped
};

}  // namespace

void fuse_weights(Graph& graph) { WeightFuser(graph).run(); }

}  // namespace lamina
