// Convolution whose filters see one channel each, or two to eight: every step is a vector of
// filters, so there is nothing for a matrix product to share. A block of neighbouring output
// columns keeps its sums in registers over all taps of the kernel; the weight gradient keeps the
// sums of several taps.
#include <algorithm>
#include <type_traits>

#include "base/parallel.h"
#include "kernels/depthwise_rows.h"
#include "kernels/filter_vectors.h"
#include "kernels/taps.h"

namespace lamina {
namespace {

using patches::ceil_div;
using taps::next_row;
using taps::Reach;
using taps::Tap;
using taps::Taps;

constexpr int kWeightSlot = 0, kTapSlot = 2, kIndexSlot = 3;  // workspace slots
constexpr int kTapsAtOnce = 9;  // sums of the weight gradient in registers

// ---- Where a vector of filters finds its channels

template <class T>
LAMINA_INLINE Vec<T> permuted(Vec<T> v, Mask<T> lanes) {
#if defined(__clang__)
  Vec<T> r;
  for (int i = 0; i < kLanes<T>; ++i) r[i] = v[lanes[i]];
  return r;
#else
  return __builtin_shuffle(v, lanes);
#endif
}

// Loads a vector of which n elements are wanted; what follows them is read too (and not used) as
// far as the buffer goes.
template <class T>
struct Buffer {
  const T* begin;
  const T* last;  // where a whole vector still fits

  Buffer(const T* p, Dim size) : begin(p), last(p + size - kLanes<T>) {}
  LAMINA_INLINE Vec<T> at(const T* p, int n) const {
    if (n == kLanes<T> || p <= last) return load(p);
    return load_n(p, static_cast<int>(last + kLanes<T> - p));
  }
};

// place(): what filters from o on read of the cell whose channels begin at `element`.
template <class T>
struct Plain {  // filter o reads channel o
  Buffer<T> x;

  LAMINA_INLINE const T* place(Dim element, Dim o) const { return x.begin + element + o; }
  LAMINA_INLINE Vec<T> at(const T* p, Dim, int n) const { return x.at(p, n); }
};

template <class T>
struct Grouped {  // filter o reads the channels of its group, o / filters
  Buffer<T> x;
  Dim filters, channels;  // of a group
  const Mask<T>* lanes;   // for each vector of filters, where its groups lie in what is loaded

  LAMINA_INLINE const T* place(Dim element, Dim o) const {
    return x.begin + element + o / filters * channels;
  }
  LAMINA_INLINE Vec<T> at(const T* p, Dim v, int) const {
    return permuted<T>(x.at(p, 0), lanes[v]);
  }
};

template <class T>
const Mask<T>* group_lanes(const ConvShape& s) {
  const Dim filters = s.group_out(), channels = s.group_in();
  const Vectors<T> vectors{s.out_c, 0, vector_count<T>(s)};
  Mask<T>* const lanes = workspace<Mask<T>>(kIndexSlot, static_cast<std::size_t>(vectors.to));
  for (Dim v = 0; v < vectors.to; ++v)
    for (int i = 0; i < kLanes<T>; ++i) {
      const Dim first = vectors.first(v), group = (first + i) / filters - first / filters;
      lanes[v][i] = std::min<Dim>(group * channels, kLanes<T> - 1);  // less but in unused lanes
    }
  return lanes;
}

// Calls body(how to read the channels).
template <class T, class Body>
void with_channels(const ConvShape& s, const T* x, const Body& body) {
  const Buffer<T> buffer(x, s.batch * s.in_plane() * s.in_c);
  if (s.group_out() == 1) return body(Plain<T>{buffer});
  body(Grouped<T>{buffer, s.group_out(), s.group_in(), group_lanes<T>(s)});
}

// ---- Sums over the taps of neighbouring columns

// A row of outputs: column c is written to y + c * y_step.
template <class T, class Channels>
struct RowSums {
  Channels channels;
  Dim x_step;
  const T* w;  // packed
  Dim depth;   // its rows
  T* y;
  Dim y_step;
  Vectors<T> vectors;

