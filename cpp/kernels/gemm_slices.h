// Products whose long sums are cut into slices: every slice is a product of its own, and their
// results are added in a fixed tree. A thread then reads what it wrote, where a product cut along
// other axes would read what lies in another core's cache.
#pragma once

#include "kernels/gemm.h"

namespace lamina {

// Gradients of weights sum over the rows of a batch. The slices that C[m,n] = A^T[m,k] B[k,n] is
// made of: a power of two that depends on the shape alone, so that bits depend neither on threads
// nor on who ran what. 1: not worth it.
Dim slices_of(Dim m, Dim n, Dim k);

// C[m,n] = A^T B for contiguous A[k,m], B[k,n]. An element is a chain of fused multiply-adds over
// the rows of a slice in order. Uses workspace slot 3 besides what gemm_serial uses.
template <class T>
void gemm_slices(Dim m, Dim n, Dim k, const T* a, const T* b, T* c);

// C[m,n] = op(A) op(B) with the sum in `slices` parts, 1, 2 or 4; C contiguous, else as gemm. Uses
// workspace slots 2 and 3 besides what gemm uses.
template <class T>
void gemm_in_slices(Dim slices, Dim m, Dim n, Dim k, const T* a, Dim a_row, Dim a_k, const T* b,
                    Dim b_k, Dim b_col, T* c, const Epilogue<T>& e);

}  // namespace lamina
