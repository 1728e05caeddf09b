// The one-dimensional transforms of Winograd's convolution F(kOut, kTaps): kOut outputs of kTaps
// taps from kIn = kOut + kTaps - 1 inputs with kIn products instead of kOut * kTaps, by
// interpolation. In two dimensions each is applied along the columns and along the rows.
//
//   y = output( kernel(g) * input(d) ), and for the gradient of the weights
//   dg = kernel_grad( input(d) * output_grad(dy) ): the transposes of `kernel` and `output`.
//
// The points are 0, infinity and pairs +-p. Pairs let sums and differences be shared: what is even
// in the point is computed once for both, and so is what is odd.
//
// V is a vector over channels; nothing crosses its lanes.
#pragma once

#include <array>

#include "kernels/vec.h"

namespace lamina::winograd {

using V = Vec<float>;

// Two pairs: with 5/8 and 3/2 the results have half the error that the usual 1 and 2 give, for as
// many operations. Three: 1/2, 1 and 2 are as good as any. The powers of the points stay near 1,
// and all coefficients of `input` and `output` are exact.
template <int kPairs>
constexpr std::array<double, kPairs> points() {
  static_assert(kPairs == 2 || kPairs == 3);
  if constexpr (kPairs == 2) return {0.625, 1.5};
  if constexpr (kPairs == 3) return {0.5, 1, 2};
}

template <int kOutputs, int kKernel>
struct Interpolation {
  static constexpr int kOut = kOutputs, kTaps = kKernel, kIn = kOut + kTaps - 1;
  static constexpr int kPairs = (kIn - 2) / 2;
  static_assert(kIn % 2 == 0);
  static constexpr int kLast = kIn - 1;  // infinity; 0 comes first, +p and -p of pair i between
  static constexpr int plus(int i) { return 1 + 2 * i; }
  static constexpr int minus(int i) { return 2 + 2 * i; }

  static LAMINA_INLINE void input(const V (&d)[kIn], V (&t)[kIn]) {
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      V even = d[2 * kPairs], odd = d[2 * kPairs - 1];
#pragma GCC unroll 4
      for (int k = kPairs - 2; k >= 0; --k) {
        even += kOthers[i][k] * d[2 * k + 2];
        odd += kOthers[i][k] * d[2 * k + 1];
      }
      t[plus(i)] = even + kPower[i][1] * odd;
      t[minus(i)] = even - kPower[i][1] * odd;
    }
    t[0] = d[2 * kPairs];
    t[kLast] = d[2 * kPairs + 1];
#pragma GCC unroll 4
    for (int k = kPairs - 1; k >= 0; --k) {
      t[0] += kAll[k] * d[2 * k];
      t[kLast] += kAll[k] * d[2 * k + 1];
    }
  }

  static LAMINA_INLINE void output(const V (&m)[kIn], V (&y)[kOut]) {
    V even[kPairs], odd[kPairs];
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      even[i] = m[plus(i)] + m[minus(i)];
      odd[i] = m[plus(i)] - m[minus(i)];
    }
#pragma GCC unroll 8
    for (int j = 0; j < kOut; ++j) {
      y[j] = kPower[0][j] * (j % 2 == 0 ? even : odd)[0];
#pragma GCC unroll 4
      for (int i = 1; i < kPairs; ++i) y[j] += kPower[i][j] * (j % 2 == 0 ? even : odd)[i];
    }
    y[0] += m[0];
    y[kOut - 1] += m[kLast];
  }

  static LAMINA_INLINE void output_grad(const V (&y)[kOut], V (&m)[kIn]) {
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      V even = y[0], odd = y[1];
#pragma GCC unroll 8
      for (int j = 2; j < kOut; ++j) (j % 2 == 0 ? even : odd) += kPower[i][j / 2 * 2] * y[j];
      m[plus(i)] = even + kPower[i][1] * odd;
      m[minus(i)] = even - kPower[i][1] * odd;
    }
    m[0] = y[0];
    m[kLast] = y[kOut - 1];
  }

  static LAMINA_INLINE void kernel(const V (&g)[kTaps], V (&u)[kIn]) {
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      V even = kScaled[i][0] * g[0], odd = kScaled[i][1] * g[1];
#pragma GCC unroll 8
      for (int k = 2; k < kTaps; ++k) (k % 2 == 0 ? even : odd) += kScaled[i][k] * g[k];
      u[plus(i)] = even + odd;
      u[minus(i)] = even - odd;
    }
    u[0] = kAtZero * g[0];
    u[kLast] = g[kTaps - 1];
  }

  static LAMINA_INLINE void kernel_grad(const V (&u)[kIn], V (&g)[kTaps]) {
    V even[kPairs], odd[kPairs];
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      even[i] = u[plus(i)] + u[minus(i)];
      odd[i] = u[plus(i)] - u[minus(i)];
    }