  // kVectors vectors of filters from v on: together with the columns they are enough independent
  // chains to hide the latency of the sums.
  template <int kColumns, int kVectors>
  LAMINA_INLINE void sums(const Tap* taps, int count, Dim column, Dim v, int n) const {
    Dim o[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) o[j] = vectors.first(v + j);
    const T* const weights = w + v * depth * kLanes<T>;
    Vec<T> sum[kColumns][kVectors] = {};
    for (int i = 0; i < count; ++i) {
      const Dim from = taps[i].from + column * x_step;
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) {
        const Vec<T> weight = load(weights + (j * depth + taps[i].row) * kLanes<T>);
        const T* place[3];  // a pointer for three columns: more do not fit into the registers
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) place[k] = channels.place(from + 3 * k * x_step, o[j]);
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c)
          sum[c][j] += channels.at(place[c / 3] + c % 3 * x_step, v + j, n) * weight;
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) {
        T* const to = y + (column + c) * y_step + o[j];
        if (n == kLanes<T>)
          store(to, sum[c][j]);
        else
          store_n(to, sum[c][j], n);
      }
  }

  // Columns [column, column + kColumns) with all of these taps.
  template <int kColumns>
  void block(const Tap* taps, int count, Dim column) const {
    constexpr int kVectors = kColumns < 4 ? 4 / kColumns : 1;
    if (vectors.lanes() < kLanes<T>)
      return sums<kColumns, 1>(taps, count, column, 0, vectors.lanes());
    Dim v = vectors.from;
    for (; v + kVectors <= vectors.to; v += kVectors)
      sums<kColumns, kVectors>(taps, count, column, v, kLanes<T>);
    if constexpr (kVectors == 4)
      for (; v + 2 <= vectors.to; v += 2) sums<kColumns, 2>(taps, count, column, v, kLanes<T>);
    for (; v < vectors.to; ++v) sums<kColumns, 1>(taps, count, column, v, kLanes<T>);
  }

  void edge(const Taps& taps, Tap* inside, Dim column) const {
    int count = 0;
    for (int i = 0; i < taps.count; ++i)
      if (column >= taps.list[i].begin && column < taps.list[i].end) inside[count++] = taps.list[i];
    block<1>(inside, count, column);
  }

  // Columns [begin, end); `inside` has room for the taps of one column.
  void run(const Taps& taps, Tap* inside, Dim begin, Dim end) const {
    Dim inner = begin, outer = end;
    taps.common(0, taps.count, inner, outer);
    inner = std::min(inner, end);
    outer = std::max(outer, inner);
    Dim c = begin;
    for (; c < inner; ++c) edge(taps, inside, c);
    for (; c + 8 <= outer; c += 8) block<8>(taps.list, taps.count, c);
    for (; c + 4 <= outer; c += 4) block<4>(taps.list, taps.count, c);
    for (; c + 2 <= outer; c += 2) block<2>(taps.list, taps.count, c);
    for (; c < outer; ++c) block<1>(taps.list, taps.count, c);
    for (; c < end; ++c) edge(taps, inside, c);
  }
};

// ---- What follows the sums

template <class T>
void activate(T* y, Dim n, Activation activation) {
  switch (activation) {
    case Activation::linear:
      return;
    case Activation::relu:
      return apply<T>(
          y, n, [](Vec<T> a) { return at_least(a, Vec<T>{}); }, y);
    case Activation::sigmoid:
      return apply<T>(
          y, n, [](Vec<T> a) { return sigmoid(a); }, y);
    case Activation::tanh:
      return apply<T>(
          y, n, [](Vec<T> a) { return tanh(a); }, y);
  }
}

