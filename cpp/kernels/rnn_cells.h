// What one step of a recurrent layer does to one row of the batch, forward and backward. Internal
// to the recurrent kernels.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/rnn.h"
#include "kernels/stream.h"
#include "kernels/vec.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define LAMINA_INLINE_LAMBDA __attribute__((always_inline))

namespace lamina::rnn {

// ---- Activations on vectors, looked up. Not inlined: a cell would hold dozens of copies.
template <class T>
[[gnu::noinline]] Vec<T> activate(CellActivation kind, Vec<T> x) {
  const Vec<T> zero{}, one = broadcast<T>(1);
  switch (kind) {
    case CellActivation::linear:
      return x;
    case CellActivation::relu:
      return at_least(x, zero);
    case CellActivation::sigmoid:
      return sigmoid(x);
    case CellActivation::tanh:
      return tanh(x);
    case CellActivation::hard_sigmoid:
      return at_most(at_least(x + T(3), zero), broadcast<T>(6)) / T(6);
    case CellActivation::softsign:
      return x / (one + abs(x));
    case CellActivation::softplus:
      return softplus(x);
    case CellActivation::elu:
      return select(x > zero, x, expm1(x));
  }
  return x;
}

// The derivative, from the result.
template <class T>
[[gnu::noinline]] Vec<T> derivative(CellActivation kind, Vec<T> y) {
  const Vec<T> zero{}, one = broadcast<T>(1);
  switch (kind) {
    case CellActivation::linear:
      return one;
    case CellActivation::relu:
      return select(y > zero, one, zero);
    case CellActivation::sigmoid:
      return y * (one - y);
    case CellActivation::tanh:
      return one - y * y;
    case CellActivation::hard_sigmoid:
      return select((y > zero) & (y < one), broadcast<T>(T(1) / T(6)), zero);
    case CellActivation::softsign: {
      const Vec<T> slack = one - abs(y);
      return slack * slack;
    }
    case CellActivation::softplus:
      return -expm1(-y);
    case CellActivation::elu:
      return select(y > zero, one, y + one);
  }
  return one;
}

// sigmoid and tanh by one short exponential each, at most 2.5 ulp off: a step is as much these as
// products. Where e^x leaves the range the quotients have long reached their limits.
namespace cell_detail {
using namespace vec_detail;
// max(x, lo) and min(x, hi), keeping the NaN of x. The compiler makes a comparison and a choice of
// what is one instruction.
#if defined(__AVX512F__)
LAMINA_INLINE F above(F x, float lo) { return (F)_mm512_max_ps((__m512)constant(lo), (__m512)x); }
LAMINA_INLINE F below(F x, float hi) { return (F)_mm512_min_ps((__m512)constant(hi), (__m512)x); }
#else
LAMINA_INLINE F above(F x, float lo) { return at_least(x, constant(lo)); }
LAMINA_INLINE F below(F x, float hi) { return at_most(x, constant(hi)); }
#endif

// x = n ln 2 + r with |r| <= ln(2) / 2, where t = x / ln 2 + kMagic; and 2^n as t gives it.
constexpr float kMagic =
    12582912.f;  // 1.5 * 2^23: adding it rounds, and its lowest bits then are n
constexpr float kHigh = 0.693145751953125f, kLow = 1.42860682030941723e-6f;  // of ln 2
LAMINA_INLINE F power(F t) { return (F)(((I)t << 23) + 0x3f800000); }

LAMINA_INLINE F sigmoid(F x) {
  x = above(below(x, 88.f), -89.f);
  const F t = x * -1.44269504088896341f + kMagic, k = t - kMagic;
  const F r = -x - k * kHigh - k * kLow;
  const F e =
      polynomial(r, 0.00139505276f, 0.008368912f, 0.0416662060f, 0.166665182f, 0.5f, 1.f, 1.f);
  return 1.f / (1.f + e * power(t));
}
// The remainder is that of |x|, half of what the exponential takes: so the doubling is free.
LAMINA_INLINE F tanh(F x) {
  const F size = below(abs(x), 12.f);
  const F t = size * 2.88539008177792681f + kMagic, k = t - kMagic;
  const F r = size - k * (kHigh / 2) - k * (kLow / 2);
  const F half = polynomial(r, 32 * 0.00139464752f, 16 * 0.0083665997f, 8 * 0.0416662805f,
                            4 * 0.166665435f, 1.f) *
                     (r * r) +
                 r;  // (e^2r - 1) / 2
  const F scale = power(t);
  const F grown = (scale + scale) * half + (scale - 1.f);  // e^2|x| - 1, exact enough near 0
  const F y = grown / (grown + 2.f);
  return (F)((I)y | ((I)x & std::numeric_limits<std::int32_t>::min()));
}
LAMINA_INLINE Vec<double> sigmoid(Vec<double> x) { return lamina::sigmoid(x); }
LAMINA_INLINE Vec<double> tanh(Vec<double> x) { return lamina::tanh(x); }
}  // namespace cell_detail

// The activations of a cell: those that everybody uses are compiled into it.
template <class T>
struct UsualActivations {
  static LAMINA_INLINE Vec<T> activate(Vec<T> x) { return cell_detail::tanh(x); }
  static LAMINA_INLINE Vec<T> gate(Vec<T> x) { return cell_detail::sigmoid(x); }
  static LAMINA_INLINE Vec<T> activate_slope(Vec<T> y) { return T(1) - y * y; }
  static LAMINA_INLINE Vec<T> gate_slope(Vec<T> y) { return y * (T(1) - y); }
};
template <class T>
struct ChosenActivations {
  CellActivation activation, recurrent;
  Vec<T> activate(Vec<T> x) const { return rnn::activate<T>(activation, x); }
  Vec<T> gate(Vec<T> x) const { return rnn::activate<T>(recurrent, x); }
  Vec<T> activate_slope(Vec<T> y) const { return derivative<T>(activation, y); }
  Vec<T> gate_slope(Vec<T> y) const { return derivative<T>(recurrent, y); }
};

// body(offset, load, store) for every vector of a row of n; the last one may be partial.
template <class T, class Body>
LAMINA_INLINE void each_vector(Dim n, const Body& body) {
  Dim j = 0;
  for (; j + kLanes<T> <= n; j += kLanes<T>)
    body(
        j, [](const T* p) LAMINA_INLINE_LAMBDA { return load<T>(p); },
        [](T* p, Vec<T> v) LAMINA_INLINE_LAMBDA { store<T>(p, v); });
  const int left = static_cast<int>(n - j);
  if (left > 0)
    body(
        j, [left](const T* p) LAMINA_INLINE_LAMBDA { return load_n<T>(p, left); },
        [left](T* p, Vec<T> v) LAMINA_INLINE_LAMBDA { store_n<T>(p, v, left); });
}

// What a row's step leaves behind, besides the state. Null: not wanted.
template <class T>
struct Kept {
  bool streams;  // past the caches; all are aligned to vectors then, and so is the row's length
  T* gates;      // activated
  T* cell;       // the new c
  T* before;     // h before the step
  T* output;     // the new h

