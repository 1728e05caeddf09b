// A recurrent layer that reads embedded words multiplies every word's row with its kernel, however
// often the word stands in the batch. Told the ids, it does so once for each distinct word, and the
// rows of a whole text are never laid out. The result is the same to the bit; gradients add the
// same terms in another order.
#include <algorithm>

#include "graph/fuse.h"
#include "graph/rewrite.h"

namespace lamina {
namespace {

constexpr std::size_t kNoPosition = ~std::size_t{0};

// The ops that can read words: where x and the kernel stand among the inputs and, for a grad op,
// the gradient of x among the outputs.
struct Reader {
  std::string_view op;
  std::size_t x, kernel, dx = kNoPosition;
};
constexpr Reader kReaders[] = {{"lstm", 0, 1},        {"gru", 0, 1},
                               {"simple_rnn", 0, 1},  {"lstm_grad", 2, 3, 3},
                               {"gru_grad", 2, 3, 2}, {"simple_rnn_grad", 2, 3, 2}};

const Reader* find_reader(const Node& node) {
  const auto* const found = std::find_if(std::begin(kReaders), std::end(kReaders),
                                         [&](const Reader& r) { return r.op == node.op->name; });
  return found == std::end(kReaders) ? nullptr : found;
}

class EmbeddingFuser {
 public:
  explicit EmbeddingFuser(Graph& graph) : graph_(graph), rewrite_(graph) {}

  void run() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (graph_.nodes[i].op->name == "embedding") fuse_readers(i);
    rewrite_.finish();
  }

 private:
  // The products of all distinct rows are kept at once, where those of the places in a text come
  // and go: they must not take much memory.
  static constexpr Dim kMostElements = Dim{16} << 20;

  void fuse_readers(std::size_t index) {
    const Node embedding = graph_.nodes[index];
    const ValueId table = embedding.in[0], ids = embedding.in[1], x = embedding.out[0];
    const Shape places = graph_.values[ids].spec.shape;
    const Dim rows = graph_.values[table].spec.shape[0];
    if (places.size() != 2 || rows == 0) return;
    const Dim words = std::min(dim_mul(places[0], places[1]), rows);
    for (Node& node : graph_.nodes) {
      const Reader* reader = find_reader(node);
      if (reader == nullptr || node.in[reader->x] != x ||
          std::count(node.in.begin(), node.in.end(), x) != 1)
        continue;
      const Shape& kernel = graph_.values[node.in[reader->kernel]].spec.shape;
      if (dim_mul(words, kernel[1]) > kMostElements) continue;
      if (reader->dx != kNoPosition && !give_rows(node, node.out[reader->dx], ids, words)) continue;
      node.in[reader->x] = table;
      node.in.push_back(ids);
      node.attrs["has_words"] = true;
    }
    if (count_uses(x) == 0) rewrite_.drop(index);
  }

  // The gradient dx becomes a list of rows if nobody needs it as it was: it is not read at all, or
  // by an update that takes rows.
  bool give_rows(Node& grad, ValueId dx, ValueId ids, Dim words) {
    Node* update = nullptr;
    std::size_t at = 0;
    for (Node& node : graph_.nodes)
      for (std::size_t k = 1; k < node.in.size(); ++k)
        if (node.in[k] == dx && node.in[k - 1] == ids && node.attrs.count("sparse") != 0) {
          update = &node;
          at = k;
        }
    if (count_uses(dx) != (update == nullptr ? 0 : 1)) return false;
    Spec& spec = graph_.values[dx].spec;
    const auto named = static_cast<ValueId>(graph_.values.size());
    spec.shape = {words, spec.shape.back()};
    Value value = graph_.values[dx];
    value.spec = {DType::i32, {words}};
    graph_.values.push_back(std::move(value));
    grad.out.push_back(named);
    if (update != nullptr) update->in[at - 1] = named;
    return true;
  }

  std::ptrdiff_t count_uses(ValueId id) const {
    std::ptrdiff_t uses = std::count(graph_.outputs.begin(), graph_.outputs.end(), id);
    for (const Assign& a : graph_.assigns) uses += a.value == id;
    for (const Node& node : graph_.nodes) uses += std::count(node.in.begin(), node.in.end(), id);
    return uses;
  }

  Graph& graph_;
  Rewrite rewrite_;
};

}  // namespace

void fuse_embeddings(Graph& graph) { EmbeddingFuser(graph).run(); }

}  // namespace lamina
