// Memory that is on its way before it is read.
#pragma once

#include "lamina/types.h"

namespace lamina {

// Has a cache fetch a row that is wanted a little later.
template <class T>
void ask_for(const T* row, Dim n) {
  constexpr Dim kLine = 64 / Dim{sizeof(T)};
  for (Dim j = 0; j < n; j += kLine) __builtin_prefetch(row + j);
}

}  // namespace lamina