  template <class Store>
  LAMINA_INLINE void put(T* to, Vec<T> v, const Store& store) const {
    if (streams)
      stream<T>(to, v);
    else
      store(to, v);
  }
};

// ---- Cells: what one step does to one row. `z` holds the projected input, `r` the recurrent
// product, which is used up; `h` and `c` are the state. Chains of activations are cut into passes
// over the row, because the processor does not look far enough ahead to work on several at once.
template <class T, class Activations>
struct Lstm {
  static constexpr Dim kGates = 4;
  static constexpr bool kHasCell = true;
  Activations a;

  // The gates lie in the order i, f, c, o.
  void forward(Dim n, const T* z, T* r, T* h, T* c, const Kept<T>& kept) const {
    T* const open = r + 3 * n;
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const auto pre = [&](int gate) LAMINA_INLINE_LAMBDA {
        return get(z + gate * n + j) + get(r + gate * n + j);
      };
      const Vec<T> i = a.gate(pre(0));
      const Vec<T> f = a.gate(pre(1));
      const Vec<T> g = a.activate(pre(2));
      const Vec<T> o = a.gate(pre(3));
      const Vec<T> cell = f * get(c + j) + i * g;
      put(open + j, o);
      put(c + j, cell);
      if (kept.before != nullptr) kept.put(kept.before + j, get(h + j), put);
      if (kept.cell != nullptr) kept.put(kept.cell + j, cell, put);
      if (kept.gates == nullptr) return;
      kept.put(kept.gates + j, i, put);
      kept.put(kept.gates + n + j, f, put);
      kept.put(kept.gates + 2 * n + j, g, put);
      kept.put(kept.gates + 3 * n + j, o, put);
    });
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> out = get(open + j) * a.activate(get(c + j));
      if (kept.output != nullptr) put(kept.output + j, out);
      put(h + j, out);
    });
  }

  // dh is the gradient of this step's h; dc that of its c, replaced by that of the c before.
  void backward(Dim n, const T* gates, const T* cell, const T* cell_before, const T* dh, T* dc,
                T* dz) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> i = get(gates + j), f = get(gates + n + j);
      const Vec<T> g = get(gates + 2 * n + j), o = get(gates + 3 * n + j);
      const Vec<T> out = a.activate(get(cell + j));
      const Vec<T> d = get(dh + j);
      const Vec<T> dcell = get(dc + j) + d * o * a.activate_slope(out);
      put(dz + j, dcell * g * a.gate_slope(i));
      put(dz + n + j, dcell * get(cell_before + j) * a.gate_slope(f));
      put(dz + 2 * n + j, dcell * i * a.activate_slope(g));
      put(dz + 3 * n + j, d * out * a.gate_slope(o));
      put(dc + j, dcell * f);
    });
  }
};

template <class T, class Activations>
struct Simple {
  static constexpr Dim kGates = 1;
  static constexpr bool kHasCell = false;
  Activations a;