// Bias and activation of `count` pixels, for the filters just computed.
template <class T>
void finish(T* y, Dim count, const Vectors<T>& vectors, const Epilogue<T>& e) {
  if (e.bias == nullptr && e.activation == Activation::linear) return;
  const Dim n = vectors.size();
  y += vectors.begin();
  for (; count > 0; --count, y += vectors.filters) {
    if (e.bias != nullptr)
      apply<T>(
          y, n, [](Vec<T> a, Vec<T> b) { return a + b; }, y, e.bias + vectors.begin());
    activate(y, n, e.activation);
  }
}

// to[c] = sum over the channel's filters. The usual multipliers are constants to the compiler,
// which then takes vectors apart.
template <class T>
void fold(const T* from, Dim channels, Dim multiplier, T* to) {
  const auto sums = [&](auto m) {
    LAMINA_INDEPENDENT
    for (Dim c = 0; c < channels; ++c) {
      T sum = from[c * m];
      for (Dim j = 1; j < m; ++j) sum += from[c * m + j];
      to[c] = sum;
    }
  };
  switch (multiplier) {
    case 2:
      return sums(std::integral_constant<Dim, 2>{});
    case 3:
      return sums(std::integral_constant<Dim, 3>{});
    case 4:
      return sums(std::integral_constant<Dim, 4>{});
    case 8:
      return sums(std::integral_constant<Dim, 8>{});
    default:
      return sums(multiplier);
  }
}

// Room for the taps of a row, those of one column, and the reach of the columns of `kinds` kinds.
struct TapSpace {
  Tap* taps;
  Reach* reach;

  TapSpace(const ConvShape& s, Dim kinds) {
    const auto tap_bytes = static_cast<std::size_t>(2 * s.depth()) * sizeof(Tap);
    auto* const bytes = workspace<std::byte>(
        kTapSlot, tap_bytes + static_cast<std::size_t>(kinds * s.kernel[2]) * sizeof(Reach));
    taps = reinterpret_cast<Tap*>(bytes);
    reach = reinterpret_cast<Reach*>(bytes + tap_bytes);
  }
};

// ---- Weight gradient

template <class T, class Channels>
struct WeightSums {
  Channels channels;
  Dim x_step;
  Buffer<T> dy;
  Dim row;  // element of dy at column 0
  T* dw;
  Vectors<T> vectors;

  // What column c adds to a tap. Lanes that the vector before has too get zeros.
  LAMINA_INLINE Vec<T> grad(const T* d, Dim column, int n, Mask<T> own) const {
    return select(own, dy.at(d + column * vectors.filters, n), Vec<T>{});
  }
  LAMINA_INLINE Vec<T> cell(const T* place, Dim column, Dim v, int n, Mask<T> own) const {
    return select(own, channels.at(place + column * x_step, v, n), Vec<T>{});
  }

  // kTaps neighbouring taps over all columns; the columns that all have share the load of dy.
  template <int kTaps>
  LAMINA_INLINE void vector(const Tap* taps, Dim inner, Dim outer, Dim v, int n,
                            Mask<T> own) const {
    const Dim o = vectors.first(v);
    const T* const d = dy.begin + row + o;
    const T* place[kTaps];
    Vec<T> sum[kTaps];
#pragma GCC unroll 9
    for (int i = 0; i < kTaps; ++i) {
      place[i] = channels.place(taps[i].from, o);
      const T* const from = dw + taps[i].row * vectors.filters + o;
      sum[i] = n == kLanes<T> ? load(from) : load_n(from, n);
      for (Dim c = taps[i].begin; c < std::min(taps[i].end, inner); ++c)
        sum[i] += cell(place[i], c, v, n, own) * grad(d, c, n, own);
    }
    for (Dim c = inner; c < outer; ++c) {
      const Vec<T> arrived = grad(d, c, n, own);
#pragma GCC unroll 9
      for (int i = 0; i < kTaps; ++i) sum[i] += cell(place[i], c, v, n, own) * arrived;
    }
#pragma GCC unroll 9
    for (int i = 0; i < kTaps; ++i) {
      for (Dim c = std::max(taps[i].begin, outer); c < taps[i].end; ++c)
        sum[i] += cell(place[i], c, v, n, own) * grad(d, c, n, own);
      T* const to = dw + taps[i].row * vectors.filters + o;
      if (n == kLanes<T>)
        store(to, sum[i]);
      else
        store_n(to, sum[i], n);
    }
  }

