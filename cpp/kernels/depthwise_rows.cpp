#include "kernels/depthwise_rows.h"

#include <algorithm>
#include <array>

#include "kernels/epilogue.h"
#include "kernels/filter_vectors.h"
#include "kernels/taps.h"

namespace lamina::depthwise_rows {
namespace {

using taps::next_row;

constexpr int kWeightSlot = 0, kLineSlot = 2, kSumSlot = 3;  // workspace slots

// A row of the image and the row of the kernel that meets it.
struct Line {
  Dim cells;     // element of the row's first cell
  Dim position;  // of the kernel row's first weight
};
struct Lines {
  Line* list;
  int count = 0;

  explicit Lines(const ConvShape& s)
      : list(workspace<Line>(kLineSlot, static_cast<std::size_t>(s.kernel[0] * s.kernel[1]))) {}

  // The rows of x under a row of outputs.
  void of_output(const ConvShape& s, const OutputRow& out) {
    count = 0;
    for (Dim kd = 0; kd < s.kernel[0]; ++kd) {
      const Dim id = s.cell(0, out.plane, kd);
      if (id < 0 || id >= s.in[0]) continue;
      for (Dim kh = 0; kh < s.kernel[1]; ++kh) {
        const Dim ih = s.cell(1, out.row, kh);
        if (ih < 0 || ih >= s.in[1]) continue;
        list[count++] = {((out.image * s.in[0] + id) * s.in[1] + ih) * s.in[2] * s.in_c,
                         (kd * s.kernel[1] + kh) * s.kernel[2]};
      }
    }
  }
  // The rows of dy that a row of inputs went into.
  void of_input(const ConvShape& s, const OutputRow& in) {
    count = 0;
    for (Dim kd = 0; kd < s.kernel[0]; ++kd) {
      const Dim od = taps::reader(s, 0, in.plane, kd);
      if (od < 0) continue;
      for (Dim kh = 0; kh < s.kernel[1]; ++kh) {
        const Dim oh = taps::reader(s, 1, in.row, kh);
        if (oh < 0) continue;
        list[count++] = {((in.image * s.out[0] + od) * s.out[1] + oh) * s.out[2] * s.out_c,
                         (kd * s.kernel[1] + kh) * s.kernel[2]};
      }
    }
  }
};

// Compilers would rather read memory again in every product than give a value a register.
template <class V>
LAMINA_INLINE void keep_in_register([[maybe_unused]] V& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
}

// Cells of a row with the channels of a vector. A pointer for four cells, as addresses go.
template <class T, int kCells>
struct Cells {
  T* place[(kCells + 3) / 4];
  Dim step;

  LAMINA_INLINE Cells(T* first, Dim step) : step(step) {
#pragma GCC unroll 8
    for (int i = 0; i < (kCells + 3) / 4; ++i) place[i] = first + 4 * i * step;
  }
  LAMINA_INLINE auto at(int i) const {
    auto cell = load(place[i / 4] + i % 4 * step);
    keep_in_register(cell);
    return cell;
  }
  template <class V>
  LAMINA_INLINE void set(int i, V v) const {
    store(place[i / 4] + i % 4 * step, v);
  }
};

// ---- How cells and sums of a block meet. Cell i with weight kw goes into sum `target(i, kw)`.

// Outputs from the image: output b reads the cells from kStep * b on.
template <int kWidth, int kStep>
struct Forward {
  static constexpr int kSums = 8, kCells = kStep * (kSums - 1) + kWidth;
  static constexpr int target(int i, int kw) {
    return (i - kw) % kStep == 0 ? (i - kw) / kStep : -1;
  }
  // The cell that block column 0 reads first, for a block at `column`.
  static Dim first_cell(Dim column, Dim pad) { return column * kStep - pad; }
  static Dim first_column(Dim column, Dim) { return column; }
};

// Gradients of the image from those of the outputs: output o went to inputs kStep * o - pad + kw.
template <int kWidth, int kStep>
struct Backward {
  static constexpr int kSums = 8, kBefore = (kWidth - 1) / kStep;
  static constexpr int kCells = kBefore + kSums / kStep;
  static constexpr int target(int i, int kw) { return kStep * (i - kBefore) + kw; }
  static Dim first_cell(Dim column, Dim pad) { return (column + pad) / kStep - kBefore; }
  // Blocks begin where an output's first input is.
  static Dim first_column(Dim column, Dim pad) { return column - (column + pad) % kStep; }
};

template <class T>
struct Rows {
  const T* x;
  Dim cells, x_step;  // of a row of x
  Dim pad;
  const T* w;  // packed
  Dim depth;
  T* y;  // column 0 of the row
  Dim y_step;
  const Epilogue<T>& e;
  Vectors<T> vectors;

