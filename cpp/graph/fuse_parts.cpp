// fuse_parts: convolutions of concatenated images (U-Net, DenseNet) read the parts where they lie,
// and the gradient of the whole is written in parts.
#include <algorithm>

#include "graph/fuse.h"
#include "graph/readers.h"
#include "graph/rewrite.h"
#include "ops/conv_parts.h"

namespace lamina {
namespace {

class Parts {
 public:
  explicit Parts(Graph& graph) : graph_(graph), rewrite_(graph), readers_(graph) {}

  void run() {
    const std::size_t count = graph_.nodes.size();
    for (std::size_t i = 0; i < count; ++i) {
      if (graph_.nodes[i].op->name == "concat") give_parts(i);
      if (graph_.nodes[i].op->name == "split") write_parts(i);
    }
    rewrite_.finish();
  }

 private:
  const Spec& spec(ValueId id) const { return graph_.values[id].spec; }

  bool is_over_channels(const Node& node) const {
    const auto rank = static_cast<std::int64_t>(spec(node.in[0]).shape.size());
    const std::int64_t axis = attr_int(node.attrs, "axis", -1);
    return axis == -1 || axis == rank - 1;
  }
  std::vector<Dim> channels(const std::vector<ValueId>& ids) const {
    std::vector<Dim> sizes;
    for (const ValueId id : ids) sizes.push_back(spec(id).shape.back());
    return sizes;
  }

  // conv(concat(a, b), w)  ->  concat_conv(a, b, w), and conv_weight_grad alike, where all readers
  // of the whole are such.
  void give_parts(std::size_t index) {
    const Node concat = graph_.nodes[index];
    const ValueId x = concat.out[0];
    if (!is_over_channels(concat) || rewrite_.is_result(x)) return;
    const std::vector<Dim> sizes = channels(concat.in);
    const std::vector<std::size_t>& readers = readers_[x];
    if (readers.empty() || !std::all_of(readers.begin(), readers.end(), [&](std::size_t reader) {
          return can_take(graph_.nodes[reader], x, sizes);
        }))
      return;
    for (const std::size_t reader : readers) {
      Node& node = graph_.nodes[reader];
      const bool is_conv = node.op->name == "conv";
      if (is_conv) node.attrs["parts"] = static_cast<std::int64_t>(sizes.size());
      node.op = &find_op(is_conv ? "concat_conv" : "concat_conv_weight_grad");
      node.in.erase(node.in.begin());
      node.in.insert(node.in.begin(), concat.in.begin(), concat.in.end());
    }
    rewrite_.drop(index);
  }

  bool can_take(const Node& node, ValueId x, const std::vector<Dim>& sizes) const {
    const bool is_conv = node.op->name == "conv";
    if ((!is_conv && node.op->name != "conv_weight_grad") || node.in[0] != x ||
        std::count(node.in.begin(), node.in.end(), x) != 1)
      return false;
    const Shape& w = spec(is_conv ? node.in[1] : node.out[0]).shape;
    return conv_parts_suit(sizes, spec(x), w, node.attrs);
  }

  // split(conv_input_grad(dy, w))  ->  conv_input_grad_split(dy, w)
  void write_parts(std::size_t index) {
    Node& split = graph_.nodes[index];
    const ValueId dx = split.in[0];
    const Node* const whole = rewrite_.sole_maker(dx, "conv_input_grad");
    if (whole == nullptr || !is_over_channels(split) || whole->in.size() != 2 ||
        attr_str(whole->attrs, "activation", "linear") != "linear" ||
        !rewrite_.same_side(dx, index))
      return;
    const std::vector<Dim> sizes = channels(split.out);
    if (!conv_input_grad_parts_suit(sizes, spec(dx), spec(whole->in[1]).shape, whole->attrs))
      return;
    split.op = &find_op("conv_input_grad_split");
    split.in = whole->in;
    split.attrs = whole->attrs;
    split.attrs["sizes"] = sizes;
    split.origin = whole->origin;
    rewrite_.drop_maker(dx);
  }

  Graph& graph_;
  Rewrite rewrite_;
  const Readers readers_;
};

}  // namespace

void fuse_parts(Graph& graph) { Parts(graph).run(); }

}  // namespace lamina