  template <int kTaps>
  void group(const Taps& taps, int first) const {
    Dim inner = taps.list[first].begin, outer = taps.list[first].end;
    taps.common(first, kTaps, inner, outer);
    outer = std::max(inner, outer);
    const Tap* const list = taps.list + first;
    const Mask<T> all = Vec<T>{} == Vec<T>{};
    if (vectors.lanes() < kLanes<T>)
      return vector<kTaps>(list, inner, outer, 0, vectors.lanes(), all);
    const Dim whole = std::min(vectors.to, vectors.filters / kLanes<T>);
    for (Dim v = vectors.from; v < whole; ++v) vector<kTaps>(list, inner, outer, v, kLanes<T>, all);
    if (whole < vectors.to) vector<kTaps>(list, inner, outer, whole, kLanes<T>, own_lanes(whole));
  }

  // The lanes of vector v that the one before does not have.
  Mask<T> own_lanes(Dim v) const {
    Mask<T> own{};
    for (int i = 0; i < kLanes<T>; ++i)
      if (vectors.first(v) + i >= v * kLanes<T>) own[i] = -1;
    return own;
  }

  void run(const Taps& taps) const {
    int i = 0;
    for (; i + kTapsAtOnce <= taps.count; i += kTapsAtOnce) group<kTapsAtOnce>(taps, i);
    for (; i + 3 <= taps.count; i += 3) group<3>(taps, i);
    for (; i < taps.count; ++i) group<1>(taps, i);
  }
};

}  // namespace

template <class T>
void depthwise(const ConvShape& s, const T* x, const T* w, T* y, const Epilogue<T>& e) {
  if (depthwise_rows::suits<T>(s)) return depthwise_rows::conv(s, x, w, y, e);
  const Dim part = part_of_rows(s.pixels(), s.out[2], s.multiply_adds());
  const auto rows = [&](Dim begin, Dim end, const auto& channels, const T* packed,
                        const Vectors<T>& vectors) {
    const TapSpace space(s, 1);
    Taps taps{space.taps};
    RowSums<T, std::decay_t<decltype(channels)>> sums{
        channels, s.stride[2] * s.in_c, packed, s.depth(), nullptr, s.out_c, vectors};
    output_reach(s, space.reach);
    OutputRow out = row_at(s.out, begin, end);
    for (Dim p = begin; p < end; next_row(s.out, end - p, out)) {
      output_taps(s, out, space.reach, taps);
      sums.y = y + (p - out.column) * s.out_c;
      sums.run(taps, taps.list + s.depth(), out.column, out.column + out.count);
      finish(y + p * s.out_c, out.count, vectors, e);
      p += out.count;
    }
  };
  parallel_for(s.pixels(), part, [&](Dim begin, Dim end) {
    with_channels<T>(s, x, [&](const auto& channels) {
      const T* const packed = packed_weights(s, w, kWeightSlot);
      over_filters<T>(s, [&](const Vectors<T>& v) { rows(begin, end, channels, packed, v); });
    });
  });
}