  // Sums [column, column + kSums) of the row, of which [begin, end) are wanted; only at an edge is
  // that not all of them, and only there do cells lie outside.
  template <class Way, int kWidth, bool kEdge>
  LAMINA_INLINE void block(const Lines& lines, Dim column, Dim begin, Dim end, Dim v) const {
    const Dim o = vectors.first(v), first = Way::first_cell(column, pad), step = x_step;
    const int inside = static_cast<int>(std::max<Dim>(0, -first));
    const int outside = static_cast<int>(std::min<Dim>(Way::kCells, cells - first));
    Vec<T> sum[Way::kSums] = {};
    for (int l = 0; l < lines.count; ++l) {
      const Cells<const T, Way::kCells> from(x + lines.list[l].cells + first * step + o, step);
      const T* const weights = w + (v * depth + lines.list[l].position) * kLanes<T>;
      Vec<T> weight[kWidth];
#pragma GCC unroll 8
      for (int kw = 0; kw < kWidth; ++kw) weight[kw] = load(weights + kw * kLanes<T>);
#pragma GCC unroll 32
      for (int i = 0; i < Way::kCells; ++i) {
        if (kEdge && (i < inside || i >= outside)) continue;
        const Vec<T> cell = from.at(i);
#pragma GCC unroll 8
        for (int kw = 0; kw < kWidth; ++kw)
          if (const int b = Way::target(i, kw); b >= 0 && b < Way::kSums)
            sum[b] += cell * weight[kw];
      }
    }
    if (e.bias != nullptr) {
      const Vec<T> bias = load(e.bias + o);
#pragma GCC unroll 8
      for (auto& r : sum) r += bias;
    }
    if (e.activation == Activation::relu)
#pragma GCC unroll 8
      for (auto& r : sum) r = at_least(r, Vec<T>{});
    const int wanted = static_cast<int>(std::max<Dim>(0, begin - column));
    const int unwanted = static_cast<int>(std::min<Dim>(Way::kSums, end - column));
    const Cells<T, Way::kSums> to(y + column * y_step + o, y_step);
#pragma GCC unroll 8
    for (int b = 0; b < Way::kSums; ++b)
      if (!kEdge || (b >= wanted && b < unwanted)) to.set(b, sum[b]);
  }

  // Columns [begin, end).
  template <class Way, int kWidth>
  void run(const Lines& lines, Dim begin, Dim end) const {
    for (Dim c = Way::first_column(begin, pad); c < end; c += Way::kSums) {
      const Dim first = Way::first_cell(c, pad);
      const bool edge =
          c < begin || c + Way::kSums > end || first < 0 || first + Way::kCells > cells;
      for (Dim v = vectors.from; v < vectors.to; ++v)
        if (edge)
          block<Way, kWidth, true>(lines, c, begin, end, v);
        else
          block<Way, kWidth, false>(lines, c, begin, end, v);
    }
    if (e.activation == Activation::sigmoid || e.activation == Activation::tanh)
      for (Dim c = begin; c < end; ++c)
        activate(e.activation, y + c * y_step + vectors.begin(), vectors.size());
  }
};

// ---- Weight gradient

template <class T, int kWidth, int kStep>
struct WeightSums {
  static constexpr int kColumns = kVecBytes == 64 ? 8 : 4;
  static constexpr int kCells = kStep * (kColumns - 1) + kWidth;
  static constexpr int kMostLines = kWidth == 3 ? 3 : 2;  // whose sums fit into the registers

  const T *x, *dy;  // dy: column 0 of the row
  Dim cells, x_step, y_step;
  Dim pad;
  T* sums;  // (vector, position)
  Dim depth;
  Vectors<T> vectors;

