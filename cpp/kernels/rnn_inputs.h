// The projected inputs of the steps of a slice, the same for every kind of cell.
#pragma once

#include "kernels/rnn_rows.h"

namespace lamina::rnn {

// Runs all steps of a slice in order: run_step(step, z_at), where z_at(i, t) is the projected input
// of row i of the slice at time t. Those of distinct words lie at `projected` already; others are
// projected for a block of steps at once, with a kernel that is packed if `projects_unpacked` says
// no. A call is an RnnForward or a GruForward.
template <class T, class Call, class RunStep>
void run_projected(const Call& call, const Slice& slice, Dim wide, const T* packed_kernel,
                   T* projected, const RunStep& run_step) {
  const RnnShape& s = call.shape;
  if (call.words != nullptr) {
    for (Dim step = 0; step < s.steps; ++step)
      run_step(step, [&](Dim i, Dim t) {
        return projected + call.words->slot(slice.kept(i, t, s.steps)) * wide;
      });
    return;
  }
  const Dim block = projected_steps(s), n = s.features, ldz = slice.rows * wide;
  T* const z = projected_of(slice, s, wide, call.gates != nullptr, projected);
  for (Dim step = 0; step < s.steps; step += block) {
    const Dim count = std::min(block, s.steps - step);
    const Dim from = call.options.go_backwards ? s.steps - step - count : step;  // in time
    for (Dim i = 0; i < slice.rows; ++i) {
      const T* const x = call.x + slice.place(i, from, s.steps) * n;
      const Epilogue<T> e{.bias = call.bias};
      if (projects_unpacked(s))
        gemm_serial<T>(count, wide, n, x, n, 1, call.kernel, wide, 1, z + i * wide, ldz, e);
      else
        gemm_packed_serial<T>(count, wide, n, x, n, packed_kernel, z + i * wide, ldz, e);
    }
    for (Dim k = 0; k < count; ++k)
      run_step(step + k, [&](Dim i, Dim t) { return z + ((t - from) * slice.rows + i) * wide; });
  }
}

}  // namespace lamina::rnn
