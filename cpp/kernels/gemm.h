// Matrix products. Every element of C is one chain of fused multiply-adds over k in order, so its
// bits depend on its row of A and its column of B alone: not on m, n, the tiling, the strides or
// the number of threads.
#pragma once

#include "kernels/activation.h"
#include "lamina/types.h"

namespace lamina {

// What happens to an element of C besides the sum of products.
template <class T>
struct Epilogue {
  const T* bias = nullptr;  // [n], added when the chain is complete
  Activation activation = Activation::linear;
  bool accumulate = false;  // the chain starts from the element stored in C, not from zero
  bool streams = false;     // C may be written past the caches; its rows are whole lines
  // Elements as far apart as those of C: where one is not positive C becomes zero, elsewhere it is
  // multiplied. The gradient of a ReLU, with that of a dropout. Nothing else with it.
  const T* gate = nullptr;
  T scale = 1;
};

// C[m,n] = op(A)[m,k] op(B)[k,n]. Strides in elements: A[i,p] = a[i*a_row + p*a_k], B[p,j] =
// b[p*b_k + j*b_col], C[i,j] = c[i*ldc + j]. Runs on the calling thread. Uses workspace slots 0
// and 1; callers may keep their own data in 2 and 3.
template <class T>
void gemm_serial(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b, Dim b_k,
                 Dim b_col, T* c, Dim ldc, const Epilogue<T>& e);

// The same, with C split over a grid of chunks that suits the threads at hand.
template <class T>
void gemm(Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b, Dim b_k, Dim b_col, T* c,
          Dim ldc, const Epilogue<T>& e);

// B in the order the kernel reads it, for weights that are used again and again: the elements
// needed, the packing (64-byte aligned target), and the product (serial, A's rows contiguous).
template <class T>
Dim packed_b_size(Dim n, Dim k);
template <class T>
void pack_b(Dim n, Dim k, const T* b, Dim b_k, Dim b_col, T* packed);
template <class T>
void gemm_packed_serial(Dim m, Dim n, Dim k, const T* a, Dim a_row, const T* packed, T* c, Dim ldc,
                        const Epilogue<T>& e);

}  // namespace lamina
