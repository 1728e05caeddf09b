// The op record. Whoever asks about an op (what shape, may it write over its input, what is its
// gradient) reads its record; nobody switches on its name. One file per family holds the records.
#pragma once

#include <atomic>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>

#include "lamina/graph.h"

namespace lamina {

enum Trait : std::uint32_t {
  kElementwise = 1,  // output[i] depends on input[i] only (after broadcasting); has a tile function
  kInPlace = 2,      // output 0 may be written over an input of the same spec
  kView = 4,         // output 0 is input 0 with another shape: no work
  kRandom = 8,       // never merged with another node
  kCallsPython = 16,  // takes the GIL
  kPack = 32,         // inputs lie inside output 0 at packed_offsets(): no work once they do
  kUpdate = 64,       // output i replaces the state that is input i, in place (optimizers)
  kEpilogue = 128,    // can add a bias and apply `activation` to its result on the way
  kAnyDtype = 256,    // takes narrow dtypes as they are: it only moves elements, or converts them
};

// A failure found in the data while a step runs (an id out of range). The running plan does not
// throw: the first failure is noted, the kernel goes on with a harmless value, the step's state is
// not assigned, and the runner raises.
struct Failure {
  std::atomic<const char*> what{nullptr};  // static text with one %lld
  std::atomic<long long> value{0};
  void note(const char* text, long long v) {
    const char* none = nullptr;
    if (what.compare_exchange_strong(none, text)) value = v;
  }
};

// What a kernel gets: pointers only. Everything about shapes was settled by bind().
struct Run {
  void* const* ins;
  void* const* outs;
  std::byte* scratch;
  Failure* failure;
  template <class T>
  const T* in(std::size_t i) const {
    return static_cast<const T*>(ins[i]);
  }
  template <class T>
  T* out(std::size_t i) const {
    return static_cast<T*>(outs[i]);
  }
};
using Kernel = std::function<void(const Run&)>;
// Computes n contiguous elements; operands are already broadcast.
using Tile = std::function<void(void* const* ins, void* out, std::int64_t n)>;

struct InferArgs {
  std::span<const Spec> in;
  const Attrs& attrs;
  const Spec& operator[](std::size_t i) const {
    if (i >= in.size()) throw Error("takes more than " + std::to_string(in.size()) + " inputs");
    return in[i];
  }
};
struct BindArgs {
  std::span<const Spec> in, out;
  const Attrs& attrs;
  std::span<const bool> used;  // an output that nobody reads gets a null pointer in Run::outs
};
struct Bound {
  Kernel run;
  std::size_t scratch_bytes = 0;
  double flops = 0;  // a rough count: decides whether a step is worth a team of threads
  // For profiles: how much is read, where that is not every input once.
  std::optional<std::size_t> bytes_read = std::nullopt;
};
// One vjp call: fills d_in(i) for the inputs that are wanted.
struct VjpArgs {
  const Attrs& attrs;
  std::span<const ValueId> in, out, d_out;  // d_out[i] is kNoValue where no gradient arrives
  std::span<const bool> wanted;             // is d_in[i] needed?
};
using Grads = std::vector<ValueId>;  // one per input; kNoValue: none

struct OpDef {
  std::string_view name;
  std::uint32_t traits = 0;
  std::vector<Spec> (*infer)(const InferArgs&) = nullptr;  // throws ShapeError / TypeError / Error
  Bound (*bind)(const BindArgs&) = nullptr;
  Grads (*vjp)(Builder&, const VjpArgs&) = nullptr;  // null: not differentiable
  Tile (*tile)(const BindArgs&) = nullptr;           // with kElementwise
  // The inputs that hold indices into axis sizes known from the specs: pairs (input, exclusive
  // upper bound). Lets the trainer refuse bad ids before anything runs.
  std::vector<std::pair<std::size_t, Dim>> (*index_ranges)(const InferArgs&) = nullptr;
  bool has(Trait t) const { return (traits & t) != 0; }
};

// static const Register r{{.name = "relu", ...}};  at file scope of the family's file.
struct Register {
  Register(std::initializer_list<OpDef> ops);
};
const OpDef& find_op(std::string_view name);  // unknown: Error that suggests a near name
const OpDef* find_op_or_null(std::string_view name);
Bound bind(const OpDef& op, const BindArgs& args);  // complaints name the op, as infer()'s do

// ---- Attributes, read once, at infer and bind. A missing one without default is an Error.
bool attr_bool(const Attrs&, std::string_view name, bool fallback);
std::int64_t attr_int(const Attrs&, std::string_view name);
std::int64_t attr_int(const Attrs&, std::string_view name, std::int64_t fallback);
double attr_real(const Attrs&, std::string_view name, double fallback);  // takes integers too
std::string attr_str(const Attrs&, std::string_view name, std::string fallback);
std::vector<std::int64_t> attr_ints(const Attrs&,
                                    std::string_view name);  // a lone integer is a list of one
std::vector<std::int64_t> attr_ints(const Attrs&, std::string_view name,
                                    std::vector<std::int64_t> fallback);

// ---- Shape arithmetic that passes unknown through and throws ShapeError on overflow.
Dim dim_add(Dim a, Dim b);
Dim dim_mul(Dim a, Dim b);
Dim dim_floordiv(Dim a, Dim b);
Dim dim_product(std::span<const Dim> dims);               // unknown if one is
Dim dim_merge(Dim a, Dim b);                              // equal or one unknown; else -2
Shape broadcast(const Shape& a, const Shape& b);          // throws ShapeError with both shapes
int normalize_axis(std::int64_t axis, std::size_t rank);  // throws Error naming axis and rank
std::vector<int> normalize_axes(const std::vector<std::int64_t>& axes, std::size_t rank);  // sorted

// ---- Complaints: the Builder prefixes the op's name and its input specs.
[[noreturn]] void shape_error(const std::string& what);
[[noreturn]] void type_error(const std::string& what);
void require_floating(const Spec& spec, const char* operand);
void require_same_dtype(const Spec& a, const Spec& b);
void require_integer(const Spec& spec, const char* operand);
void require_rank(const Spec& spec, std::size_t rank, const char* operand);
void require_count(const InferArgs& a, std::size_t inputs);

// ---- dtype dispatch at bind time: with_float(dtype, [&](auto tag) { using T = decltype(tag); ...
// })
template <class F>
auto with_float(DType dtype, F f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::f64) return f(double{});
  type_error(std::string("needs float32 or float64, got ") + dtype_name(dtype));
}
template <class F>
auto with_index(DType dtype, F f) {
  if (dtype == DType::i32) return f(std::int32_t{});
  if (dtype == DType::i64) return f(std::int64_t{});
  type_error(std::string("needs int32 or int64, got ") + dtype_name(dtype));
}
template <class F>
auto with_any(DType dtype, F f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::boolean:
      return f(bool{});
    default:
      type_error(std::string("does not compute in ") + dtype_name(dtype));
  }
}

}  // namespace lamina
