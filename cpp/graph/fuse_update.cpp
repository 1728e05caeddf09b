// An optimizer's update takes the gradients of some weights in another form than the flat one, if
// nothing else reads them:
//
// update(..., pack(..., embedding_grad(ids, d), ...))  ->  update(..., pack(...), ..., ids, d):
// the table's gradient stays a list of rows.
//
// update(..., pack(..., matmul(a, b), ...))  ->  update(..., pack(...), ..., a, b): the update
// multiplies block by block, and the gradient is never in memory as a whole.
#include "graph/fuse.h"
#include "graph/readers.h"
#include "graph/rewrite.h"

namespace lamina {
namespace {

class UpdateFuser {
 public:
  explicit UpdateFuser(Graph& graph) : graph_(graph), rewrite_(graph), readers_(graph) {}

  void run() {
    for (Node& node : graph_.nodes)
      if (node.op->has(kUpdate)) fuse_gradients(node);
  }

 private:
  void fuse_gradients(Node& update) {
    if (update.attrs.count("sparse") != 0 || update.attrs.count("products") != 0) return;
    const Node* pack = rewrite_.sole_maker(update.in[update.out.size()], "pack");
    if (pack == nullptr) return;
    std::vector<Spec> specs;
    for (const ValueId id : pack->in) specs.push_back(graph_.values[id].spec);
    const std::vector<std::size_t> offsets = packed_offsets(specs);
    // The inputs that come from tables stand before those that come from products.
    std::vector<std::int64_t> tables, products;
    std::vector<ValueId> factors;
    for (std::size_t i = 0; i < pack->in.size(); ++i) {
      const auto begin = static_cast<std::int64_t>(offsets[i] / item_size(specs[i].dtype));
      if (Node* rows = rewrite_.sole_maker(pack->in[i], "embedding_grad");
          rows != nullptr && specs[i].shape.size() == 2) {
        tables.insert(tables.end(), {begin, specs[i].shape[0], specs[i].shape[1]});
        update.in.insert(update.in.end(), rows->in.begin(), rows->in.end());
        leave_unfilled(*rows);
      } else if (Node* product = rewrite_.sole_maker(pack->in[i], "matmul");
                 product != nullptr && has_small_factors(*product)) {
        products.insert(products.end(), {begin, transposes(*product, "transpose_a"),
                                         transposes(*product, "transpose_b")});
        factors.insert(factors.end(), product->in.begin(), product->in.end());
        cut_forward(*product);
        leave_unfilled(*product);
      }
    }
    update.in.insert(update.in.end(), factors.begin(), factors.end());
    if (!tables.empty()) update.attrs["sparse"] = tables;
    if (!products.empty()) update.attrs["products"] = products;
  }

  static std::int64_t transposes(const Node& product, const char* operand) {
    return attr_bool(product.attrs, operand, false) ? 1 : 0;
  }

  // One product of matrices, whose factors may well live until the update: they take less memory
  // than the gradient. One that stays in the first-level cache anyway is left.
  bool has_small_factors(const Node& product) const {
    constexpr Dim kLeast = 4096;  // elements
    const Shape &a = graph_.values[product.in[0]].spec.shape,
                &b = graph_.values[product.in[1]].spec.shape;
    const Dim size = element_count(graph_.values[product.out[0]].spec.shape);
    return a.size() == 2 && b.size() == 2 && size >= kLeast &&
           dim_add(element_count(a), element_count(b)) < size;
  }

  // The product of the forward pass with these weights sums in slices, so that a thread reads the
  // rows that it updates. In the one of the backward pass rows of weights are columns of the
  // result.
  void cut_forward(const Node& product) {
    // Rows of a slice. Two slices suffice for many a machine; four are for sums so long that
    // adding them up costs nothing.
    constexpr Dim kLeast = 32, kLeastOfFour = 512;
    if (transposes(product, "transpose_a") == 0 || transposes(product, "transpose_b") != 0) return;
    const Shape& weights = graph_.values[product.out[0]].spec.shape;
    const Dim rows = weights[0];
    const std::int64_t slices = rows >= 4 * kLeastOfFour ? 4 : rows >= 2 * kLeast ? 2 : 1;
    if (slices == 1) return;
    for (const std::size_t reader : readers_[product.in[0]])
      if (Node& node = graph_.nodes[reader]; node.op->name == "dense" &&
                                             node.in[0] == product.in[0] &&
                                             graph_.values[node.in[1]].spec.shape == weights)
        node.attrs["slices"] = slices;
  }

  void leave_unfilled(Node& node) {
    const Spec& spec = graph_.values[node.out[0]].spec;
    node.op = &find_op("unfilled");
    node.attrs = {{"shape", spec.shape}, {"dtype", std::string(dtype_name(spec.dtype))}};
    node.in.clear();
  }

  Graph& graph_;
  Rewrite rewrite_;
  const Readers readers_;
};

}  // namespace

void fuse_updates(Graph& graph) { UpdateFuser(graph).run(); }

}  // namespace lamina
