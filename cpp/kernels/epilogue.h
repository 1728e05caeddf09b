// What an epilogue adds, for results that were not computed by a product that applies it itself.
#pragma once

#include <algorithm>

#include "base/parallel.h"
#include "kernels/gemm.h"
#include "kernels/vec.h"

namespace lamina {

template <class T>
void activate(Activation activation, T* y, Dim n) {
  const auto apply_to = [=](const auto& f) { apply<T>(y, n, f, y); };
  if (activation == Activation::relu) apply_to([](Vec<T> v) { return at_least(v, Vec<T>{}); });
  if (activation == Activation::sigmoid) apply_to([](Vec<T> v) { return sigmoid(v); });
  if (activation == Activation::tanh) apply_to([](Vec<T> v) { return tanh(v); });
}

// y[rows, columns] gets the bias and the activation.
template <class T>
void finish(Dim rows, Dim columns, T* y, const Epilogue<T>& e) {
  if (e.bias == nullptr && e.activation == Activation::linear) return;
  parallel_for(rows, std::max<Dim>(1, 16384 / std::max<Dim>(1, columns)), [&](Dim begin, Dim end) {
    for (Dim row = begin; row < end && e.bias != nullptr; ++row)
      apply<T>(
          y + row * columns, columns, [](Vec<T> a, Vec<T> b) { return a + b; }, y + row * columns,
          e.bias);
    activate(e.activation, y + begin * columns, (end - begin) * columns);
  });
}

}  // namespace lamina
