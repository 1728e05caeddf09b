// How the rows of a matrix are shared out when every column has statistics of its own: slices of
// lines. A line is as many whole rows as fill vectors to the last lane, so that few or odd columns
// waste none. All of it depends on the sizes only.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/vec.h"
#include "lamina/types.h"

namespace lamina::kernels {

class ColumnSlices {
 public:
  ColumnSlices(Dim rows, Dim columns)
      : columns_(columns), rows_(rows), fold_(rows_of_a_line(columns)), lines_(rows / fold_) {}

  Dim rows() const { return rows_; }
  Dim columns() const { return columns_; }
  Dim fold() const { return fold_; }                  // rows of a line
  Dim width() const { return columns_ * fold_; }      // elements of a line, a multiple of the lanes
  Dim whole_lines() const { return lines_ * fold_; }  // rows that lie in lines; the rest are few
  Dim count() const { return (lines_ + kLines - 1) / kLines; }
  Dim first_line(Dim slice) const { return slice * kLines; }
  Dim lines(Dim slice) const { return std::min(kLines, lines_ - slice * kLines); }

  // Calls body(column, vectors) for the strips of a line; `vectors` is a compile-time number.
  template <class T, class Body>
  LAMINA_INLINE void each_strip(const Body& body) const {
    Dim c = 0;
    for (; c + kStrip * kLanes<T> <= width(); c += kStrip * kLanes<T>)
      body(c, std::integral_constant<int, kStrip>{});
    for (; c < width(); c += kLanes<T>) body(c, std::integral_constant<int, 1>{});
  }

  // values[0 .. columns) again and again, until they fill a line.
  template <class T>
  void repeat_columns(T* values) const {
    for (Dim c = columns_; c < width(); ++c) values[c] = values[c - columns_];
  }

 private:
  static constexpr Dim kLines = 64;  // of a slice: a strip of them stays in the first-level cache
  static constexpr int kStrip = kVecBytes == 64 ? 4 : 2;  // vectors, as registers allow

  // At least 64 elements, a multiple of 16.
  static Dim rows_of_a_line(Dim columns) {
    Dim rows = 1;
    if (columns == 0) return rows;
    while (rows < 16 && columns * rows % 16 != 0) rows *= 2;
    while (columns * rows < 64) rows *= 2;
    return rows;
  }

  Dim columns_, rows_, fold_, lines_;
};

}  // namespace lamina::kernels