template <class T>
void depthwise_input_grad(const ConvShape& s, const T* dy, const T* w, T* dx) {
  if (depthwise_rows::suits<T>(s)) return depthwise_rows::input_grad(s, dy, w, dx);
  const Dim pixels = s.batch * s.in_plane(), stride = s.stride[2];
  const Dim part = part_of_rows(pixels, s.in[2], s.multiply_adds());
  // With one channel in a group, its filters' parts are added up at the end.
  const bool folds = s.group_in() == 1 && s.group_out() > 1;
  const auto rows = [&](Dim begin, Dim end, const auto& channels, const T* packed,
                        const Vectors<T>& vectors) {
    const TapSpace space(s, stride);
    Taps taps{space.taps};
    T* const row =
        folds ? workspace<T>(kIndexSlot, static_cast<std::size_t>(s.in[2] * s.out_c)) : nullptr;
    RowSums<T, std::decay_t<decltype(channels)>> sums{channels, s.out_c,          packed, s.depth(),
                                                      nullptr,  stride * s.out_c, vectors};
    OutputRow in = row_at(s.in, begin, end);
    const auto find_reach = [&] {
      for (Dim phase = 0; phase < stride; ++phase)
        input_reach(s, in.column + phase, space.reach + phase * s.kernel[2]);
    };
    find_reach();
    for (Dim p = begin; p < end; next_row(s.in, end - p, in)) {
      if (p != begin && p - begin <= s.in[2])
        find_reach();  // from the second row on they begin at 0
      for (Dim phase = 0; phase < std::min(stride, in.count); ++phase) {
        const Dim count = ceil_div(in.count - phase, stride);
        input_taps(s, in, count, space.reach + phase * s.kernel[2], taps);
        sums.y = (folds ? row : dx + p * s.out_c) + phase * s.out_c;
        sums.run(taps, taps.list + s.depth(), 0, count);
      }
      if (folds) fold(row, in.count * s.in_c, s.group_out(), dx + p * s.in_c);
      p += in.count;
    }
  };
  const Buffer<T> buffer(dy, s.pixels() * s.out_c);
  parallel_for(pixels, part, [&](Dim begin, Dim end) {
    const T* const packed = packed_weights(s, w, kWeightSlot);
    if (folds) return rows(begin, end, Plain<T>{buffer}, packed, {s.out_c, 0, vector_count<T>(s)});
    const auto all = [&](const auto& channels) {
      over_filters<T>(s, [&](const Vectors<T>& v) { rows(begin, end, channels, packed, v); });
    };
    if (s.group_in() == 1) return all(Plain<T>{buffer});
    all(Grouped<T>{buffer, s.group_in(), s.group_out(), group_lanes<T>(s)});
  });
}

template <class T>
void depthwise_weight_grad(const ConvShape& s, const T* x, const T* dy, Dim begin, Dim end, T* dw) {
  if (depthwise_rows::suits<T>(s)) return depthwise_rows::weight_grad(s, x, dy, begin, end, dw);
  std::fill(dw, dw + s.weights(), T{0});
  const auto rows = [&](const auto& channels, const Vectors<T>& vectors) {
    const TapSpace space(s, 1);
    Taps taps{space.taps};
    WeightSums<T, std::decay_t<decltype(channels)>> sums{
        channels, s.stride[2] * s.in_c, Buffer<T>(dy, s.pixels() * s.out_c), 0, dw, vectors};
    output_reach(s, space.reach);
    OutputRow out = row_at(s.out, begin, end);
    for (Dim p = begin; p < end; next_row(s.out, end - p, out)) {
      output_taps(s, out, space.reach, taps);
      sums.row = (p - out.column) * s.out_c;
      sums.run(taps);
      p += out.count;
    }
  };
  with_channels<T>(s, x, [&](const auto& channels) {
    over_filters<T>(s, [&](const Vectors<T>& v) { rows(channels, v); });
  });
}

#define LAMINA_INSTANTIATE(T)                                                               \
  template void depthwise<T>(const ConvShape&, const T*, const T*, T*, const Epilogue<T>&); \
  template void depthwise_input_grad<T>(const ConvShape&, const T*, const T*, T*);          \
  template void depthwise_weight_grad<T>(const ConvShape&, const T*, const T*, Dim, Dim, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
