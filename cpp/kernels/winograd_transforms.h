// The one-dimensional transforms of Winograd's convolution F(4, 3): 4 outputs of 3 taps from 6
// inputs with 6 products instead of 12, by interpolation. In two dimensions each is applied along
// the columns and along the rows: 36 products give the 16 outputs of a tile, which takes 144
// directly.
//
//   y = output( kernel(g) * input(d) ), and for the gradient of the weights
//   dg = kernel_grad( input(d) * output_grad(dy) ): the transposes of `kernel` and `output`.
//
// The points are 0, infinity and two pairs +-a, +-b. Pairs let sums and differences be shared. With
// 5/8 and 3/2 the results have half the error that the usual 1 and 2 give, for as many operations:
// the powers of the points stay near 1, and all coefficients of `input` and `output` are exact.
//
// V is a vector over channels; nothing crosses its lanes.
#pragma once

#include "kernels/vec.h"

namespace lamina::winograd {

constexpr int kOut = 4;               // outputs of a tile in each direction
constexpr int kIn = kOut + 2;         // inputs that they read
constexpr int kProducts = kIn * kIn;  // of a tile and a pair of channels

constexpr float kA = 0.625f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB;
// What the kernel's values at a point are divided by: the product of the distances to the others.
constexpr float kAt0 = kA2 * kB2, kAtA = 2 * kA2 * (kA2 - kB2), kAtB = 2 * kB2 * (kB2 - kA2);

using V = Vec<float>;

LAMINA_INLINE void input(const V (&d)[kIn], V (&t)[kIn]) {
  const V even_a = d[4] - kB2 * d[2], odd_a = d[3] - kB2 * d[1];
  const V even_b = d[4] - kA2 * d[2], odd_b = d[3] - kA2 * d[1];
  t[0] = kA2 * kB2 * d[0] + (d[4] - (kA2 + kB2) * d[2]);
  t[1] = even_a + kA * odd_a;
  t[2] = even_a - kA * odd_a;
  t[3] = even_b + kB * odd_b;
  t[4] = even_b - kB * odd_b;
  t[5] = kA2 * kB2 * d[1] + (d[5] - (kA2 + kB2) * d[3]);
}

LAMINA_INLINE void output(const V (&m)[kIn], V (&y)[kOut]) {
  const V even_a = m[1] + m[2], odd_a = m[1] - m[2];
  const V even_b = m[3] + m[4], odd_b = m[3] - m[4];
  y[0] = m[0] + even_a + even_b;
  y[1] = kA * odd_a + kB * odd_b;
  y[2] = kA2 * even_a + kB2 * even_b;
  y[3] = kA2 * kA * odd_a + (kB2 * kB * odd_b + m[5]);
}

LAMINA_INLINE void output_grad(const V (&y)[kOut], V (&m)[kIn]) {
  const V even_a = y[0] + kA2 * y[2], odd_a = y[1] + kA2 * y[3];
  const V even_b = y[0] + kB2 * y[2], odd_b = y[1] + kB2 * y[3];
  m[0] = y[0];
  m[1] = even_a + kA * odd_a;
  m[2] = even_a - kA * odd_a;
  m[3] = even_b + kB * odd_b;
  m[4] = even_b - kB * odd_b;
  m[5] = y[3];
}

LAMINA_INLINE void kernel(const V (&g)[3], V (&u)[kIn]) {
  const V even_a = (g[0] + kA2 * g[2]) * (1 / kAtA), even_b = (g[0] + kB2 * g[2]) * (1 / kAtB);
  u[0] = g[0] * (1 / kAt0);
  u[1] = even_a + kA / kAtA * g[1];
  u[2] = even_a - kA / kAtA * g[1];
  u[3] = even_b + kB / kAtB * g[1];
  u[4] = even_b - kB / kAtB * g[1];
  u[5] = g[2];
}

LAMINA_INLINE void kernel_grad(const V (&u)[kIn], V (&g)[3]) {
  const V even_a = (u[1] + u[2]) * (1 / kAtA), odd_a = u[1] - u[2];
  const V even_b = (u[3] + u[4]) * (1 / kAtB), odd_b = u[3] - u[4];
  g[0] = u[0] * (1 / kAt0) + (even_a + even_b);
  g[1] = kA / kAtA * odd_a + kB / kAtB * odd_b;
  g[2] = kA2 * even_a + (kB2 * even_b + u[5]);
}

}  // namespace lamina::winograd
