// fuse: operations joined with a neighbour that can do their work on the way. Runs after the
// reverse pass, so a rule fires only where no gradient needs the value between.
#include "graph/fuse.h"

#include <algorithm>

#include "graph/rewrite.h"

namespace lamina {
namespace {

class Fuser {
 public:
  explicit Fuser(Graph& graph) : graph_(graph), rewrite_(graph) {}

  void run() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      bias_into_product(i);
      bias_into_transposed(graph_.nodes[i]);
      activation_into_producer(i);
      relu_grad_into_product(i);
    }
    rewrite_.finish();
  }

 private:
  // add(matmul(x, w), b)  ->  dense(x, w, b)
  // add(reshape(matmul(x, w)), b)  ->  reshape(dense(x, w, reshape(b))), where b has a value for
  // every column: heads of an attention.
  void bias_into_product(std::size_t index) {
    const Node node = graph_.nodes[index];
    if (node.op->name != "add") return;
    for (std::size_t k = 0; k < 2; ++k) {
      const Node* const heads = rewrite_.sole_maker(node.in[k], "reshape");
      const ValueId rows = heads != nullptr ? heads->in[0] : node.in[k];
      const Node* const product = rewrite_.sole_maker(rows, "matmul");
      if (product == nullptr || attr_bool(product->attrs, "transpose_a", false) ||
          attr_bool(product->attrs, "transpose_b", false))
        continue;
      ValueId bias = node.in[1 - k];
      const ValueId x = product->in[0], w = product->in[1];
      if (graph_.values[w].spec.shape.size() != 2 || !is_for_columns(bias, w, node.in[k])) continue;
      rewrite_.drop_maker(rows);
      const Shape columns{graph_.values[w].spec.shape[1]};
      if (graph_.values[bias].spec.shape != columns)
        bias = rewrite_.emit_before(index, "reshape", {bias}, {{"shape", columns}});
      if (heads == nullptr) return become(index, "dense", {x, w, bias}, {});
      rewrite_.drop_maker(node.in[k]);
      const ValueId sum = rewrite_.emit_before(index, "dense", {x, w, bias});
      return become(index, "reshape", {sum}, {{"shape", graph_.values[node.out[0]].spec.shape}});
    }
  }

  void become(std::size_t index, std::string_view op, std::vector<ValueId> in, Attrs attrs) {
    Node& node = graph_.nodes[index];
    node.op = &find_op(op);
    node.in = std::move(in);
    node.attrs = std::move(attrs);
  }

  // Does `bias` have the last axes of `sum`, and these a place for every column of w?
  bool is_for_columns(ValueId bias, ValueId w, ValueId sum) const {
    const Shape &b = graph_.values[bias].spec.shape, &to = graph_.values[sum].spec.shape;
    return b.size() <= to.size() && std::equal(b.rbegin(), b.rend(), to.rbegin()) &&
           dim_product(b) == graph_.values[w].spec.shape[1];
  }

  // add(conv_input_grad(dy, w), b)  ->  conv_input_grad(dy, w, b): a transposed convolution
  void bias_into_transposed(Node& node) {
    if (node.op->name != "add") return;
    for (std::size_t k = 0; k < 2; ++k) {
      Node* spread = rewrite_.sole_maker(node.in[k], "conv_input_grad");
      const ValueId bias = node.in[1 - k];
      if (spread == nullptr || spread->in.size() != 2 ||
          graph_.values[bias].spec.shape != Shape{graph_.values[node.in[k]].spec.shape.back()} ||
          attr_str(spread->attrs, "activation", "linear") != "linear")
        continue;
      rewrite_.drop_maker(node.in[k]);
      node.in = {spread->in[0], spread->in[1], bias};
      node.op = spread->op;
      node.attrs = spread->attrs;
      return;
    }
  }

  // relu(dense(x, w, b))  ->  dense(x, w, b, activation='relu'); likewise conv.
  void activation_into_producer(std::size_t index) {
    Node& node = graph_.nodes[index];
    const std::string_view op = node.op->name;
    if (op != "relu" && op != "sigmoid" && op != "tanh") return;
    Node* producer = rewrite_.read_once(node.in[0]) ? rewrite_.maker(node.in[0]) : nullptr;
    if (producer == nullptr || !producer->op->has(kEpilogue) ||
        !rewrite_.same_side(node.in[0], index) ||
        attr_str(producer->attrs, "activation", "linear") != "linear")
      return;
    producer->attrs["activation"] = std::string(op);
    producer->out[0] = node.out[0];
    rewrite_.hand_over(node.out[0], node.in[0]);
    rewrite_.drop(index);
  }

  // relu_grad(y, matmul(a, b))  ->  matmul_relu_grad(a, b, y); with a reshape between, and with a
  // factor, which is a dropout's. Where y does not stay in the cache, a sweep of its own is faster.
  void relu_grad_into_product(std::size_t index) {
    Node& node = graph_.nodes[index];
    if (node.op->name != "relu_grad") return;
    constexpr Dim kMost = 1 << 18;  // elements
    const ValueId y = node.in[0];
    ValueId d = node.in[1];
    const Shape& shape = graph_.values[y].spec.shape;
    if (graph_.values[d].spec.shape != shape || element_count(shape) > kMost) return;
    std::vector<ValueId> between;
    double scale = 1;
    if (const Node* const scaled = rewrite_.sole_maker(d, "multiply")) {
      const Value& factor = graph_.values[scaled->in[1]];
      if (factor.kind != Value::Kind::constant || !factor.spec.shape.empty()) return;
      scale = with_float(factor.spec.dtype, [&](auto tag) {
        return static_cast<double>(factor.constant.data<decltype(tag)>()[0]);
      });
      between.push_back(d);
      d = scaled->in[0];
    }
    if (const Node* const reshape = rewrite_.sole_maker(d, "reshape")) {
      between.push_back(d);
      d = reshape->in[0];
    }
    const Node* const product = rewrite_.sole_maker(d, "matmul");
    if (product == nullptr || !rewrite_.same_side(d, index)) return;
    const ValueId a = product->in[0], b = product->in[1];
    if (graph_.values[a].spec.shape.size() != 2 || graph_.values[b].spec.shape.size() != 2) return;
    Attrs attrs = product->attrs;
    attrs["scale"] = scale;
    rewrite_.drop_maker(d);
    for (const ValueId id : between) rewrite_.drop_maker(id);
    become(index, "matmul_relu_grad", {a, b, y}, std::move(attrs));
  }

  Graph& graph_;
  Rewrite rewrite_;
};

}  // namespace

void fuse(Graph& graph) {
  fuse_norms(graph);
  fuse_dropouts(graph);
  Fuser(graph).run();
  fuse_updates(graph);
  fuse_embeddings(graph);
  fuse_pooling(graph);
  fuse_extremes(graph);
  fuse_parts(graph);
  fuse_weights(graph);
}

}  // namespace lamina
