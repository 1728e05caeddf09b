// Recurrent layers over whole sequences. Rows of the batch are independent: a slice of them runs
// through all steps on one thread, without a barrier in either direction.
//
// Inputs and outputs are batch-major ([batch, steps, ...]). What the forward pass keeps for the
// backward pass ("kept" below) lies in the order of work, slice after slice, in each of them step
// after step of its rows: what a step reads or writes is one piece, and so is a block of steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/distinct.h"
#include "lamina/types.h"

namespace lamina {

// Activations whose derivative is a function of their result: all that the backward pass keeps.
enum class CellActivation : std::uint8_t {
  linear,
  relu,
  sigmoid,
  tanh,
  hard_sigmoid,
  softsign,
  softplus,
  elu
};
std::optional<CellActivation> cell_activation_named(std::string_view name);
const std::vector<std::string>& cell_activation_names();

struct RnnShape {
  Dim batch = 0, steps = 0, features = 0, units = 0;
  Dim table = 0;  // rows of the table that steps read by their words; 0: none
  Dim places() const { return batch * steps; }
};

struct RnnOptions {
  CellActivation activation = CellActivation::tanh;
  CellActivation recurrent_activation = CellActivation::sigmoid;  // of an LSTM's gates
  bool return_sequences = false;
  bool go_backwards = false;        // the last input first; outputs in the order of processing
  bool zero_masked_output = false;  // a masked step puts out zeros, not the previous output
};

// `gates` is 4 for an LSTM (in the order i, f, c, o) and 1 for a simple cell. Null: an input that
// is not there, an output that nobody wants.
template <class T>
struct RnnForward {
  RnnShape shape;
  RnnOptions options;
  const T* x;                // [batch, steps, features]; with words: the table [rows, features]
  const Distinct* words;     // the rows of the table that the steps read; null: no table
  const T* kernel;           // [features, gates * units]
  const T* recurrent;        // [units, gates * units]
  const T* bias;             // [gates * units]
  const T* h0;               // [batch, units]
  const T* c0;               // [batch, units]; LSTM only
  const bool* mask;          // [batch, steps]; false: the step leaves the state alone
  const T* recurrent_masks;  // [gates, batch, units]; multiply h on its way into every step
  T* y;                      // [batch, steps, units] or [batch, units]
  T* h_last;                 // [batch, units]
  T* c_last;                 // [batch, units]; LSTM only
  // Kept, at the place of the input step they belong to.
  T* gates;   // [places, gates, units]: activated
  T* cells;   // [places, units]: c after the step; LSTM only
  T* inputs;  // [places, units]: h before the step, without masks
};

template <class T>
struct RnnBackward {
  RnnShape shape;
  RnnOptions options;
  const T* x;             // as in the forward pass
  const Distinct* words;  // null: no table
  const T* kernel;
  const T* recurrent;
  const T* gates;
  const T* cells;
  const T* inputs;
  const T* c0;
  const bool* mask;
  const T* recurrent_masks;
  const T* dy;
  const T* dh_last;
  const T* dc_last;
  T* dz;  // [places, gates, units]: gradient before the activations; may be `gates`
  // Null: not wanted.
  T* dh0;
  T* dc0;         // LSTM only
  T* dx;          // like x; with words: of the distinct rows, one after the other, then zeros
  T* dkernel;     // [features, gates * units]
  T* drecurrent;  // [units, gates * units]
  T* dbias;       // [gates * units]
};

// Bytes of scratch (64-byte aligned) that a call needs, the same for float and double aside from
// the element size. `keeps`: for the backward pass.
template <class T>
std::size_t rnn_forward_scratch(const RnnShape& shape, Dim gates, bool keeps);
template <class T>
std::size_t rnn_backward_scratch(const RnnShape& shape, Dim gates);

template <class T>
void lstm_forward(const RnnForward<T>& call, std::byte* scratch);
template <class T>
void lstm_backward(const RnnBackward<T>& call, std::byte* scratch);
template <class T>
void simple_rnn_forward(const RnnForward<T>& call, std::byte* scratch);
template <class T>
void simple_rnn_backward(const RnnBackward<T>& call, std::byte* scratch);

}  // namespace lamina
