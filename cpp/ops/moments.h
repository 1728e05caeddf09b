// The statistics of columns, as the ops that need them compute and differentiate them.
#pragma once

#include "base/parallel.h"
#include "kernels/moments.h"
#include "ops/op.h"

namespace lamina {

// A tensor as rows of channels.
struct Columns {
  Dim rows, channels;
  explicit Columns(const Shape& shape)
      : rows(dim_product(std::span(shape).first(shape.size() - 1))), channels(shape.back()) {}
  double elements() const { return static_cast<double>(rows) * static_cast<double>(channels); }
  kernels::ColumnSlices slices() const { return {rows, channels}; }
  // Slices that one chunk of a parallel pass takes.
  Dim grain() const {
    constexpr Dim kGrain = 32768;  // elements
    return kGrain * slices().count() / (rows * channels + 1) + 1;
  }
};

// Mean and variance in one parallel pass.
template <class T>
class MomentsPass {
 public:
  explicit MomentsPass(const Columns& columns)
      : slices_(columns.slices()), moments_(slices_), grain_(columns.grain()) {}

  std::size_t scratch_bytes() const {
    return sums_bytes() + static_cast<std::size_t>(moments_.kept()) * sizeof(T);
  }
  // Either result may be null.
  void run(const T* x, T* mean, T* variance, std::byte* scratch) const {
    T* const kept = reinterpret_cast<T*>(scratch + sums_bytes());
    parallel_for(slices_.count(), grain_, [&](Dim begin, Dim end) {
      for (Dim i = begin; i < end; ++i) moments_.run(x, i, kept);
    });
    moments_.join(x, kept, reinterpret_cast<double*>(scratch), mean, variance);
  }

 private:
  std::size_t sums_bytes() const {
    return 2 * static_cast<std::size_t>(slices_.columns()) * sizeof(double);
  }
  kernels::ColumnSlices slices_;
  kernels::MomentSlices moments_;
  Dim grain_;
};

// dx of the statistics; a gradient may be kNoValue.
ValueId moments_gradient(Builder& b, ValueId x, ValueId mean, ValueId d_mean, ValueId d_variance);

}  // namespace lamina
