// What the recurrent ops share: reading their attributes and checking their operands.
#pragma once

#include <optional>

#include "kernels/rnn.h"
#include "kernels/rnn_slices.h"
#include "ops/op.h"

namespace lamina {

inline CellActivation read_activation(const Attrs& attrs, const char* name, const char* fallback) {
  const std::string value = attr_str(attrs, name, fallback);
  if (const auto kind = cell_activation_named(value)) return *kind;
  const std::string near = nearest_name(value, cell_activation_names());
  std::string allowed;
  for (const std::string& n : cell_activation_names()) allowed += (allowed.empty() ? "" : ", ") + n;
  throw Error(std::string(name) + " must be one of " + allowed + ", got '" + value + "'" +
              (near.empty() ? "" : ". Did you mean '" + near + "'?"));
}

inline RnnOptions read_options(const Attrs& attrs) {
  RnnOptions o;
  o.activation = read_activation(attrs, "activation", "tanh");
  o.recurrent_activation = read_activation(attrs, "recurrent_activation", "sigmoid");
  o.return_sequences = attr_bool(attrs, "return_sequences", false);
  o.go_backwards = attr_bool(attrs, "go_backwards", false);
  o.zero_masked_output = attr_bool(attrs, "zero_output_for_mask", false);
  return o;
}

// The shape must be `wanted`; unknown sizes agree with all.
inline void require_shape(const Spec& spec, const Shape& wanted, const char* operand,
                          const char* meaning) {
  bool same = spec.shape.size() == wanted.size();
  for (std::size_t i = 0; same && i < wanted.size(); ++i)
    same = dim_merge(spec.shape[i], wanted[i]) != -2;
  if (!same)
    shape_error(std::string(operand) + " must have shape " + meaning + " = " + to_string(wanted) +
                ", got " + to_string(spec.shape));
}

inline void require_mask(const Spec& mask) {
  if (mask.dtype != DType::boolean)
    type_error(std::string("the mask must be bool, got ") + dtype_name(mask.dtype));
}

// A rough count; an activation counts as 20 operations.
inline double step_flops(const RnnShape& s, Dim gates, Dim inputs) {
  const double rows = static_cast<double>(s.batch) * static_cast<double>(s.steps);
  const double wide = static_cast<double>(gates * s.units);
  return rows * wide * (2.0 * static_cast<double>(inputs) + 20.0);
}

// Where an operand lies that the node does not have.
inline constexpr std::size_t kNoOperand = ~std::size_t{0};

template <class T>
const T* input_or_null(const Run& r, std::size_t at) {
  return at == kNoOperand ? nullptr : r.in<T>(at);
}
template <class T>
T* output_or_null(const Run& r, std::size_t at) {
  return at == kNoOperand ? nullptr : r.out<T>(at);
}

// ---- Words: with `has_words` a node reads rows of a table, named by ids [batch, steps], where it
// would read x. The graph pass `fuse` makes such nodes of an embedding and its readers.
inline Dim most_words(Dim places, Dim rows) {
  return places == kUnknown || rows == kUnknown ? kUnknown : Distinct::most(places, rows);
}

// The shape [batch, steps, features] of what the node reads, given its operand x and its words.
inline Shape sequence_shape(const InferArgs& a, std::size_t x, std::size_t words) {
  if (words == kNoOperand) {
    require_rank(a[x], 3, "x (batch, steps, features)");
    return a[x].shape;
  }
  require_rank(a[x], 2, "the table");
  require_integer(a[words], "the words");
  require_rank(a[words], 2, "the words (batch, steps)");
  return {a[words].shape[0], a[words].shape[1], a[x].shape[1]};
}

// For OpDef::index_ranges: the words must name rows of the table.
inline std::vector<std::pair<std::size_t, Dim>> word_ranges(const InferArgs& a, std::size_t x,
                                                            std::size_t words) {
  if (words == kNoOperand) return {};
  return {{words, a[x].shape[0]}};
}

// A vjp rule treats words as the embedding they stand for: `fuse` may join the two again.
inline ValueId lay_out(Builder& b, ValueId x, const VjpArgs& v, std::size_t words) {
  return words == kNoOperand ? x : b.emit("embedding", {x, v.in[words]});
}
inline ValueId gather_up(Builder& b, ValueId dx, const VjpArgs& v, std::size_t x,
                         std::size_t words) {
  if (words == kNoOperand) return dx;
  return b.emit("embedding_grad", {v.in[words], dx}, {{"rows", b.shape(v.in[x])[0]}});
}

// At bind and run time.
class Words {
 public:
  Words(std::span<const Spec> in, std::size_t x, std::size_t at) : at_(at) {
    if (at == kNoOperand) return;
    rows_ = in[x].shape[0];
    batch_ = in[at].shape[0];
    steps_ = in[at].shape[1];
    dtype_ = in[at].dtype;
  }
  Dim rows() const { return rows_; }
  Dim most() const { return at_ == kNoOperand ? 0 : Distinct::most(places(), rows_); }
  std::size_t bytes() const { return at_ == kNoOperand ? 0 : Distinct::bytes(places(), rows_); }

  // The distinct words of this run, if the node has words, at the places in the order of work. One
  // out of range is noted.
  std::optional<Distinct> find(const Run& r, std::byte* memory) const {
    if (at_ == kNoOperand) return std::nullopt;
    Distinct distinct(memory, places(), rows_);
    with_index(dtype_, [&](auto tag) {
      const auto* ids = r.in<decltype(tag)>(at_);
      rnn::PlacesInOrder order(batch_, steps_);
      distinct.build([&](Dim) -> Dim {
        const auto id = static_cast<Dim>(ids[order.next()]);
        if (id >= 0 && id < rows_) return id;
        r.failure->note("index %lld is out of range", static_cast<long long>(id));
        return 0;
      });
    });
    return distinct;
  }

 private:
  Dim places() const { return batch_ * steps_; }

  std::size_t at_;
  Dim rows_ = 0, batch_ = 0, steps_ = 0;
  DType dtype_ = DType::i32;
};

// From the shape [batch, steps, gates, units] of the gates.
inline RnnShape gates_shape(const Shape& gates, Dim features, const Words& words) {
  return {gates[0], gates[1], features, gates[3], words.rows()};
}

// The table's gradient goes to the update as rows: of which words, -1 where there is none.
inline void write_words(const Distinct& distinct, Dim most, std::int32_t* out) {
  for (Dim slot = 0; slot < most; ++slot)
    out[slot] = slot < distinct.count() ? static_cast<std::int32_t>(distinct.value(slot)) : -1;
}

}  // namespace lamina
