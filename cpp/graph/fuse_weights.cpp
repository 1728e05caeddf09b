// fuse_weights: conv(x, w)  ->  winograd_conv(x, winograd_weights(w)), and concat_conv alike;
// dense(x, w)  ->  striped_dense(x, striped_weights(w)); where w is the same run after run.
#include "graph/fuse.h"
#include "graph/rewrite.h"
#include "graph/steady.h"
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

  Graph& graph_;
  Rewrite rewrite_;
  const std::vector<bool> steady_;
  Dim kept_ = 0, striped_ = 0;  // elements of prepared weights: transformed, striped
};

}  // namespace

void fuse_weights(Graph& graph) { WeightFuser(graph).run(); }

}  // namespace lamina
