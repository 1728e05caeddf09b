// The gated recurrent unit over whole sequences; see rnn.h.
//
// Gates lie in the order z (update), r (reset), h (candidate). `reset_after` says whether the reset
// gate multiplies the candidate's recurrent product or the state that enters it. A fourth gate is
// kept for the backward pass when it multiplies the product: the product itself.
#pragma once

#include "kernels/rnn.h"

namespace lamina {

inline constexpr Dim kGruGates = 3;
constexpr Dim gru_kept_gates(bool reset_after) { return reset_after ? 4 : 3; }

template <class T>
struct GruForward {
  RnnShape shape;
  RnnOptions options;
  bool reset_after;
  const T* x;                // [batch, steps, features]; with words: the table [rows, features]
  const Distinct* words;     // the rows of the table that the steps read; null: no table
  const T* kernel;           // [features, 3 * units]
  const T* recurrent;        // [units, 3 * units]
  const T* bias;             // [3 * units], of the input's product
  const T* recurrent_bias;   // [3 * units], of the recurrent product; null: none
  const T* h0;               // [batch, units]
  const bool* mask;          // [batch, steps]; false: the step leaves the state alone
  const T* recurrent_masks;  // [3, batch, units]; multiply h on its way into each gate's product
  T* y;                      // [batch, steps, units] or [batch, units]
  T* h_last;                 // [batch, units]
  // Kept, at the place of the input step they belong to.
  T* gates;   // [places, kept gates, units]
  T* before;  // [places, units]: h before the step
};

template <class T>
struct GruBackward {
  RnnShape shape;
  RnnOptions options;
  bool reset_after;
  const T* x;             // as in the forward pass
  const Distinct* words;  // null: no table
  const T* kernel;
  const T* recurrent;
  const T* gates;
  const T* before;
  const bool* mask;
  const T* recurrent_masks;
  const T* dy;
  const T* dh_last;
  // [places, kept gates, units], may be `gates`: the gradient of the three parts before their
  // activations; with reset_after, of the recurrent product's three parts, then of the candidate
  // before its activation.
  T* dz;
  // Null: not wanted.
  T* dh0;
  T* dx;               // like x; with words: of the distinct rows, one after the other, then zeros
  T* dkernel;          // [features, 3 * units]
  T* drecurrent;       // [units, 3 * units]
  T* dbias;            // [3 * units], of the input's product
  T* drecurrent_bias;  // [3 * units], of the recurrent product; null with the reset gate before
};

template <class T>
std::size_t gru_forward_scratch(const RnnShape& shape, bool keeps);
template <class T>
std::size_t gru_backward_scratch(const RnnShape& shape, bool reset_after);

template <class T>
void gru_forward(const GruForward<T>& call, std::byte* scratch);
template <class T>
void gru_backward(const GruBackward<T>& call, std::byte* scratch);

}  // namespace lamina
