// Convolution and pooling of 2 x 2 windows in registers: a tile is some windows times some filters,
// and only the largest of each window's four sums is written.
#pragma once

#include "kernels/direct.h"
#include "kernels/pool.h"

namespace lamina {

template <class T>
class PooledTiles {
 public:
  PooledTiles(const ConvShape& conv, const PoolShape& pool, const direct::Reader<T>& reader,
              const T* w, const Epilogue<T>& e);

  // Whether the windows are 2 x 2 side by side and the activation fits into a tile.
  bool suit() const { return suits_; }

  // Pooled rows [begin, end) of an example; `where`, the winners' numbers, may be null. False, and
  // nothing written, unless the tiles suit and no sum can be NaN or infinite: then a comparison of
  // two sums needs one instruction.
  bool rows(const T* image, Dim begin, Dim end, T* y, std::uint8_t* where) const;

 private:
  const ConvShape& conv_;
  const PoolShape& pool_;
  const direct::Reader<T>& reader_;
  const T* w_;
  const Epilogue<T>& epilogue_;
  bool suits_;
  T weights_ = 0, biases_ = 0;  // sums of their magnitudes
};

}  // namespace lamina
