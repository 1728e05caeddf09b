// What the passes over a sequence share: rows, slices of the batch, scratch. Internal to the
// recurrent kernels.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/rnn_cells.h"

namespace lamina::rnn {

// ---- Rows.
template <class T>
void copy_row(T* to, const T* from, Dim n) {
  std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
}
template <class T>
void zero_row(T* to, Dim n) {
  std::memset(to, 0, static_cast<std::size_t>(n) * sizeof(T));
}
template <class T>
void copy_or_zero(T* to, const T* from, Dim n) {
  if (from != nullptr) {
    copy_row(to, from, n);
  } else {
    zero_row(to, n);
  }
}
template <class T>
void add_row(T* to, const T* term, Dim n) {
  apply<T>(
      to, n, [](Vec<T> a, Vec<T> b) { return a + b; }, to, term);
}
template <class T>
void multiply_row(T* to, const T* a, const T* b, Dim n) {
  apply<T>(
      to, n, [](Vec<T> p, Vec<T> q) { return p * q; }, a, b);
}

// ---- Slices of the batch and their scratch.
// Fill the register tile of the product; few, so that threads share evenly.
constexpr Dim kSliceRows = 8;
constexpr Dim kProjectedSteps = 28;  // steps projected at once: a few tiles of the product

// The batch in slices of nearly equal size. Depends on the batch only.
struct Slices {
  explicit Slices(Dim batch) : batch(batch), count((batch + kSliceRows - 1) / kSliceRows) {}
  Dim begin(Dim slice) const { return batch * slice / count; }
  Dim end(Dim slice) const { return batch * (slice + 1) / count; }
  Dim batch, count;
};

constexpr std::size_t kAlign = 64;
template <class T>
std::size_t aligned_bytes(Dim elements) {
  return (static_cast<std::size_t>(elements) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
}

// Hands out pieces of a block of memory; with no block, measures.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* take(Dim elements) {
    std::byte* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += aligned_bytes<T>(elements);
    return reinterpret_cast<T*>(piece);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

// body(activations) with the usual pair compiled in, or the chosen one.
template <class T, class Body>
void with_activations(const RnnOptions& o, bool gated, const Body& body) {
  const RnnOptions usual;
  if (o.activation == usual.activation &&
      (!gated || o.recurrent_activation == usual.recurrent_activation)) {
    body(UsualActivations<T>{});
  } else {
    body(ChosenActivations<T>{o.activation, o.recurrent_activation});
  }
}

}  // namespace lamina::rnn
