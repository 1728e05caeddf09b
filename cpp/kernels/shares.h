// How a matrix of weights is shared out among threads: by rows. A step's products with it and its
// update cut it at the same places. Then a thread finds in its own cache what it wrote, and writes
// no line that another core has read, which would have to be taken back from there.
#pragma once

#include "lamina/types.h"

namespace lamina {

// Where part `index` of `count` begins, a multiple of `step`; size for the end of the last one.
inline Dim share_begin(Dim size, Dim index, Dim count, Dim step = 1) {
  if (index == count) return size;
  return (size + step - 1) / step * index / count * step;
}

}  // namespace lamina
