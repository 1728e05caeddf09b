// fuse_pooling: the gradient of an activation is taken after the pooling, where there are fewer
// numbers; a convolution of few channels and the pooling after it become one op, forwards and
// backwards, so that the convolution's output stays in cache.
#include "graph/fuse.h"

#include <algorithm>

#include "graph/readers.h"
#include "graph/rewrite.h"
#include "ops/activation_attr.h"
#include "ops/conv_pool.h"

namespace lamina {
namespace {

bool windows_overlap(const Attrs& attrs) {
  if (attrs.contains("output_size")) return true;  // parts of equal size may share cells
  const auto size = attr_ints(attrs, "pool_size"), stride = attr_ints(attrs, "strides", size);
  for (std::size_t i = 0; i < std::max(size.size(), stride.size()); ++i)
    if (stride[stride.size() == 1 ? 0 : i] < size[size.size() == 1 ? 0 : i]) return true;
  return false;
}

// relu_grad(y, max_pool_grad(dp, argmax))  ->  max_pool_grad(relu_grad(p, dp), argmax), where
// p, argmax = max_pool(y): only winners have a gradient, and p is their value.
class ActivationGradients {
 public:
  explicit ActivationGradients(Graph& graph) : graph_(graph), rewrite_(graph) {}

  void run() {
    const std::size_t count = graph_.nodes.size();
    for (std::size_t i = 0; i < count; ++i) move_behind_pooling(i);
    rewrite_.finish();
  }

 private:
  void move_behind_pooling(std::size_t index) {
    const Node& outer = graph_.nodes[index];
    const std::string_view op = outer.op->name;
    if (op != "relu_grad" && op != "sigmoid_grad" && op != "tanh_grad") return;
    const ValueId spread = outer.in[1];
    const Node* const inner = rewrite_.sole_maker(spread, "max_pool_grad");
    if (inner == nullptr || !rewrite_.same_side(spread, index)) return;
    const Node* const pool = rewrite_.maker(inner->in[1], "max_pool");
    if (pool == nullptr || pool->in[0] != outer.in[0]) return;
    if (op != "relu_grad" && windows_overlap(inner->attrs)) return;  // it would round otherwise
    const ValueId pooled = pool->out[0], dy = inner->in[0], argmax = inner->in[1];
    Attrs attrs = inner->attrs;
    const ValueId d = rewrite_.emit_before(index, op, {pooled, dy});
    Node& node = graph_.nodes[index];
    node.op = &find_op("max_pool_grad");
    node.in = {d, argmax};
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
      if (graph_.nodes[i].op->name == "max_pool") join(i);
    rewrite_.finish();
  }

 private:
  static constexpr std::size_t kNone = Readers::kNone;

  // The nodes of the way back: conv_weight_grad(x, dz) and the sum of dz over the pixels, where dz
  // is max_pool_grad(dp, argmax). Without a bias there is no sum.
  struct Backward {
    std::size_t pool_grad = kNone, weight_grad = kNone, bias_grad = kNone;
  };

  const Shape& shape(ValueId id) const { return graph_.values[id].spec.shape; }

  void join(std::size_t index) {
    Node& pool = graph_.nodes[index];
    const ValueId map = pool.in[0];
    const Node* const conv = rewrite_.sole_maker(map, "conv");
    if (conv == nullptr || pool.attrs.contains("output_size") || !rewrite_.same_side(map, index))
      return;
    Attrs attrs = conv->attrs;
    for (const auto& [name, attr] : pool.attrs) attrs[std::string(kPoolPrefix) + name] = attr;
    if (!conv_max_pool_suits(shape(conv->in[0]), shape(conv->in[1]), attrs)) return;
    const ValueId winners = pool.out[1];
    Backward back;
    if (!rewrite_.unread(winners) && !find_backward(*conv, winners, back)) return;
    pool.op = &find_op("conv_max_pool");
    pool.in = conv->in;
    pool.attrs = attrs;
    graph_.values[winners].spec.dtype = DType::u8;
    if (back.pool_grad != kNone) join_backward(*conv, pool, std::move(attrs), back);
    rewrite_.drop_maker(map);
  }

  bool find_backward(const Node& conv, ValueId winners, Backward& back) {
    if (!rewrite_.read_once(winners) || readers_[winners].empty()) return false;
    back.pool_grad = readers_[winners][0];
    const Node& spread = graph_.nodes[back.pool_grad];
    if (spread.op->name != "max_pool_grad" || spread.in[1] != winners) return false;
    const ValueId dz = spread.out[0];
    for (const std::size_t reader : readers_[dz]) {
      const Node& node = graph_.nodes[reader];
      if (!rewrite_.same_side(dz, reader)) continue;
      if (node.op->name == "conv_weight_grad" && node.in[0] == conv.in[0] && node.in[1] == dz &&
          shape(node.out[0]) == shape(conv.in[1]) && same_geometry(node.attrs, conv.attrs))
        back.weight_grad = reader;
      else if (const std::size_t sum = readers_.sum_over_pixels(reader); sum != kNone)
        back.bias_grad = sum;
    }
    return back.weight_grad != kNone;
  }

  static bool same_geometry(const Attrs& gradient, const Attrs& conv) {
    return std::all_of(gradient.begin(), gradient.end(), [&](const auto& entry) {
      const auto it = conv.find(entry.first);
      return entry.first == "kernel_shape" || (it != conv.end() && it->second == entry.second);
    });
  }

  void join_backward(const Node& conv, const Node& pool, Attrs attrs, const Backward& back) {
    Node& node = graph_.nodes[back.pool_grad];
    Node& weights = graph_.nodes[back.weight_grad];
    attrs["kernel_shape"] = shape(conv.in[1]);
    node.op = &find_op("conv_max_pool_grad");
    node.attrs = std::move(attrs);
    const ValueId winners = node.in[1], dz = node.out[0];
    ValueId dy = node.in[0];
    const Node* const relu = rewrite_.sole_maker(dy, "relu_grad");
    // The winners of a convolution with relu say themselves where its gradient is zero.
    if (relu != nullptr && relu->in[0] == pool.out[0] &&
        activation_of(conv.attrs) == Activation::relu) {
      rewrite_.drop_maker(dy);
      dy = relu->in[1];
    }
    node.in = {conv.in[0], dy, winners};
    rewrite_.drop(back.weight_grad);
    ValueId db = kNoValue;
    if (back.bias_grad == kNone) {
      db = static_cast<ValueId>(graph_.values.size());
      Value unread;
      unread.spec = {graph_.values[dz].spec.dtype, {shape(dz).back()}};
      graph_.values.push_back(std::move(unread));
    } else {
      const Node& sum = graph_.nodes[back.bias_grad];
      db = sum.out[0];
      if (sum.in[0] != dz) rewrite_.drop_maker(sum.in[0]);
      rewrite_.drop(back.bias_grad);
    }
    node.out = {weights.out[0], db, dz};
  }

  Graph& graph_;
  Rewrite rewrite_;
  const Readers readers_;
};

}  // namespace

void fuse_pooling(Graph& graph) {
  ActivationGradients(graph).run();
  Convolutions(graph).run();
}

}  // namespace lamina
