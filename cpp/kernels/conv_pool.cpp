#include "kernels/conv_pool.h"

#include <algorithm>
#include <type_traits>

#include "base/parallel.h"
#include "kernels/patches.h"
#include "kernels/pooled_tiles.h"
#include "kernels/slices.h"
#include "kernels/winners.h"

namespace lamina {
namespace {

using namespace pool_detail;
using direct::Bands;
using patches::ceil_div;

constexpr int kMapSlot = 3;                   // workspace slot of a band of the map
constexpr Dim kBandBytes = 24 * 1024;         // of L1
constexpr Dim kLargestMapBytes = 512 * 1024;  // of L2, where windows overlap
constexpr double kPartWork = 3e5;             // multiply-adds worth handing to another thread
constexpr Dim kMostSlices = 64;

// ---- Windows of one row of the pooled map

// The extent of a window: known sizes let its loops be unrolled.
struct AnyWindow {
  Dim height, width;
};
struct TwoByTwo {
  static constexpr Dim height = 2, width = 2;
};

template <class Window, class Body>
LAMINA_INLINE void over_cells(const Window& window, const Body& body) {
  std::int32_t number = 0;
  for (Dim i = 0; i < window.height; ++i)
    for (Dim j = 0; j < window.width; ++j) body(i, j, number++);
}

// The largest cell of each channel, the first of equals, NaN above all: as max_pool has it. The
// cells are past their relu if there is one.
template <class T, bool kWhere, class Strip, class Window>
LAMINA_INLINE void pool_window(const Strip& strip, const Window& window, bool relu, const T* corner,
                               Dim row, Dim cell, T* y, std::uint8_t* where) {
  Vec<T> best[Strip::kCount];
  Mask<T> winner[Strip::kCount];
  over_cells(window, [&](Dim i, Dim j, std::int32_t number) {
    for (int v = 0; v < Strip::kCount; ++v) {
      const Vec<T> value = strip.load(corner + i * row + j * cell, v);
      if (number == 0) {
        best[v] = value;
        winner[v] = Mask<T>{};
        continue;
      }
      const Mask<T> better = ~(value <= best[v]) & (best[v] == best[v]);
      best[v] = better ? value : best[v];
      if constexpr (kWhere) winner[v] = better ? Mask<T>{} + number : winner[v];
    }
  });
  for (int v = 0; v < Strip::kCount; ++v) {
    strip.store(y, v, best[v]);
    if constexpr (kWhere) {
      if (relu) winner[v] = best[v] > Vec<T>{} ? winner[v] : Mask<T>{} + kNoWinner;
      ByteLanes<T>::store(where + v * kLanes<T>, winner[v], strip.left(v));
    }
  }
}

// Calls body(window, first row, first column, output column) for the windows of pooled row `row`.
template <class Body>
LAMINA_INLINE void over_row(const PoolShape& pool, Dim row, const Body& body) {
  const PoolAxis &down = pool.axes[1], &across = pool.axes[2];
  const auto at = static_cast<std::size_t>(row);
  const Dim top = down.begin[at], height = down.end[at] - top, columns = across.outputs();
  for (Dim column = 0; column < columns; ++column) {
    const auto c = static_cast<std::size_t>(column);
    const Dim left = across.begin[c], width = across.end[c] - left;
    if (height == 2 && width == 2)
      body(TwoByTwo{}, top, left, column);
    else
      body(AnyWindow{height, width}, top, left, column);
  }
}

template <class T>
constexpr auto last_channels = [](int channels) { return LastChannels<T>{channels}; };

// Pooled rows [begin, end) of an example, from map rows `first` on.
template <class T, bool kWhere>
void pool_rows(const ConvPoolShape& s, bool relu, const T* map, Dim first, Dim begin, Dim end, T* y,
               std::uint8_t* where) {
  const Dim cell = s.conv.out_c, line = s.conv.out[2] * cell;
  const Dim pooled_line = s.pool.axes[2].outputs() * cell;
  for (Dim row = begin; row < end; ++row)
    over_channels<T>(cell, last_channels<T>, [&](auto strip, Dim c) {
      const Dim at = (row - begin) * pooled_line + c;
      over_row(s.pool, row, [&](const auto& window, Dim top, Dim left, Dim column) {
        pool_window<T, kWhere>(strip, window, relu, map + (top - first) * line + left * cell + c,
                               line, cell, y + at + column * cell,
                               kWhere ? where + at + column * cell : nullptr);
      });
    });
}

// ---- The way back

// Whether every cell lies in exactly one window.
bool tiles(const PoolAxis& axis) {
  Dim next = 0;
  for (std::size_t i = 0; i < axis.begin.size(); ++i) {
    if (axis.begin[i] != next) return false;
    next = axis.end[i];
  }
  return next == axis.size;
}

// Pooled rows [begin, end) of an example, whose gradients start at index `at`, go to the map's
// rows from `first` on; db += their sum.
template <class T>
void spread_rows(const ConvPoolShape& s, const PooledGradient<T>& pooled, Dim at, Dim begin,
                 Dim end, Dim first, bool overlaps, T* map, T* db) {
  const Dim cell = s.conv.out_c, line = s.conv.out[2] * cell;
  const Dim pooled_line = s.pool.axes[2].outputs() * cell;
  over_channels<T>(cell, last_channels<T>, [&](auto strip, Dim c) {
    constexpr int kCount = decltype(strip)::kCount;
    Vec<T> sum[kCount];
    for (int v = 0; v < kCount; ++v) sum[v] = strip.load(db + c, v);
    for (Dim row = begin; row < end; ++row)
      over_row(s.pool, row, [&](const auto& window, Dim top, Dim left, Dim column) {
        const Dim from = at + (row - begin) * pooled_line + column * cell + c;
        T* const corner = map + (top - first) * line + left * cell + c;
        for (int v = 0; v < kCount; ++v) {
          Mask<T> winner;
          const Vec<T> d = pooled.load(strip, from, v, winner);
          sum[v] += d;
          over_cells(window, [&](Dim i, Dim j, std::int32_t number) {
            T* const q = corner + i * line + j * cell;
            Vec<T> value = winner == Mask<T>{} + number ? d : Vec<T>{};
            if (overlaps) value += strip.load(q, v);
            strip.store(q, v, value);
          });
        }
      });
    for (int v = 0; v < kCount; ++v) strip.store(db + c, v, sum[v]);
  });
}

template <class T>
void zero_maps(const ConvPoolShape& s, T* dz) {
  parallel_for(s.conv.batch, ceil_div(64 * 1024, s.map()), [&](Dim begin, Dim end) {
    std::fill(dz + begin * s.map(), dz + end * s.map(), T{0});
  });
}

// ---- Bands: pooled rows that are computed together. With a map they are so few that it fits L1,
// or all where rows of windows overlap; without, as many as are worth handing to another thread.

Bands bands(const ConvPoolShape& s, bool has_map) {
  const PoolAxis& down = s.pool.axes[1];
  const Dim all = down.outputs();
  if (down.overlaps()) return {all, all};
  const Dim tallest = ceil_div(down.size, all) * s.conv.out[2] * s.conv.out_c;
  const Dim rows = has_map ? kBandBytes / (tallest * Dim{sizeof(float)} + 1)
                           : static_cast<Dim>(kPartWork) / (tallest * s.conv.depth() + 1);
  return {all, std::clamp<Dim>(rows, 1, all)};
}

struct Band {
  Dim example, begin, end;  // pooled rows
  Dim top, bottom;          // rows of the map
};

Band band_at(const ConvPoolShape& s, const Bands& bands, Dim i) {
  const PoolAxis& down = s.pool.axes[1];
  const Dim begin = i % bands.count * bands.rows;
  const Dim end = std::min(begin + bands.rows, down.outputs());
  return {i / bands.count, begin, end, down.begin[static_cast<std::size_t>(begin)],
          down.end[static_cast<std::size_t>(end - 1)]};
}

// Bands of one part when the work is divided into at most `most` parts.
Dim part_size(const ConvPoolShape& s, const Bands& bands, Dim most) {
  const auto parts = static_cast<Dim>(s.conv.multiply_adds() / kPartWork);
  return std::max<Dim>(
      1, ceil_div(s.conv.batch * bands.count, std::clamp<Dim>(parts, 1, std::max<Dim>(1, most))));
}
Dim slice_count(const ConvPoolShape& s, const Bands& bands) {
  return ceil_div(s.conv.batch * bands.count, part_size(s, bands, kMostSlices));
}

template <class T>
T* map_workspace(const ConvPoolShape& s, const Bands& bands) {
  Dim rows = s.conv.out[1];
  if (bands.count > 1) {
    rows = 0;
    for (Dim i = 0; i < bands.count; ++i) {
      const Band band = band_at(s, bands, i);
      rows = std::max(rows, band.bottom - band.top);
    }
  }
  return workspace<T>(kMapSlot, rows * s.conv.out[2] * s.conv.out_c);
}

// Whether the gradients of the weights need no map of gradients. dz: the maps to write, or null.
template <class T>
bool from_winners(const ConvPoolShape& s, const T* dz) {
  return std::is_same_v<T, float> && dz == nullptr && winners::suit(s.conv, s.pool);
}

// What a band adds to the gradients of weights and bias.
template <class T>
class WeightGradient {
 public:
  // dz: the maps to write, or null.
  WeightGradient(const ConvPoolShape& s, const Bands& bands, const T* x,
                 const PooledGradient<T>& pooled, T* dz)
      : s_(s), bands_(bands), reader_(s.conv), x_(x), pooled_(pooled), dz_(dz) {
    overlaps_ = s.pool.overlaps();
    zeroes_ = overlaps_ || !tiles(s.pool.axes[1]) || !tiles(s.pool.axes[2]);
    from_winners_ = from_winners(s, dz);
    if (dz != nullptr && zeroes_) zero_maps(s, dz);
  }

