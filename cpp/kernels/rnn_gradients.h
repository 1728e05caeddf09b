// The gradients of a recurrent layer's inputs, kernels and biases: large products of dz, the
// gradient before the activations that the pass over the steps has left.
#pragma once

#include "kernels/rnn.h"

namespace lamina {

template <class T>
struct RnnGradients {
  RnnShape shape;
  Dim gates;  // of the kernels
  Dim kept;   // of dz. One more: the input's product has the last one instead of the one before it
  const T* dz;            // [batch, steps, kept, units]
  const T* x;             // [batch, steps, features]; with words: the table [rows, features]
  const Distinct* words;  // null: no table
  const T* kernel;        // [features, gates * units]
  const T* before;        // [batch, steps, units]: h before the step
  const T* let_in;        // the same behind the reset gate, for the last gate; null: no such gate
  const T* recurrent_masks;  // [gates, batch, units]; may be null
  // Null: not wanted.
  T* dx;               // like x; with words: of the distinct rows, one after the other, then zeros
  T* dkernel;          // [features, gates * units]
  T* drecurrent;       // [units, gates * units]
  T* dbias;            // [gates * units], of the input's product
  T* drecurrent_bias;  // [gates * units], of the recurrent product
};

template <class T>
std::size_t rnn_gradients_scratch(const RnnShape& shape, Dim gates, Dim kept, bool masked);
template <class T>
void rnn_gradients(const RnnGradients<T>& call, std::byte* scratch);

}  // namespace lamina