  void forward(Dim n, const T* z, T* r, T* h, T*, const Kept<T>& kept) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> out = a.activate(get(z + j) + get(r + j));
      if (kept.before != nullptr) kept.put(kept.before + j, get(h + j), put);
      if (kept.output != nullptr) put(kept.output + j, out);
      put(h + j, out);
      if (kept.gates != nullptr) kept.put(kept.gates + j, out, put);
    });
  }

  void backward(Dim n, const T* gates, const T*, const T*, const T* dh, T*, T* dz) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      put(dz + j, get(dh + j) * a.activate_slope(get(gates + j)));
    });
  }
};

// The gates lie in the order z (update), r (reset), h (candidate); with the reset after the
// product, the candidate's part of the product is kept as a fourth.
template <class T, class Activations>
struct Gru {
  Activations a;

  void forward_after(Dim n, const T* z, T* r, T* h, const Kept<T>& kept) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> update = a.gate(get(z + j) + get(r + j));
      const Vec<T> reset = a.gate(get(z + n + j) + get(r + n + j));
      put(r + j, update);
      put(r + n + j, reset);
      if (kept.gates == nullptr) return;
      kept.put(kept.gates + j, update, put);
      kept.put(kept.gates + n + j, reset, put);
    });
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> product = get(r + 2 * n + j);
      const Vec<T> candidate = a.activate(get(z + 2 * n + j) + get(r + n + j) * product);
      turn(kept, j, get(r + j), candidate, h + j, get, put);
      if (kept.gates == nullptr) return;
      kept.put(kept.gates + 2 * n + j, candidate, put);
      kept.put(kept.gates + 3 * n + j, product, put);
    });
  }

  // Reset before: the reset gate, over its product, and the state it lets into the candidate's
  // product; then the rest.
  void open_reset(Dim n, const T* z, T* r, const T* h, T* let_in) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> reset = a.gate(get(z + n + j) + get(r + n + j));
      put(r + n + j, reset);
      put(let_in + j, reset * get(h + j));
    });
  }
  void forward_before(Dim n, const T* z, const T* r, T* h, const Kept<T>& kept) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> update = a.gate(get(z + j) + get(r + j));
      const Vec<T> candidate = a.activate(get(z + 2 * n + j) + get(r + 2 * n + j));
      turn(kept, j, update, candidate, h + j, get, put);
      if (kept.gates == nullptr) return;
      kept.put(kept.gates + j, update, put);
      kept.put(kept.gates + n + j, get(r + n + j), put);
      kept.put(kept.gates + 2 * n + j, candidate, put);
    });
  }

  // From the state to the new one.
  template <class Get, class Put>
  static LAMINA_INLINE void turn(const Kept<T>& kept, Dim j, Vec<T> update, Vec<T> candidate, T* h,
                                 const Get& get, const Put& put) {
    const Vec<T> state = get(h), out = update * state + (T(1) - update) * candidate;
    if (kept.before != nullptr) kept.put(kept.before + j, state, put);
    if (kept.output != nullptr) put(kept.output + j, out);
    put(h, out);
  }

  // dh is the gradient of this step's h; carried receives what reaches the h before, aside from the
  // products. Reset after: dz is that of the product's three parts, then that of the candidate.
  void backward_after(Dim n, const T* gates, const T* before, const T* dh, T* dz,
                      T* carried) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> update = get(gates + j), reset = get(gates + n + j);
      const Vec<T> candidate = get(gates + 2 * n + j), product = get(gates + 3 * n + j);
      const Vec<T> d = get(dh + j);
      const Vec<T> inner = d * (T(1) - update) * a.activate_slope(candidate);
      put(dz + j, d * (get(before + j) - candidate) * a.gate_slope(update));
      put(dz + n + j, inner * product * a.gate_slope(reset));
      put(dz + 2 * n + j, inner * reset);
      put(dz + 3 * n + j, inner);
      put(carried + j, d * update);
    });
  }

  // Reset before: all but the reset gate, which needs the gradient of what it let in.
  void backward_before(Dim n, const T* gates, const T* before, const T* dh, T* dz,
                       T* carried) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> update = get(gates + j), candidate = get(gates + 2 * n + j);
      const Vec<T> d = get(dh + j);
      put(dz + j, d * (get(before + j) - candidate) * a.gate_slope(update));
      put(dz + 2 * n + j, d * (T(1) - update) * a.activate_slope(candidate));
      put(carried + j, d * update);
    });
  }
  // `let_in` receives the state that the reset gate let in.
  void close_reset(Dim n, const T* gates, const T* before, const T* d_let_in, T* dz, T* carried,
                   T* let_in) const {
    each_vector<T>(n, [&](Dim j, auto get, auto put) LAMINA_INLINE_LAMBDA {
      const Vec<T> reset = get(gates + n + j), d = get(d_let_in + j);
      put(let_in + j, reset * get(before + j));
      put(dz + n + j, d * get(before + j) * a.gate_slope(reset));
      put(carried + j, get(carried + j) + d * reset);
    });
  }
};

}  // namespace lamina::rnn
