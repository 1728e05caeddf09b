// Convolution of few channels, bias, activation and maximum pooling in one go over bands of rows
// that stay in cache: the convolution's output is never written to memory. The gradient of the
// weights likewise spreads the pooled gradient over a band just before it is used.
#pragma once

#include "kernels/direct.h"
#include "kernels/pool.h"

namespace lamina {

struct ConvPoolShape {
  ConvShape conv;
  PoolShape pool;  // of the convolution's output

  Dim map() const { return conv.out_plane() * conv.out_c; }  // of one example
  Dim pooled() const { return pool.output_rows() * pool.axes[2].outputs() * conv.out_c; }
};

// Windows small enough for a byte, direct convolution, and a map that fits the cache.
bool conv_pool_suits(const ConvPoolShape& s);

// `where`, the winner's number in its window or kNoWinner, may be null.
template <class T>
void conv_max_pool(const ConvPoolShape& s, const T* x, const T* w, const Epilogue<T>& e, T* y,
                   std::uint8_t* where);

// dy is the gradient of y. dw and db are sums over the batch; dz is the gradient of the
// convolution's output before its relu, if it had one. db and dz may be null.
Dim conv_max_pool_grad_scratch(const ConvPoolShape& s);
template <class T>
void conv_max_pool_grad(const ConvPoolShape& s, const T* x, const T* dy, const std::uint8_t* where,
                        T* dw, T* db, T* dz, T* scratch);

}  // namespace lamina
