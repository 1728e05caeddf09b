#include "kernels/conv_disjoint.h"

#include <algorithm>

#include "base/parallel.h"

namespace lamina::disjoint {
namespace {

constexpr double kPartWork = 3e5;  // multiply-adds worth handing to another thread

// The cells under one row of the kernel, that of one output.
Dim run(const ConvShape& s) { return s.kernel[2] * s.in_c; }
Dim kernel_rows(const ConvShape& s) { return s.kernel[0] * s.kernel[1]; }

}  // namespace

bool suits(const ConvShape& s) {
  for (std::size_t axis = 0; axis < 3; ++axis)
    if (s.kernel[axis] != s.stride[axis] || s.dilation[axis] != 1 || s.pad[axis] != 0 ||
        s.in[axis] != s.out[axis] * s.kernel[axis])
      return false;
  return s.groups == 1 && s.positions() > 1;
}

template <class T>
void turn_weights(const ConvShape& s, const T* w, T* turned) {
  const Dim cells = run(s), filters = s.out_c;
  parallel_for(kernel_rows(s) * filters, std::max<Dim>(1, 32768 / std::max<Dim>(1, cells)),
               [&](Dim begin, Dim end) {
                 for (Dim i = begin; i < end; ++i) {
                   const T* const from = w + i / filters * cells * filters + i % filters;
                   for (Dim c = 0; c < cells; ++c) turned[i * cells + c] = from[c * filters];
                 }
               });
}

Dim scratch(const ConvShape& s) { return run(s); }

template <class T>
void input_grad(const ConvShape& s, const T* dy, const T* turned, T* dx, const Epilogue<T>& e,
                T* scratch) {
  const Dim cells = run(s), filters = s.out_c, rows = s.batch * s.out[0] * s.out[1];
  Epilogue<T> spread = e;
  if (e.bias != nullptr) {
    for (Dim i = 0; i < cells; ++i) scratch[i] = e.bias[i % s.in_c];
    spread.bias = scratch;
  }
  const double work = s.multiply_adds() / static_cast<double>(rows + 1);
  const auto grain = static_cast<Dim>(kPartWork / (work + 1));
  const Dim in_row = s.in[2] * s.in_c;
  parallel_for(rows, std::max<Dim>(1, grain), [&](Dim begin, Dim end) {
    for (Dim row = begin; row < end; ++row) {
      const Dim plane = row / s.out[1], h = row % s.out[1];  // planes counted through all images
      for (Dim k = 0; k < kernel_rows(s); ++k) {
        const Dim to =
            (plane * s.kernel[0] + k / s.kernel[1]) * s.in[1] + h * s.kernel[1] + k % s.kernel[1];
        gemm_serial<T>(s.out[2], cells, filters, dy + row * s.out[2] * filters, filters, 1,
                       turned + k * cells * filters, cells, 1, dx + to * in_row, cells, spread);
      }
    }
  });
}

#define LAMINA_INSTANTIATE(T)                                    \
  template void turn_weights<T>(const ConvShape&, const T*, T*); \
  template void input_grad<T>(const ConvShape&, const T*, const T*, T*, const Epilogue<T>&, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina::disjoint