#pragma GCC unroll 8
    for (int k = 0; k < kTaps; ++k) {
      g[k] = kScaled[0][k] * (k % 2 == 0 ? even : odd)[0];
#pragma GCC unroll 4
      for (int i = 1; i < kPairs; ++i) g[k] += kScaled[i][k] * (k % 2 == 0 ? even : odd)[i];
    }
    g[0] += kAtZero * u[0];
    g[kTaps - 1] += u[kLast];
  }

 private:
  static constexpr int kPowers = kOut > kTaps ? kOut : kTaps;
  template <class T, int kRows, int kColumns>
  using Table = std::array<std::array<T, kColumns>, kRows>;

  // The polynomial in z = x^2 whose roots are the squares of the pairs, but for pair `without`:
  // coefficients from the constant on.
  static constexpr std::array<double, kPairs + 1> polynomial(int without) {
    std::array<double, kPairs + 1> c{1};
    for (int i = 0; i < kPairs; ++i) {
      if (i == without) continue;
      const double square = points<kPairs>()[i] * points<kPairs>()[i];
      for (int k = kPairs; k >= 0; --k) c[k] = (k > 0 ? c[k - 1] : 0) - square * c[k];
    }
    return c;
  }

  static constexpr Table<float, kPairs, kPairs + 1> kOthers = [] {
    Table<float, kPairs, kPairs + 1> others{};
    for (int i = 0; i < kPairs; ++i)
      for (int k = 0; k <= kPairs; ++k) others[i][k] = static_cast<float>(polynomial(i)[k]);
    return others;
  }();
  static constexpr std::array<float, kPairs + 1> kAll = [] {
    std::array<float, kPairs + 1> all{};
    for (int k = 0; k <= kPairs; ++k) all[k] = static_cast<float>(polynomial(-1)[k]);
    return all;
  }();
  static constexpr Table<float, kPairs, kPowers> kPower = [] {
    Table<float, kPairs, kPowers> powers{};
    for (int i = 0; i < kPairs; ++i) {
      double power = 1;
      for (int k = 0; k < kPowers; ++k, power *= points<kPairs>()[i])
        powers[i][k] = static_cast<float>(power);
    }
    return powers;
  }();

  // The kernel's values at a point are divided by the product of its distances to the others.
  static constexpr float kAtZero = static_cast<float>(1 / polynomial(-1)[0]);
  static constexpr Table<float, kPairs, kTaps> kScaled = [] {
    Table<float, kPairs, kTaps> scaled{};
    for (int i = 0; i < kPairs; ++i) {
      const double p = points<kPairs>()[i], square = p * p;
      double value = 0, power = 1;
      for (int k = kPairs; k >= 0; --k) value = value * square + polynomial(i)[k];
      for (int k = 0; k < kTaps; ++k, power *= p)
        scaled[i][k] = static_cast<float>(power / (2 * square * value));
    }
    return scaled;
  }();
};

}  // namespace lamina::winograd
