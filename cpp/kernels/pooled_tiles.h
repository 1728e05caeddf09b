// Convolution and pooling of 2 x 2 windows in registers: a tile is some windows times some filters,
// and only the largest of each window's four sums is written.
#pragma once

#include "kernels/direct.h"
#include "kernels/pool.h"

namespace lamina::pooled_tiles {

// Windows of 2 x 2 side by side, and an activation that fits into a tile.
bool suit(const PoolShape& pool, Activation activation);

// Pooled rows [begin, end) of an example; `where`, the winners' numbers, may be null.
template <class T>
void rows(const ConvShape& s, const PoolShape& pool, const direct::Reader<T>& reader,
          const T* image, const T* w, Dim begin, Dim end, const Epilogue<T>& e, T* y,
          std::uint8_t* where);

}  // namespace lamina::pooled_tiles