  // What columns [column, end), at most kColumns, add to the weights of the lines.
  template <int kLines, bool kEdge>
  LAMINA_INLINE void block(const Line* lines, Dim column, Dim end, Dim v) const {
    const Dim o = vectors.first(v), first = column * kStep - pad;
    const T* const arrived = dy + column * y_step + o;
    Vec<T> d[kColumns];
#pragma GCC unroll 8
    for (int b = 0; b < kColumns; ++b)
      d[b] = !kEdge || column + b < end ? load(arrived + b * y_step) : Vec<T>{};
    Vec<T> sum[kLines][kWidth];
    T* to[kLines];
    const T* from[kLines];
    const Dim step = x_step;
    const int inside = static_cast<int>(std::max<Dim>(0, -first));
    const int outside = static_cast<int>(std::min<Dim>(kCells, cells - first));
#pragma GCC unroll 4
    for (int l = 0; l < kLines; ++l) {
      to[l] = sums + (v * depth + lines[l].position) * kLanes<T>;
      from[l] = x + lines[l].cells + first * step + o;
#pragma GCC unroll 8
      for (int kw = 0; kw < kWidth; ++kw) sum[l][kw] = load(to[l] + kw * kLanes<T>);
    }
    if (kStep == 1) {  // x was written long ago: what the next row reads first is asked for
#pragma GCC unroll 8
      for (int i = 0; i < kColumns; ++i) __builtin_prefetch(from[kLines - 1] + (cells + i) * step);
    }
#pragma GCC unroll 32
    for (int i = 0; i < kCells; ++i) {
      if (kEdge && (i < inside || i >= outside)) continue;
#pragma GCC unroll 4
      for (int l = 0; l < kLines; ++l) {
        Vec<T> cell = load(from[l] + i * step);
        keep_in_register(cell);
#pragma GCC unroll 8
        for (int kw = 0; kw < kWidth; ++kw)
          if (const int b = (i - kw) / kStep; i >= kw && (i - kw) % kStep == 0 && b < kColumns)
            sum[l][kw] += cell * d[b];
      }
    }
#pragma GCC unroll 4
    for (int l = 0; l < kLines; ++l)
#pragma GCC unroll 8
      for (int kw = 0; kw < kWidth; ++kw) store(to[l] + kw * kLanes<T>, sum[l][kw]);
  }

  template <int kLines>
  void group(const Line* lines, Dim begin, Dim end) const {
    for (Dim c = begin; c < end; c += kColumns) {
      const Dim first = c * kStep - pad;
      const bool edge = c + kColumns > end || first < 0 || first + kCells > cells;
      for (Dim v = vectors.from; v < vectors.to; ++v)
        if (edge)
          block<kLines, true>(lines, c, end, v);
        else
          block<kLines, false>(lines, c, end, v);
    }
  }

