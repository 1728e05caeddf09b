// fuse: operations joined with a neighbour that can do their work on the way. Runs after the
// reverse pass, so a rule fires only where no gradient needs the value between.
#include <algorithm>

#include "graph/fuse_norm.h"
#include "graph/fuse_pool.h"
#include "ops/op.h"

namespace lamina {
namespace {

class Fuser {
 public:
  explicit Fuser(Graph& graph)
      : graph_(graph),
        readers_(graph.values.size(), 0),
        maker_(graph.values.size(), -1),
        dead_(graph.nodes.size(), false) {
    for (const Node& node : graph.nodes)
      for (const ValueId id : node.in) ++readers_[id];
    for (const ValueId id : graph.outputs) ++readers_[id];
    for (const Assign& a : graph.assigns) ++readers_[a.value];
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
      for (const ValueId id : graph.nodes[i].out) maker_[id] = static_cast<std::int64_t>(i);
  }

  void run() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      rows_into_update(graph_.nodes[i]);
      bias_into_product(graph_.nodes[i]);
      activation_into_producer(i);
    }
    std::vector<Node> kept;
    std::size_t seam = graph_.seam;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!dead_[i])
        kept.push_back(std::move(graph_.nodes[i]));
      else if (graph_.seam != Graph::kNoSeam && i < graph_.seam)
        --seam;
    }
    graph_.nodes = std::move(kept);
    graph_.seam = seam;
  }

 private:
  // The node that makes the value, if this is its only reader.
  Node* sole_producer(ValueId id, std::string_view op) {
    if (maker_[id] < 0 || readers_[id] != 1) return nullptr;
    Node& node = graph_.nodes[static_cast<std::size_t>(maker_[id])];
    return node.op->name == op || (op.empty() && node.op->has(kEpilogue)) ? &node : nullptr;
  }

  // update(..., pack(..., embedding_grad(ids, d), ...))  ->  update(..., pack(...), ..., ids, d):
  // the table's gradient stays a list of rows.
  void rows_into_update(Node& update) {
    if (!update.op->has(kUpdate) || update.attrs.count("sparse") != 0) return;
    Node* pack = sole_producer(update.in[update.out.size()], "pack");
    if (pack == nullptr) return;
    std::vector<Spec> specs;
    for (const ValueId id : pack->in) specs.push_back(graph_.values[id].spec);
    const std::vector<std::size_t> offsets = packed_offsets(specs);
    std::vector<std::int64_t> tables;
    std::optional<DType> ids_dtype;
    for (std::size_t i = 0; i < pack->in.size(); ++i) {
      Node* rows = sole_producer(pack->in[i], "embedding_grad");
      if (rows == nullptr || specs[i].shape.size() != 2) continue;
      const DType dtype = graph_.values[rows->in[0]].spec.dtype;
      if (dtype != ids_dtype.value_or(dtype)) continue;
      ids_dtype = dtype;
      const auto begin = static_cast<std::int64_t>(offsets[i] / item_size(specs[i].dtype));
      tables.insert(tables.end(), {begin, specs[i].shape[0], specs[i].shape[1]});
      update.in.insert(update.in.end(), {rows->in[0], rows->in[1]});
      rows->op = &find_op("unfilled");
      rows->attrs = {{"shape", specs[i].shape}, {"dtype", std::string(dtype_name(specs[i].dtype))}};
      rows->in.clear();
    }
    if (!tables.empty()) update.attrs["sparse"] = tables;
  }

  // add(matmul(x, w), b)  ->  dense(x, w, b)
  void bias_into_product(Node& node) {
    if (node.op->name != "add") return;
    for (std::size_t k = 0; k < 2; ++k) {
      Node* product = sole_producer(node.in[k], "matmul");
      if (product == nullptr || attr_bool(product->attrs, "transpose_a", false) ||
          attr_bool(product->attrs, "transpose_b", false))
        continue;
      const ValueId bias = node.in[1 - k];
      const Shape& w = graph_.values[product->in[1]].spec.shape;
      if (w.size() != 2 || graph_.values[bias].spec.shape != Shape{w[1]}) continue;
      dead_[static_cast<std::size_t>(maker_[node.in[k]])] = true;
      node.in = {product->in[0], product->in[1], bias};
      node.op = &find_op("dense");
      node.attrs = {};
      return;
    }
  }

  // relu(dense(x, w, b))  ->  dense(x, w, b, activation='relu'); likewise conv.
  void activation_into_producer(std::size_t index) {
    Node& node = graph_.nodes[index];
    const std::string_view op = node.op->name;
    if (op != "relu" && op != "sigmoid" && op != "tanh") return;
    Node* producer = sole_producer(node.in[0], "");
    if (producer == nullptr || attr_str(producer->attrs, "activation", "linear") != "linear")
      return;
    if (graph_.seam != Graph::kNoSeam && index >= graph_.seam &&
        static_cast<std::size_t>(maker_[node.in[0]]) < graph_.seam)
      return;
    producer->attrs["activation"] = std::string(op);
    producer->out[0] = node.out[0];
    maker_[node.out[0]] = maker_[node.in[0]];
    dead_[index] = true;
  }

  Graph& graph_;
  std::vector<int> readers_;
  std::vector<std::int64_t> maker_;
  std::vector<bool> dead_;
};

}  // namespace

void fuse(Graph& graph) {
  fuse_norms(graph);
  Fuser(graph).run();
  fuse_pooling(graph);
}

}  // namespace lamina