  void add(const Band& band, T* dw, T* db) const {
    const Dim line = s_.pooled() / s_.pool.axes[1].outputs();
    const Dim at = band.example * s_.pooled() + band.begin * line;
    const T* const image = x_ + band.example * s_.conv.in_plane() * s_.conv.in_c;
    if constexpr (std::is_same_v<T, float>)
      if (from_winners_)
        return winners::weight_grad_rows(s_.conv, s_.pool, reader_, image, pooled_, at, band.begin,
                                         band.end, dw, db);
    T* const map = map_of(band);
    spread_rows(s_, pooled_, at, band.begin, band.end, band.top, overlaps_, map, db);
    direct::weight_grad_rows(s_.conv, reader_, image, map, band.top, band.bottom, dw, true);
  }

 private:
  T* map_of(const Band& band) const {
    const Dim line = s_.conv.out[2] * s_.conv.out_c;
    if (dz_ != nullptr) return dz_ + band.example * s_.map() + band.top * line;
    T* const map = map_workspace<T>(s_, bands_);
    if (zeroes_) std::fill(map, map + (band.bottom - band.top) * line, T{0});
    return map;
  }

  const ConvPoolShape& s_;
  const Bands& bands_;
  const direct::Reader<T> reader_;
  const T* x_;
  const PooledGradient<T> pooled_;
  T* dz_;
  bool overlaps_, zeroes_, from_winners_;
};

}  // namespace

bool conv_pool_suits(const ConvPoolShape& s) {
  Dim cells = 1;
  for (const PoolAxis& axis : s.pool.axes) {
    Dim longest = 0;
    for (std::size_t i = 0; i < axis.begin.size(); ++i)
      longest = std::max(longest, axis.end[i] - axis.begin[i]);
    cells *= longest;
  }
  const Dim map_bytes = s.map() * Dim{sizeof(float)};
  return direct::suits(s.conv) && cells > 0 && cells <= kMostCells && s.pooled() > 0 &&
         (!s.pool.axes[1].overlaps() || map_bytes <= kLargestMapBytes);
}

template <class T>
void conv_max_pool(const ConvPoolShape& s, const T* x, const T* w, const Epilogue<T>& e, T* y,
                   std::uint8_t* where) {
  const direct::Reader<T> reader(s.conv);
  const PooledTiles<T> tiles(s.conv, s.pool, reader, w, e);
  const Bands parts = bands(s, !tiles.suit());
  const Dim image = s.conv.in_plane() * s.conv.in_c, line = s.pooled() / s.pool.axes[1].outputs();
  const Dim all = s.conv.batch * parts.count;
  const bool relu = e.activation == Activation::relu;
  parallel_for(all, part_size(s, parts, all), [&](Dim first, Dim last) {
    for (Dim i = first; i < last; ++i) {
      const Band band = band_at(s, parts, i);
      const Dim at = band.example * s.pooled() + band.begin * line;
      std::uint8_t* const numbers = where == nullptr ? nullptr : where + at;
      const T* const from = x + band.example * image;
      if (tiles.rows(from, band.begin, band.end, y + at, numbers)) continue;
      T* const map = map_workspace<T>(s, parts);
      direct::output_rows(s.conv, reader, from, w, band.top, band.bottom, map, e);
      if (where == nullptr)
        pool_rows<T, false>(s, relu, map, band.top, band.begin, band.end, y + at, nullptr);
      else
        pool_rows<T, true>(s, relu, map, band.top, band.begin, band.end, y + at, numbers);
    }
  });
}

Dim conv_max_pool_grad_scratch(const ConvPoolShape& s) {
  return std::max(slice_count(s, bands(s, true)), slice_count(s, bands(s, false))) *
         (s.conv.weights() + s.conv.out_c);
}

template <class T>
void conv_max_pool_grad(const ConvPoolShape& s, const T* x, const T* dy, const std::uint8_t* where,
                        T* dw, T* db, T* dz, T* scratch) {
  const Dim weights = s.conv.weights(), filters = s.conv.out_c;
  const Bands parts = bands(s, !from_winners(s, dz));
  const Dim all = s.conv.batch * parts.count, size = part_size(s, parts, kMostSlices);
  const Dim slices = slice_count(s, parts);
  const WeightGradient<T> gradient(s, parts, x, {dy, where}, dz);
  T* const biases = scratch + slices * weights;
  parallel_chunks(slices, [&](std::int64_t slice) {
    T *const dw_slice = scratch + slice * weights, *const db_slice = biases + slice * filters;
    std::fill(dw_slice, dw_slice + weights, T{0});
    std::fill(db_slice, db_slice + filters, T{0});
    for (Dim i = slice * size; i < std::min((slice + 1) * size, all); ++i)
      gradient.add(band_at(s, parts, i), dw_slice, db_slice);
  });
  sum_slices(slices, weights, scratch, dw);
  if (db != nullptr) sum_slices(slices, filters, biases, db);
}

#define LAMINA_INSTANTIATE(T)                                                                      \
  template void conv_max_pool<T>(const ConvPoolShape&, const T*, const T*, const Epilogue<T>&, T*, \
                                 std::uint8_t*);                                                   \
  template void conv_max_pool_grad<T>(const ConvPoolShape&, const T*, const T*,                    \
                                      const std::uint8_t*, T*, T*, T*, T*);
LAMINA_INSTANTIATE(float)
LAMINA_INSTANTIATE(double)
#undef LAMINA_INSTANTIATE

}  // namespace lamina
