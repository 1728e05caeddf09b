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
    const Text text{table, ids, x, words};
    join_gradients(text);
    for (Node& node : graph_.nodes) {
      const Reader* reader = find_reader(node);
      if (reader == nullptr || !may_read(node, *reader, text)) continue;
      if (reader->dx != kNoPosition && !give_rows(node, node.out[reader->dx], text)) continue;
      read_words(node, *reader, text);
    }
    if (count_uses(x) == 0) rewrite_.drop(index);
  }

  // An embedding: x are the rows of the table at the ids, of which at most `words` are distinct.
  struct Text {
    ValueId table, ids, x;
    Dim words;
  };

  bool may_read(const Node& node, const Reader& reader, const Text& text) const {
    const Shape& kernel = graph_.values[node.in[reader.kernel]].spec.shape;
    return node.in[reader.x] == text.x && std::count(node.in.begin(), node.in.end(), text.x) == 1 &&
           dim_mul(text.words, kernel[1]) <= kMostElements;
  }
  static void read_words(Node& node, const Reader& reader, const Text& text) {
    node.in[reader.x] = text.table;
    node.in.push_back(text.ids);
    node.attrs["has_words"] = true;
  }

  // The update that takes the gradient dx as rows of the ids, and where among its inputs; or null.
  Node* find_update(ValueId dx, ValueId ids, std::size_t& at) {
    Node* update = nullptr;
    for (Node& node : graph_.nodes)
      for (std::size_t k = 1; k < node.in.size(); ++k)
        if (node.in[k] == dx && node.in[k - 1] == ids && node.attrs.count("sparse") != 0) {
          update = &node;
          at = k;
        }
    return update;
  }

  // The gradient dx becomes a list of rows if nobody needs it as it was: it is not read at all, or
  // by an update that takes rows.
  bool give_rows(Node& grad, ValueId dx, const Text& text) {
    std::size_t at = 0;
    Node* const update = find_update(dx, text.ids, at);
    if (count_uses(dx) != (update == nullptr ? 0 : 1)) return false;
    const ValueId named = name_rows(grad, dx, text);
    if (update != nullptr) update->in[at - 1] = named;
    return true;
  }
  ValueId name_rows(Node& grad, ValueId dx, const Text& text) {
    Spec& spec = graph_.values[dx].spec;
    const auto named = static_cast<ValueId>(graph_.values.size());
    spec.shape = {text.words, spec.shape.back()};
    Value value = graph_.values[dx];
    value.spec = {DType::i32, {text.words}};
    graph_.values.push_back(std::move(value));
    grad.out.push_back(named);
    return named;
  }

  // Two readers, as of the two directions of a text: the update sums their gradients. It then takes
  // the rows of both, one list behind the other.
  void join_gradients(const Text& text) {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (graph_.nodes[i].op->name != "add") continue;
      const std::vector<ValueId> terms = graph_.nodes[i].in;
      const ValueId sum = graph_.nodes[i].out[0];
      std::size_t at = 0;
      const Node* const update = find_update(sum, text.ids, at);
      if (update == nullptr || count_uses(sum) != 1 || terms[0] == terms[1] ||
          !gives_gradient(terms[0], text) || !gives_gradient(terms[1], text))
        continue;
      const auto place = static_cast<std::size_t>(update - graph_.nodes.data());
      ValueId named[2];
      for (const int k : {0, 1}) {
        Node& grad = *rewrite_.maker(terms[k]);
        named[k] = name_rows(grad, terms[k], text);
        read_words(grad, *find_reader(grad), text);
      }
      const Attrs rows{{"axis", std::int64_t{0}}};
      const ValueId ids = rewrite_.emit_before(place, "concat", {named[0], named[1]}, rows);
      const ValueId all = rewrite_.emit_before(place, "concat", {terms[0], terms[1]}, rows);
      graph_.nodes[place].in[at - 1] = ids;
      graph_.nodes[place].in[at] = all;
      rewrite_.drop(i);
    }
  }
  // Is this the gradient of x, from a reader that may read words, and read once?
  bool gives_gradient(ValueId dx, const Text& text) {
    const Node* const node = rewrite_.maker(dx);
    const Reader* const reader = node == nullptr ? nullptr : find_reader(*node);
    return reader != nullptr && reader->dx != kNoPosition && node->out[reader->dx] == dx &&
           count_uses(dx) == 1 && may_read(*node, *reader, text);
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