  void run(const Lines& lines, Dim begin, Dim end) const {
    int l = 0;
    for (; l + kMostLines <= lines.count; l += kMostLines)
      group<kMostLines>(lines.list + l, begin, end);
    if constexpr (kMostLines == 3)
      for (; l + 2 <= lines.count; l += 2) group<2>(lines.list + l, begin, end);
    for (; l < lines.count; ++l) group<1>(lines.list + l, begin, end);
  }
};

// Calls body(Shape<width, step>{}) with the numbers of `s`.
template <int kWidth_, int kStep_>
struct Kernel {
  static constexpr int kWidth = kWidth_, kStep = kStep_;
};
template <class Body>
void with_kernel(const ConvShape& s, const Body& body) {
  const bool wide = s.kernel[2] == 5, strided = s.stride[2] == 2;
  if (wide) return strided ? body(Kernel<5, 2>{}) : body(Kernel<5, 1>{});
  strided ? body(Kernel<3, 2>{}) : body(Kernel<3, 1>{});
}

// rows(kernel, begin, end, packed weights, vectors) for parts of the pixels, in rows of so many.
template <class T, class RowsOf>
void over_parts(const ConvShape& s, Dim pixels, Dim row, const T* w, const RowsOf& rows) {
  parallel_for(pixels, part_of_rows(pixels, row, s.multiply_adds()), [&](Dim begin, Dim end) {
    const T* const packed = packed_weights(s, w, kWeightSlot);
    with_kernel(s, [&](auto kernel) {
      over_filters<T>(s, [&](const Vectors<T>& v) { rows(kernel, begin, end, packed, v); });
    });
  });
}

}  // namespace

template <class T>
bool suits(const ConvShape& s) {
  return s.group_in() == 1 && s.group_out() == 1 && s.out_c >= kLanes<T> && s.dilation[2] == 1 &&
         (s.kernel[2] == 3 || s.kernel[2] == 5) && (s.stride[2] == 1 || s.stride[2] == 2) &&
         s.pad[2] >= 0;
}

template <class T>
void conv(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e) {
  const auto rows = [&](auto kernel, Dim begin, Dim end, const T* packed,
                        const Vectors<T>& vectors) {
    constexpr int kWidth = decltype(kernel)::kWidth;
    Lines lines(s);
    Rows<T> row{x, s.in[2], s.in_c, s.pad[2], packed, s.depth(), nullptr, s.out_c, e, vectors};
    OutputRow out = row_at(s.out, begin, end);
    for (Dim p = begin; p < end; next_row(s.out, end - p, out)) {
      lines.of_output(s, out);
      row.y = y + (p - out.column) * s.out_c;
      row.template run<Forward<kWidth, decltype(kernel)::kStep>, kWidth>(lines, out.column,
                                                                         out.column + out.count);
      p += out.count;
    }
  };
  over_parts(s, s.pixels(), s.out[2], w, rows);
}

template <class T>
void input_grad(const ConvShape& s, const T* dy, const T* w, T* dx) {
  const Epilogue<T> none;
  const auto rows = [&](auto kernel, Dim begin, Dim end, const T* packed,
                        const Vectors<T>& vectors) {
    constexpr int kWidth = decltype(kernel)::kWidth;
    Lines lines(s);
    Rows<T> row{dy, s.out[2], s.out_c, s.pad[2], packed, s.depth(), nullptr, s.in_c, none, vectors};
    OutputRow in = row_at(s.in, begin, end);
    for (Dim p = begin; p < end; next_row(s.in, end - p, in)) {
      lines.of_input(s, in);
      row.y = dx + (p - in.column) * s.in_c;
      row.template run<Backward<kWidth, decltype(kernel)::kStep>, kWidth>(lines, in.column,
                                                                          in.column + in.count);
      p += in.count;
    }
  };
  over_parts(s, s.batch * s.in_plane(), s.in[2], w, rows);
}

template <class T>
void weight_grad(const ConvShape& s, const T* x, const T* dy, Dim begin, Dim end, T* dw) {
  const Dim count = vector_count<T>(s), size = count * s.depth() * kLanes<T>;
  T* const sums = workspace<T>(kSumSlot, static_cast<std::size_t>(size));
  std::fill(sums, sums + size, T{0});
  const auto rows = [&](auto kernel, const Vectors<T>& vectors) {
    Lines lines(s);
    WeightSums<T, decltype(kernel)::kWidth, decltype(kernel)::kStep> row{
        x, nullptr, s.in[2], s.in_c, s.out_c, s.pad[2], sums, s.depth(), vectors};
    OutputRow out = row_at(s.out, begin, end);
    for (Dim p = begin; p < end; next_row(s.out, end - p, out)) {
      lines.of_output(s, out);
      row.dy = dy + (p - out.column) * s.out_c;
      row.run(lines, out.column, out.column + out.count);
      p += out.count;
    }
  };
  with_kernel(
      s, [&](auto kernel) { over_filters<T>(s, [&](const Vectors<T>& v) { rows(kernel, v); }); });
  const Vectors<T> vectors{s.out_c, 0, count};
  for (Dim v = 0; v < count; ++v)  // those that two vectors have are the same in both
    for (Dim row = 0; row < s.depth(); ++row)
      store(dw + row * s.out_c + vectors.first(v), load(sums + (v * s.depth() + row) * kLanes<T>));
}

#define LAMINA_INSTANTIATE(T)                                                          \
  template bool suits<T>(const ConvShape&);                                            \
  template void conv<T>(const ConvShape&, const T*, const T*, T*, const Epilogue<T>&); \
  template void input_grad<T>(const ConvShape&, const T*, const T*, T*);               \
  template void weight_grad<T>(const ConvShape&, const T*, const T*, Dim, Dim, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina::depthwise_rows
