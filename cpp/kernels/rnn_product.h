// The product of a step: the few rows of a slice with packed weights, while memory that the next
// steps want is on its way. Asked for all at once, it would keep the processor waiting; line by
// line between the multiplications it costs nothing.
#pragma once

#include "kernels/gemm.h"
#include "kernels/rnn_slices.h"

namespace lamina::rnn {

// Pieces of memory that are wanted soon.
template <class T>
class Wanted {
 public:
  struct Piece {
    const T* begin;
    Dim lines;
  };
  static constexpr Dim kLine = 64 / Dim{sizeof(T)};

  void add(const T* begin, Dim elements) {
    pieces_[count_++] = {begin, (elements + kLine - 1) / kLine};
    lines_ += pieces_[count_ - 1].lines;
  }
  Dim lines() const { return lines_; }
  const Piece* begin() const { return pieces_; }
  const Piece* end() const { return pieces_ + count_; }

 private:
  static constexpr int kMost = kSliceRows + 3;
  Piece pieces_[kMost];
  int count_ = 0;
  Dim lines_ = 0;
};

// C[rows, n] = A[rows, k] B as gemm_packed_serial computes it, B packed by pack_b; continues from C
// if `accumulate`. `turned`: few rows may go from the last columns to the first, to begin with the
// weights that the step before has left in the nearest cache.
template <class T>
void multiply_step(Dim rows, Dim n, Dim k, const T* a, Dim a_row, const T* packed, T* c, Dim ldc,
                   const T* bias, bool accumulate, bool turned, const Wanted<T>& wanted);

}  // namespace lamina::rnn
