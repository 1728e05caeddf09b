// The order of work in a recurrent layer: slices of the batch, and in each of them step after step
// of its rows. In this order lies what the forward pass keeps for the backward pass.
#pragma once

#include <algorithm>

#include "lamina/types.h"

namespace lamina::rnn {

// Fill the register tile of the product; few, so that threads share evenly.
constexpr Dim kSliceRows = 8;

// Rows [first, first + rows) of the batch.
struct Slice {
  Dim first, rows;
  // Where a step of one of the rows is kept.
  Dim kept(Dim row, Dim t, Dim steps) const { return first * steps + t * rows + row; }
  // Where it lies in a batch-major sequence.
  Dim place(Dim row, Dim t, Dim steps) const { return (first + row) * steps + t; }
};

// The batch in slices of nearly equal size. Depends on the batch only.
struct Slices {
  explicit Slices(Dim batch) : batch(batch), count((batch + kSliceRows - 1) / kSliceRows) {}
  Dim begin(Dim i) const { return batch * i / count; }
  Slice operator[](Dim i) const { return {begin(i), begin(i + 1) - begin(i)}; }
  Dim batch, count;
};

// The batch-major places of the steps, in the order of work.
class PlacesInOrder {
 public:
  PlacesInOrder(Dim batch, Dim steps) : slices_(batch), steps_(steps) {
    if (batch > 0) slice_ = slices_[0];
  }
  Dim next() {
    const Dim place = slice_.place(row_, t_, steps_);
    if (++row_ == slice_.rows) {
      row_ = 0;
      if (++t_ == steps_) {
        t_ = 0;
        if (++number_ < slices_.count) slice_ = slices_[number_];
      }
    }
    return place;
  }

 private:
  Slices slices_;
  Slice slice_{};
  Dim steps_, number_ = 0, t_ = 0, row_ = 0;
};

// The steps of a slice in blocks of nearly equal size, at most `places` of rows and steps each.
struct StepBlocks {
  StepBlocks(Dim steps, Dim rows, Dim places)
      : steps(steps), count(std::max<Dim>(1, (steps * rows + places - 1) / places)) {}
  Dim begin(Dim i) const { return steps * i / count; }
  Dim steps, count;
};

}  // namespace lamina::rnn
