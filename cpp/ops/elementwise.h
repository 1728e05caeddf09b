// What all elementwise families share: one bind for every way operands broadcast, and templates
// that turn a function object of kernels/ into an op record. Internal to cpp/ops and cpp/graph.
#pragma once

#include "kernels/elementwise.h"
#include "ops/op.h"

namespace lamina {

// Most operands that bind_elementwise takes (a fused chain must stay below it).
constexpr std::size_t kMaxOperands = 16;

// Runs `tile` over output 0, whatever way the inputs broadcast to it: operands that do not have the
// output's shape are spread, a block at a time, into buffers on the stack. In parallel when the
// work (`cost` per element) is worth it; the partition does not depend on the threads.
Bound bind_elementwise(const BindArgs& a, Tile tile, double cost);

// Elements per parallel chunk for a given work per element: a multiple of every vector width.
std::int64_t elementwise_grain(double cost);

// ---- Shape rules.
std::vector<Spec> infer_unary_floating(const InferArgs& a);  // one floating operand, same spec out
std::vector<Spec> infer_unary_number(const InferArgs& a);    // any dtype but bool
std::vector<Spec> infer_unary_any(const InferArgs& a);
std::vector<Spec> infer_binary_floating(const InferArgs& a);  // one dtype, shapes broadcast
std::vector<Spec> infer_binary_number(const InferArgs& a);

template <class F>
constexpr double cost_of() {
  if constexpr (requires { F::kCost; })
    return F::kCost;
  else
    return 1;
}

// ---- Tiles of a function object, for every element type or for the floating ones.
template <class T, class F, std::size_t... I>
Tile make_tile(const F& f, std::index_sequence<I...>) {
  return [f](void* const* ins, void* out, std::int64_t n) {
    apply<T>(static_cast<T*>(out), n, f, static_cast<const T*>(ins[I])...);
  };
}
template <std::size_t kInputs, class F>
Tile floating_tile(DType dtype, const F& f) {
  return with_float(dtype, [&](auto tag) {
    return make_tile<decltype(tag)>(f, std::make_index_sequence<kInputs>{});
  });
}

// Attributes reach the function object through a free function `F make(const Attrs&)`.
template <class F>
F plain(const Attrs&) {
  return F{};
}

template <std::size_t kInputs, class F, F (*make)(const Attrs&)>
Tile tile_of(const BindArgs& a) {
  return floating_tile<kInputs>(a.out[0].dtype, make(a.attrs));
}
template <std::size_t kInputs, class F, F (*make)(const Attrs&)>
Bound bind_of(const BindArgs& a) {
  return bind_elementwise(a, tile_of<kInputs, F, make>(a), cost_of<F>());
}

using Vjp = Grads (*)(Builder&, const VjpArgs&);

// The record of an op of one floating operand, and of two that broadcast.
template <class F, F (*make)(const Attrs&) = plain<F>>
OpDef floating_unary(std::string_view name, Vjp vjp) {
  return {.name = name,
          .traits = kElementwise | kInPlace,
          .infer = infer_unary_floating,
          .bind = bind_of<1, F, make>,
          .vjp = vjp,
          .tile = tile_of<1, F, make>};
}
template <class F, F (*make)(const Attrs&) = plain<F>>
OpDef floating_binary(std::string_view name, Vjp vjp) {
  return {.name = name,
          .traits = kElementwise | kInPlace,
          .infer = infer_binary_floating,
          .bind = bind_of<2, F, make>,
          .vjp = vjp,
          .tile = tile_of<2, F, make>};
}

// ---- For gradient rules of two operands: undo the broadcast of input i.
inline ValueId sum_to_input(Builder& b, const VjpArgs& a, std::size_t i, ValueId d) {
  return b.sum_to(d, Shape(b.shape(a.in[i])));  // a copy: emitting moves the specs
}

}  // namespace lamina
