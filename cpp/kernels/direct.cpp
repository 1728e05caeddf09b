#include "kernels/direct.h"

#include <algorithm>
#include <utility>

#include "base/parallel.h"
#include "kernels/epilogue.h"
#include "kernels/gemm_tile.h"
#include "kernels/patches.h"
#include "kernels/slices.h"

namespace lamina::direct {
namespace {

using patches::ceil_div;
using patches::evenly;

constexpr double kPartWork = 3e5;  // multiply-adds worth handing to another thread
constexpr Dim kMostSlices = 64;
constexpr Dim kSliceElements = 2 * 1024 * 1024;  // of all slices together
constexpr int kVectors = 2;                      // of filters in a tile
// Taps in a tile of the weight gradient, which goes through the pixels two by two.
constexpr int kTileTaps = tile::kTileRows - 2;

// ---- Forward: a tile is some pixels of a row times one or two vectors of filters.

template <class T>
struct Pixels {
  const T* x;
  Dim step;  // from pixel to pixel
  const std::int32_t* taps;
  Dim count;  // of taps
  const T* w;
  T* y;
  Dim filters;  // elements from row to row of w and y
  const T* bias;
  bool relu;
  int tail;  // lanes of the last vector that are there, 0: all
};

template <class T, int kPixels, int kVectors, bool kTail>
void multiply_pixels(const Pixels<T>& job) {
  constexpr int kGroups = (kPixels + 2) / 3;  // a pointer for every three pixels
  const tile::Lanes tail(job.tail);
  const auto load_columns = [&tail](const T* p, int v) __attribute__((always_inline)) {
    if constexpr (kTail)
      if (v == kVectors - 1) return tail.load(p + v * kLanes<T>);
    return load(p + v * kLanes<T>);
  };
  Vec<T> sum[kPixels][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kPixels; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[i][v] = Vec<T>{};

  const Dim step = job.step;
  const T* w = job.w;
  for (Dim t = 0; t < job.count; ++t, w += job.filters) {
    Vec<T> column[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) column[v] = load_columns(w, v);
    const T* x[kGroups];
    x[0] = job.x + job.taps[t];
#pragma GCC unroll 8
    for (int g = 1; g < kGroups; ++g) x[g] = x[g - 1] + 3 * step;
#pragma GCC unroll 16
    for (int i = 0; i < kPixels; ++i) {
      const Vec<T> value = broadcast<T>(x[i / 3][i % 3 * step]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] += value * column[v];
    }
  }
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const Vec<T> bias = job.bias == nullptr ? Vec<T>{} : load_columns(job.bias, v);
#pragma GCC unroll 16
    for (int i = 0; i < kPixels; ++i) {
      if (job.bias != nullptr) sum[i][v] += bias;
      if (job.relu) sum[i][v] = at_least(sum[i][v], Vec<T>{});
      T* const y = job.y + i * job.filters + v * kLanes<T>;
      if (kTail && v == kVectors - 1)
        tail.store(y, sum[i][v]);
      else
        store<T>(y, sum[i][v]);
    }
  }
}

// ---- Weight gradient: a tile is some taps times one or two vectors of filters.

template <class T>
struct Taps {
  const T* x;
  Dim pixel_step, row_step;
  const std::int32_t* taps;
  const T* dy;
  Dim rows, columns;  // of pixels
  T* dw;
  Dim filters;  // elements from row to row of dw, from pixel to pixel of dy
  bool accumulate;
  int tail;
};

template <class T, int kTaps, int kVectors, bool kTail>
void multiply_taps(const Taps<T>& job) {
  const tile::Lanes tail(job.tail);
  const auto load_columns = [&tail](const T* p, int v) __attribute__((always_inline)) {
    if constexpr (kTail)
      if (v == kVectors - 1) return tail.load(p + v * kLanes<T>);
    return load(p + v * kLanes<T>);
  };
  Vec<T> sum[kTaps][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kTaps; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      sum[i][v] = job.accumulate ? load_columns(job.dw + i * job.filters, v) : Vec<T>{};

  Dim taps[kTaps];
  for (int i = 0; i < kTaps; ++i) taps[i] = job.taps[i];
  const Dim step = job.pixel_step;
  const T* dy = job.dy;
  for (Dim row = 0; row < job.rows; ++row) {
    const T* x = job.x + row * job.row_step;
    Dim column = 0;
    for (; column + 2 <= job.columns; column += 2, dy += 2 * job.filters, x += 2 * step) {
      Vec<T> first[kVectors], second[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        first[v] = load_columns(dy, v);
        second[v] = load_columns(dy + job.filters, v);
      }
      const T* const x2 = x + step;
#pragma GCC unroll 16
      for (int i = 0; i < kTaps; ++i) {
        const Vec<T> a = broadcast<T>(x[taps[i]]), b = broadcast<T>(x2[taps[i]]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          sum[i][v] += a * first[v];
          sum[i][v] += b * second[v];
        }
      }
    }
    if (column < job.columns) {
#pragma GCC unroll 16
      for (int i = 0; i < kTaps; ++i)
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v)
          sum[i][v] += broadcast<T>(x[taps[i]]) * load_columns(dy, v);
      dy += job.filters;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kTaps; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      T* const dw = job.dw + i * job.filters + v * kLanes<T>;
      if (kTail && v == kVectors - 1)
        tail.store(dw, sum[i][v]);
      else
        store<T>(dw, sum[i][v]);
    }
}

// ---- The tiles of each size, at [tail][rows - 1][vectors - 1].

template <class Job, int kRows>
struct Table {
  void (*entries[2][kRows][kVectors])(const Job&);

  void run(const Job& job, Dim rows, Dim lanes_left, Dim lanes) const {
    const bool tail = lanes_left % lanes != 0;
    entries[tail][rows - 1][(lanes_left + lanes - 1) / lanes - 1](job);
  }
};

template <class T, int... kRow>
constexpr auto pixel_tiles(std::integer_sequence<int, kRow...>) {
  return Table<Pixels<T>, sizeof...(kRow)>{
      {{{multiply_pixels<T, kRow + 1, 1, false>, multiply_pixels<T, kRow + 1, 2, false>}...},
       {{multiply_pixels<T, kRow + 1, 1, true>, multiply_pixels<T, kRow + 1, 2, true>}...}}};
}
template <class T, int... kRow>
constexpr auto tap_tiles(std::integer_sequence<int, kRow...>) {
  return Table<Taps<T>, sizeof...(kRow)>{
      {{{multiply_taps<T, kRow + 1, 1, false>, multiply_taps<T, kRow + 1, 2, false>}...},
       {{multiply_taps<T, kRow + 1, 1, true>, multiply_taps<T, kRow + 1, 2, true>}...}}};
}
template <class T>
constexpr auto kPixelTiles = pixel_tiles<T>(std::make_integer_sequence<int, tile::kTileRows>());
template <class T>
constexpr auto kTapTiles = tap_tiles<T>(std::make_integer_sequence<int, kTileTaps>());

// One or two spatial axes, and places of taps that fit their table.
bool reads_rows(const ConvShape& s) {
  constexpr Dim kLongRow = 1 << 20, kTallKernel = 64;
  return s.groups == 1 && s.positions() > 1 && s.weights() > 0 && s.depth() <= kMostTaps &&
         s.in[0] == 1 && s.kernel[0] == 1 && s.out[0] == 1 && s.pad[0] == 0 &&
         (s.out[1] > 1 || s.batch > 1) && (s.in[2] + s.out[2] * s.stride[2]) * s.in_c < kLongRow &&
         s.kernel[1] * s.dilation[1] < kTallKernel;
}

// A tile of the weight gradient is read and written once for all pixels of a band.
constexpr Dim kWeightPixels = 128;

// Bands of about a part's work each, of `least` pixels or more.
Bands bands(const ConvShape& s, Dim least) {
  const Dim row = std::max<Dim>(1, s.out[2]), height = std::max<Dim>(1, s.out[1]);
  const double work = static_cast<double>(row) * static_cast<double>(s.weights());
  return {s.out[1], std::clamp<Dim>(static_cast<Dim>(kPartWork / work),
                                    std::min(height, ceil_div(least, row)), height)};
}

// Those of the outputs, whose bits do not depend on the bands: of one height, and of a lone image
// as many for each thread.
Bands output_bands(const ConvShape& s) {
  constexpr double kLeastWork = 1e5;  // multiply-adds that a thread is woken for
  const Dim height = std::max<Dim>(1, s.out[1]), threads = threads_at_hand();
  Dim count = ceil_div(height, bands(s, 1).rows);
  if (s.batch == 1 && s.multiply_adds() > kLeastWork * static_cast<double>(threads))
    count = ceil_div(count, threads) * threads;
  return {s.out[1], ceil_div(height, count)};
}

// Calls body(image, first row, last row) for bands [begin, end), counted through all images.
template <class Body>
void over_bands(const ConvShape& s, const Bands& bands, Dim begin, Dim end, const Body& body) {
  for (Dim band = begin; band < end; ++band) {
    const Dim row = band % bands.count * bands.rows;
    body(band / bands.count, row, std::min(row + bands.rows, s.out[1]));
  }
}

Dim bands_in_slice(const ConvShape& s, const Bands& bands) {
  const Dim all = s.batch * bands.count;
  const Dim most = std::clamp<Dim>(kSliceElements / s.weights(), 1, kMostSlices);
  const Dim slices = std::clamp<Dim>(static_cast<Dim>(s.multiply_adds() / kPartWork), 1, most);
  return ceil_div(all, slices);
}

}  // namespace

bool suits(const ConvShape& s) {
  constexpr Dim kFewChannels = 16, kFewTaps = 256;
  return reads_rows(s) && s.in_c < kFewChannels && s.depth() <= kFewTaps;
}
bool suits_weight_grad(const ConvShape& s) {
  return reads_rows(s) && s.weights() <= kSliceElements / 8;
}

template <class T>
Reader<T>::Reader(const ConvShape& s) : shape_(s), copies_(false) {
  for (int axis = 1; axis < 3; ++axis)
    copies_ = copies_ || s.pad[axis] > 0 ||
              s.cell(axis, s.out[axis] - 1, s.kernel[axis] - 1) >= s.in[axis];
  const Dim width = (s.out[2] - 1) * s.stride[2] + (s.kernel[2] - 1) * s.dilation[2] + 1;
  line_ = (copies_ ? width : s.in[2]) * s.in_c;
  auto* tap = taps_.data();
  for (Dim kh = 0; kh < s.kernel[1]; ++kh)
    for (Dim kw = 0; kw < s.kernel[2]; ++kw)
      for (Dim c = 0; c < s.in_c; ++c)
        *tap++ =
            static_cast<std::int32_t>(kh * s.dilation[1] * line_ + kw * s.dilation[2] * s.in_c + c);
}

template <class T>
const T* Reader<T>::rows(const T* image, Dim begin, Dim end) const {
  const ConvShape& s = shape_;
  const Dim first = s.cell(1, begin, 0);
  if (!copies_) return image + first * line_ - s.pad[2] * s.in_c;
  const Dim size = extent(begin, end);
  T* const copy = workspace<T>(patches::kSlot, size);
  copy_rows(image, first, size / line_, copy);
  return copy;
}

template <class T>
Dim Reader<T>::extent(Dim begin, Dim end) const {
  const ConvShape& s = shape_;
  return (s.cell(1, end - 1, s.kernel[1] - 1) + 1 - s.cell(1, begin, 0)) * line_;
}

// Rows [first, first + count) of the image, which may lie outside, with what lies before and after.
template <class T>
void Reader<T>::copy_rows(const T* image, Dim first, Dim count, T* to) const {
  const ConvShape& s = shape_;
  const Dim width = line_ / s.in_c;
  const Dim left = std::clamp<Dim>(s.pad[2], 0, width);  // zeros
  const Dim right = std::clamp<Dim>(s.in[2] + s.pad[2], left, width);
  for (Dim row = first; row < first + count; ++row, to += line_) {
    if (row < 0 || row >= s.in[1]) {
      std::fill(to, to + line_, T{0});
      continue;
    }
    const T* const from = image + (row * s.in[2] + left - s.pad[2]) * s.in_c;
    std::fill(to, to + left * s.in_c, T{0});
    std::copy(from, from + (right - left) * s.in_c, to + left * s.in_c);
    std::fill(to + right * s.in_c, to + line_, T{0});
  }
}

template <class T>
void output_rows(const ConvShape& s, const Reader<T>& reader, const T* image, const T* w, Dim begin,
                 Dim end, T* y, const Epilogue<T>& e) {
  constexpr Dim lanes = kLanes<T>;
  const T* const x = reader.rows(image, begin, end);
  Pixels<T> job{};
  job.step = reader.pixel_step();
  job.taps = reader.taps();
  job.count = s.depth();
  job.filters = s.out_c;
  job.relu = e.activation == Activation::relu;
  for (Dim row = 0; row < end - begin; ++row)
    for (Dim f = 0; f < s.out_c; f += kVectors * lanes) {
      const Dim columns = std::min<Dim>(kVectors * lanes, s.out_c - f);
      job.w = w + f;
      job.bias = e.bias == nullptr ? nullptr : e.bias + f;
      job.tail = static_cast<int>(columns % lanes);
      evenly(s.out[2], tile::kTileRows, [&](Dim column, Dim count) {
        job.x = x + row * reader.row_step() + column * job.step;
        job.y = y + (row * s.out[2] + column) * s.out_c + f;
        kPixelTiles<T>.run(job, count, columns, lanes);
      });
    }
  if (!job.relu) activate(e.activation, y, (end - begin) * s.out[2] * s.out_c);
}

template <class T>
void weight_grad_rows(const ConvShape& s, const Reader<T>& reader, const T* image, const T* dy,
                      Dim begin, Dim end, T* dw, bool accumulate) {
  constexpr Dim lanes = kLanes<T>;
  Taps<T> job{};
  job.x = reader.rows(image, begin, end);
  job.pixel_step = reader.pixel_step();
  job.row_step = reader.row_step();
  job.rows = end - begin;
  job.columns = s.out[2];
  job.filters = s.out_c;
  job.accumulate = accumulate;
  for (Dim f = 0; f < s.out_c; f += kVectors * lanes) {
    const Dim columns = std::min<Dim>(kVectors * lanes, s.out_c - f);
    job.dy = dy + f;
    job.tail = static_cast<int>(columns % lanes);
    evenly(s.depth(), kTileTaps, [&](Dim tap, Dim count) {
      job.taps = reader.taps() + tap;
      job.dw = dw + tap * s.out_c + f;
      kTapTiles<T>.run(job, count, columns, lanes);
    });
  }
}

template <class T>
void conv(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e) {
  const Reader<T> reader(s);
  const Bands parts = output_bands(s);
  const double band = s.multiply_adds() / static_cast<double>(s.batch * parts.count + 1);
  const Dim grain = s.batch == 1 ? 1 : std::max<Dim>(1, static_cast<Dim>(kPartWork / (band + 1)));
  parallel_for(s.batch * parts.count, grain, [&](Dim first, Dim last) {
    over_bands(s, parts, first, last, [&](Dim image, Dim begin, Dim end) {
      output_rows(s, reader, x + image * s.in_plane() * s.in_c, w, begin, end,
                  y + (image * s.out[1] + begin) * s.out[2] * s.out_c, e);
    });
  });
}

Dim weight_grad_scratch(const ConvShape& s) {
  const Bands parts = bands(s, kWeightPixels);
  const Dim slices = ceil_div(s.batch * parts.count, std::max<Dim>(1, bands_in_slice(s, parts)));
  return slices > 1 ? slices * s.weights() : 0;
}

template <class T>
void weight_grad(const ConvShape& s, const T* x, const T* dy, T* dw, T* scratch) {
  const Reader<T> reader(s);
  const Bands parts = bands(s, kWeightPixels);
  const Dim all = s.batch * parts.count, size = bands_in_slice(s, parts);
  const Dim slices = ceil_div(all, size);
  T* const into = slices == 1 ? dw : scratch;
  parallel_chunks(slices, [&](std::int64_t i) {
    bool accumulate = false;
    over_bands(s, parts, i * size, std::min((i + 1) * size, all),
               [&](Dim image, Dim begin, Dim end) {
                 weight_grad_rows(s, reader, x + image * s.in_plane() * s.in_c,
                                  dy + (image * s.out[1] + begin) * s.out[2] * s.out_c, begin, end,
                                  into + i * s.weights(), accumulate);
                 accumulate = true;
               });
  });
  if (slices > 1) sum_slices(slices, s.weights(), scratch, dw);
}

#define LAMINA_INSTANTIATE(T)                                                                    \
  template class Reader<T>;                                                                      \
  template void output_rows<T>(const ConvShape&, const Reader<T>&, const T*, const T*, Dim, Dim, \
                               T*, const Epilogue<T>&);                                          \
  template void weight_grad_rows<T>(const ConvShape&, const Reader<T>&, const T*, const T*, Dim, \
                                    Dim, T*, bool);                                              \
  template void conv<T>(const ConvShape&, const T*, const T*, T*, const Epilogue<T>&);           \
  template void weight_grad<T>(const ConvShape&, const T*, const T*, T*, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina::direct
