// Products that sum over many rows, as gradients of weights do: the rows are cut into slices, every
// slice is a product of its own, and their results are added in a fixed tree. A thread reads the
// rows that it wrote, where a product cut by columns would send half of both operands to another
// processor's cache.
#pragma once

#include "lamina/types.h"

namespace lamina {

// The slices that C[m,n] = A^T[m,k] B[k,n] is made of: a power of two that depends on the shape
// alone, so that bits depend neither on threads nor on who ran what. 1: not worth it.
Dim slices_of(Dim m, Dim n, Dim k);

// C[m,n] = A^T B for contiguous A[k,m], B[k,n]. An element is a chain of fused multiply-adds over
// the rows of a slice in order. Uses workspace slot 3 besides what gemm_serial uses.
template <class T>
void gemm_slices(Dim m, Dim n, Dim k, const T* a, const T* b, T* c);

}  // namespace lamina
